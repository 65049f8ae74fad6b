package peers_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// commands returns the commands in the shell blocks of a page, each as one
// line. One below a comment that asks for a newer program is left out.
func commands(t *testing.T, page string) []string {
	t.Helper()
	var out []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(read(t, page), -1) {
		newer := false
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			if !newer && !strings.HasPrefix(line, "#") {
				out = append(out, strings.TrimSpace(line))
			}
			newer = strings.HasPrefix(line, "#") && strings.Contains(line, "or newer")
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return out
}

func TestTheCommandsOnThePagesAboutPublishingWork(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	const target = "rtmp://localhost:1935/live/test"
	for i, line := range append(commands(t, "docs/encoders.md"), commands(t, "docs/publish.md")...) {
		path := fmt.Sprint("page/", i)
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(line, target) {
				t.Fatalf("%q publishes nowhere", line)
			}
			ready := strings.ReplaceAll(line, target, s.Push(path))
			ready = regexp.MustCompile(`\S+\.(mp4|mkv|flv)\b`).ReplaceAllLiteralString(ready, flvtest.Path(t, "h264_aac.flv"))
			words := strings.Fields(ready)
			want := []media.Codec{media.H264}
			switch {
			case strings.Contains(line, "alawenc"):
				want = []media.Codec{media.G711A, media.H264}
			case !strings.HasPrefix(line, "gst-launch") || strings.Contains(line, "aac"):
				want = []media.Codec{media.AAC, media.H264}
			}
			if words[0] == "sluice" {
				words[0] = harness.Binary(t)
			}
			if words[0] == "ffmpeg" {
				words = append([]string{"ffmpeg", "-nostdin"}, words[1:]...)
			}
			harness.Run(t, "", nil, words[0], words[1:]...)
			comes(t, s.Play("http", path+".flv?wait=60s&profile=raw"), want...)
		})
	}
}

// TestGStreamerEndsItsStream has rtmp2sink, which waits for the server's word at
// each step and gives the stream's number as a text, come to its end.
func TestGStreamerEndsItsStream(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	p := harness.Run(t, "", nil, "gst-launch-1.0", strings.Fields("-e flvmux name=mux streamable=true ! rtmp2sink location="+s.Push("gst/test")+
		" videotestsrc is-live=true num-buffers=60 ! video/x-raw,width=320,height=180 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! mux."+
		" audiotestsrc is-live=true num-buffers=90 ! audio/x-raw,rate=44100,channels=2 ! avenc_aac ! mux.")...)
	v := harness.Watch(t, s.Play("http", "gst/test?wait=60s"))
	if _, err := v.Rest(); err != nil {
		t.Errorf("the viewer's body does not end as it should: %v", err)
	}
	if code := p.Wait(t); code != 0 {
		t.Errorf("gst-launch ended with %d", code)
	}
	s.WaitLine(t, "session ended", "role=publisher", "reason=unpublished")
}
