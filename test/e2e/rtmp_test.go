package e2e_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/tlsfile/tlstest"
	"sluice/test/harness"
)

// TestCase063EveryPlayerOfRTMPPlays lets each ask in its own way: ffmpeg with
// getStreamLength or FCSubscribe, rtmpdump with both and a buffer length.
func TestCase063EveryPlayerOfRTMPPlays(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	src := harness.Sources()[0]
	encoder := harness.Publish(t, src, s.Push("live/test"))
	comesBack(t, src, s.Play("http", "live/test?wait=60s"))
	url := s.Push("live/test")
	dir := t.TempDir()
	for name, command := range map[string][]string{
		"ffmpeg.flv": {"ffmpeg", "-v", "error", "-t", "2", "-i", url, "-c", "copy"},
		"live.flv":   {"ffmpeg", "-v", "error", "-rtmp_live", "live", "-t", "2", "-i", url, "-c", "copy"},
		"gst.flv":    {"gst-launch-1.0", "-q", "rtmp2src", "num-buffers=150", "location=" + url, "!", "filesink", "location="},
	} {
		file := filepath.Join(dir, name)
		if strings.HasSuffix(command[len(command)-1], "=") {
			command[len(command)-1] += file
		} else {
			command = append(command, file)
		}
		harness.Output(t, nil, command[0], command[1:]...)
		sees(t, src, file)
		if packets := harness.Packets(t, file); len(packets) < 50 {
			t.Errorf("%s has %d packets only", name, len(packets))
		}
	}
	dump := filepath.Join(dir, "rtmpdump.flv")
	p := harness.Run(t, "", nil, "rtmpdump", "--live", "-r", url, "-o", dump)
	p.WaitFor(t, "a progress of two seconds", func(line string) bool {
		_, at, found := strings.Cut(line, " kB / ")
		return found && !strings.HasPrefix(at, "0.") && !strings.HasPrefix(at, "1.")
	})
	play(t, src, url, encoder)
	p.Wait(t) // its exit code says that it does not know how long the stream was to be
	sees(t, src, dump)
}

func TestCase066PlayersOfRTMPEndWithTheirStream(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	src := harness.Sources()[0]
	encoder := harness.Publish(t, src, s.Push("live/test"))
	player := harness.Run(t, "", nil, "ffmpeg", "-nostdin", "-v", "info", "-i", s.Push("live/test?wait=60s"), "-c", "copy", "-f", "null", "-")
	player.WaitLine(t, "frame=")
	encoder.Stop(t)
	if code := player.Wait(t); code != 0 || strings.Contains(player.Output(), "rror") {
		t.Errorf("ffmpeg ended with %d:\n%s", code, player.Output())
	}
	s.WaitLine(t, "session ended", "role=viewer", "proto=rtmp", "reason=unpublished")
}

func TestPlayersOfWhatNobodyPublishesAreToldSo(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	p := harness.Run(t, "", nil, "ffmpeg", "-nostdin", "-v", "error", "-i", s.Push("live/none?wait=0s"), "-f", "null", "-")
	if code := p.Wait(t); code == 0 || !strings.Contains(p.Output(), "Server error: nobody publishes live/none") {
		t.Errorf("ffmpeg ended with %d:\n%s", code, p.Output())
	}
}

func TestCase073RTMPSIsPublishedAndPlayed(t *testing.T) {
	t.Parallel()
	cert, key, _ := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, harness.SecureRTMP(cert, key)...)
	src := harness.Sources()[0]
	url := s.PushTLS(t, "live/tls")
	encoder := harness.Publish(t, src, url)
	s.WaitLine(t, "session began", "role=publisher", "proto=rtmps")
	comesBack(t, src, s.Play("http", "live/tls?wait=60s"))
	file := filepath.Join(t.TempDir(), "output.flv")
	harness.Output(t, nil, "ffmpeg", "-v", "error", "-t", "2", "-i", url, "-c", "copy", file)
	sees(t, src, file)
	encoder.Stop(t)

	// Each port is for its own protocol.
	address := strings.TrimSuffix(strings.TrimPrefix(url, "rtmps://"), "/live/tls")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(append([]byte{3}, make([]byte, 1536)...)); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); len(b) > 100 || errors.Is(err, net.ErrClosed) {
		t.Errorf("plain RTMP is answered with %x, %v", b, err)
	}
	s.WaitLine(t, "connection ended", "reason=bad_tls")
	if _, body := s.Call(t, http.MethodGet, "/debug/state"); !strings.Contains(body, `{"proto":"rtmps","reason":"bad_tls","count":1}`) {
		t.Errorf("the end is not counted as one of RTMPS: %s", body)
	}

	wrong := harness.Run(t, "", nil, "ffmpeg", "-nostdin", "-v", "error", "-i", "rtmps://"+s.RTMP+"/live/tls", "-f", "null", "-")
	if code := wrong.Wait(t); code == 0 {
		t.Error("ffmpeg plays by TLS from the plain port")
	}
	s.WaitLine(t, "connection ended", "reason=not_rtmp", "TLS")
}
