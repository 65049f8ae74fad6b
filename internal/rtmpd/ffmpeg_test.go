package rtmpd_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/rtmpd"
	"sluice/internal/stream"
)

// fixture is the file that is published.
const fixture = "h264_aac.flv"

// onTCP runs a server on the loopback interface.
func onTCP(t *testing.T) (h *house, addr string) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return open(t, rtmpd.DefaultConfig(), ln), ln.Addr().String()
}

// ffmpeg publishes the fixture in real time, or as fast as it can.
func ffmpeg(ctx context.Context, file, url string, fast bool) (stderr string, err error) {
	args := []string{"-nostdin", "-v", "error", "-re", "-i", file, "-c", "copy", "-f", "flv", url}
	if fast {
		args = append(args[:3], args[4:]...)
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	err = cmd.Run()
	return log.String(), err
}

func TestFFmpegPublishesEveryFrame(t *testing.T) {
	t.Parallel()
	h, addr := onTCP(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	file := flvtest.Path(t, fixture)
	go func() {
		log, err := ffmpeg(ctx, file, "rtmp://"+addr+"/live/a/b/cam1?token=abc", false)
		if log != "" {
			err = errors.Join(err, errors.New(log))
		}
		done <- err
	}()
	s, err := h.deps.Streams.Wait(ctx, "live/a/b/cam1")
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t, s)
	if err := <-done; err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	if err := <-w.end; !errors.Is(err, stream.ErrUnpublished) {
		t.Errorf("the stream ended with %v, want %v", err, stream.ErrUnpublished)
	}
	sameFrames(t, w.all(), flvtest.Tags(t, fixture))
	if m := s.Metadata(); m == nil || !bytes.HasPrefix(m.Body, []byte("\x02\x00\x0aonMetaData\x08")) {
		t.Errorf("metadata %v", m)
	}
}

func TestCase056SlashInATokenIsHintedAt(t *testing.T) {
	t.Parallel()
	h, addr := onTCP(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if log, err := ffmpeg(ctx, flvtest.Path(t, fixture), "rtmp://"+addr+"/live/cam1?token=a/b", true); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, log)
	}
	h.stop() // so that everything is logged
	err := <-h.done
	h.done <- err
	var hints []string
	for _, line := range h.log.lines(t, `the path goes on behind a query: if that was a token, its "/" must be percent-encoded as %2F`) {
		path, _ := line["stream"].(string)
		hints = append(hints, path)
	}
	if len(hints) != 1 || hints[0] != "live/cam1/b" {
		t.Errorf("hints about %q, want live/cam1/b", hints)
	}
	if got := h.log.lines(t, "session began"); len(got) != 1 || got[0]["stream"] != "live/cam1/b" {
		t.Errorf("published %v, want live/cam1/b", got)
	}
}

func TestFFmpegShowsWhyItWasRefused(t *testing.T) {
	t.Parallel()
	h, addr := onTCP(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pub, err := h.deps.Streams.Publish("live/taken")
	if err != nil {
		t.Fatal(err)
	}
	defer pub.End(stream.ErrUnpublished)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // one that is silent for long is replaced
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				_ = pub.Write(flv.ParseBody(flv.TagAudio, sound())) // the end of the test stops it
			}
		}
	}()
	for url, want := range map[string]string{
		"/live/taken":  "published already",
		"/record/cam1": "reserved",
		"/live/a/../b": "a segment",
	} {
		start := time.Now()
		log, err := ffmpeg(ctx, flvtest.Path(t, fixture), "rtmp://"+addr+url, true)
		if err == nil || !strings.Contains(log, "Server error: ") || !strings.Contains(log, want) {
			t.Errorf("%s: %v\n%s", url, err, log)
		}
		if took := time.Since(start); took > 30*time.Second { // it would go on for ever
			t.Errorf("%s: refused after %v", url, took)
		}
	}
}
