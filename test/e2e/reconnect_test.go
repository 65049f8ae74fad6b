package e2e_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

func TestAnEncoderThatIsKilledAndStartedAgainGoesOnEverywhere(t *testing.T) {
	t.Parallel()
	// A viewer to whom nothing is sent does not count as one that takes nothing.
	s := harness.Start(t, "--set", "flv.write_timeout=1s", "--set", "rtmp.reconnect_window=30s")
	for _, src := range harness.Sources() {
		t.Run(src.Name, func(t *testing.T) {
			t.Parallel()
			path := "live/" + slug(src.Name)
			encoder := harness.Publish(t, src, s.Push(path))
			url := s.Play("http", path+".flv")
			socket := harness.Watch(t, s.Play("ws", path+"?wait=30s"))
			ended := make(chan error, 1)
			go func() {
				_, err := socket.Rest()
				ended <- err
			}()
			file := filepath.Join(t.TempDir(), "saved.flv")
			viewer := harness.Run(t, "", nil, "ffmpeg", "-hide_banner", "-i", url, "-c", "copy", file)
			viewer.WaitLine(t, "size=")
			rec := s.Record(t, "POST", "start/"+path)

			encoder.Signal(t, syscall.SIGKILL)
			s.WaitLine(t, "the stream is held for its publisher", "stream="+path)
			<-time.After(3 * time.Second) // longer than the time-out above
			encoder = harness.Publish(t, src, s.Push(path))
			s.WaitLine(t, "the stream goes on with its new publisher", "stream="+path)
			<-time.After(2 * time.Second) // of pictures
			encoder.Stop(t)

			if err := <-ended; err != nil {
				t.Errorf("the WebSocket ended with %v", err)
			}
			if code := viewer.Wait(t); code != 0 {
				t.Errorf("ffmpeg ended with %d:\n%s", code, viewer.Output())
			}
			continuous(t, src, file)
			s.WaitLine(t, "session ended", "role=recording", "stream="+path)
			continuous(t, src, s.File(t, rec))
		})
	}
}

// continuous checks that ffprobe sees one stream without a hole.
func continuous(t *testing.T, src harness.Source, file string) {
	t.Helper()
	sees(t, src, file)
	last := map[string]int{}
	for _, p := range harness.Packets(t, file) {
		at, err := strconv.Atoi(p.DTS)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := last[p.Kind]; ok && (at < before || at-before > 150) {
			t.Errorf("%s: %s at %d ms behind %d ms", filepath.Base(file), p.Kind, at, before)
		}
		last[p.Kind] = at
	}
	for kind, at := range last {
		if at < 1500 { // it may begin just before the encoder is killed
			t.Errorf("%s: %s ends at %d ms", filepath.Base(file), kind, at)
		}
	}
	configs := 0
	_, tags := harness.Tags(t, file)
	for _, tag := range tags {
		if flv.ParseBody(tag.Type, tag.Body).Type == media.Config {
			configs++
		}
	}
	if configs > 2 {
		t.Errorf("%s has %d configurations", filepath.Base(file), configs)
	}
}

// inNamespace marks the process that runs in a network of its own.
const inNamespace = "TEST_IN_NAMESPACE"

func TestCase121APublisherWhoseCableIsPulledIsReplaced(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		pullTheCable(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root may make the network whose cable is pulled")
	}
	for _, tool := range []string{"unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s on this machine", tool)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", "--net", "true").CombinedOutput(); err != nil {
		t.Skipf("this system lets nobody make a network: %v, %s", err, out)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.CommandContext(t.Context(), "unshare", "--net", binary, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "3m")
	again.Env = append(os.Environ(), inNamespace+"=1")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("in its network: %v\n%s", err, out)
	}
}

// pullTheCable runs in a network that has nothing yet, not even loopback. The
// first encoder sits in another one, at the far end of a cable.
func pullTheCable(t *testing.T) {
	t.Helper()
	far := harness.Run(t, "", nil, "unshare", "--net", "sleep", "300")
	pid := strconv.Itoa(far.PID())
	harness.Eventually(t, "the far end has its network", func() bool {
		ours, err := os.Readlink("/proc/self/ns/net")
		theirs, err2 := os.Readlink("/proc/" + pid + "/ns/net")
		return err == nil && err2 == nil && ours != theirs
	})
	there := []string{"nsenter", "-t", pid, "-n"}
	for _, line := range []string{
		"ip link set lo up",
		"ip link add near type veth peer name far netns " + pid,
		"ip addr add 192.0.2.1/30 dev near",
		"ip link set near up",
		strings.Join(there, " ") + " ip addr add 192.0.2.2/30 dev far",
		strings.Join(there, " ") + " ip link set far up",
	} {
		do(t, line)
	}
	s := harness.Start(t, "--set", "rtmp.listen=0.0.0.0:0", "--set", "rtmp.idle_timeout=10m")
	_, port, err := net.SplitHostPort(s.RTMP)
	if err != nil {
		t.Fatal(err)
	}
	file := flvtest.Path(t, "h264_aac.flv")
	push := []string{"ffmpeg", "-hide_banner", "-nostats", "-re", "-stream_loop", "-1", "-i", file, "-c", "copy", "-f", "flv"}
	old := harness.Run(t, "", nil, there[0], append(append(there[1:], push...), "rtmp://192.0.2.1:"+port+"/live/cam")...)
	v := harness.Watch(t, s.Play("http", "live/cam?wait=30s"))
	v.Into(t, 500*time.Millisecond)

	do(t, strings.Join(there, " ")+" ip link set far down")
	pulled := time.Now()
	next := "rtmp://127.0.0.1:" + port + "/live/cam"
	for {
		encoder := harness.Run(t, "", nil, push[0], append(push[1:], next)...)
		select {
		case <-encoder.Done(): // refused
			continue
		case <-told(s, "reason=replaced"):
		}
		break
	}
	if d := time.Since(pulled); d > 20*time.Second {
		t.Errorf("it took %v until the new encoder was let in, want 5 s and the time that it needs to start", d)
	}
	v.Into(t, 500*time.Millisecond)

	// The old encoder learns that nobody knows it any more.
	do(t, strings.Join(there, " ")+" ip link set far up")
	old.Wait(t)
	for range 3 {
		v.Into(t, 500*time.Millisecond)
	}
	for _, line := range s.Lines() {
		if strings.Contains(line, "session ended") && !strings.Contains(line, "reason=replaced") {
			t.Errorf("logged %s", line)
		}
	}
}

// told returns a channel that is closed when the server has logged that.
func told(s *harness.Server, text string) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for !strings.Contains(s.Output(), text) {
			select {
			case <-s.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return c
}

func do(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	harness.Output(t, nil, words[0], words[1:]...)
}
