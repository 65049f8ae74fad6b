// Package e2e_test runs the real server with real peers, each in a process of
// its own: ffmpeg as encoder and player, ffplay, nginx, and whatever a network
// may throw at it.
package e2e_test

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/media"
	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// codec returns what ffprobe's name of a codec is to the server.
func codec(name string) media.Codec {
	return map[string]media.Codec{
		"h264": media.H264, "aac": media.AAC, "pcm_alaw": media.G711A, "pcm_mulaw": media.G711U,
	}[name]
}

func slug(name string) string { return strings.NewReplacer(" ", "-", "+", "-").Replace(name) }

func TestWhatFFmpegPublishesComesBackEverywhere(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, src := range harness.Sources() {
		t.Run(src.Name, func(t *testing.T) {
			t.Parallel()
			paths := []string{slug(src.Name), "live/" + slug(src.Name), "a/b/c/" + slug(src.Name)}
			harness.Publish(t, src, s.Push(paths[0]), s.Push(paths[1]), s.Push(paths[2]))
			for _, path := range paths {
				for _, scheme := range []string{"http", "ws"} {
					for _, suffix := range []string{"", ".flv"} {
						comesBack(t, src, s.Play(scheme, path+suffix+"?wait=30s"))
					}
				}
			}
		})
	}
}

// comesBack watches for a while: the tracks that were published are there, the
// header says so, and each begins where a decoder can.
func comesBack(t *testing.T, src harness.Source, address string) {
	t.Helper()
	v := harness.Watch(t, address)
	defer v.Close()
	h, err := v.Header()
	if err != nil || h.Video != (src.Video != "") || h.Audio != (src.Audio != "") {
		t.Fatalf("%s: the header says %+v (%v)", address, h, err)
	}
	frames, config := map[media.Kind]int{}, map[media.Kind]bool{}
	for h.Video && frames[media.Video] < 5 || h.Audio && frames[media.Audio] < 5 {
		p := v.Packet(t)
		want := codec(src.Audio)
		if p.Kind == media.Video {
			want = codec(src.Video)
		}
		switch {
		case p.Kind == media.Data:
		case p.Codec != want:
			t.Fatalf("%s: %v of codec %v, want %v", address, p.Kind, p.Codec, want)
		case p.Type == media.Config:
			config[p.Kind] = true
		case p.Type != media.Frame:
		case want.NeedsConfig() && !config[p.Kind]:
			t.Fatalf("%s: %v without a configuration before it", address, p.Kind)
		case p.Kind == media.Video && frames[media.Video] == 0 && !p.Key:
			t.Fatalf("%s: the first picture is no key frame", address)
		default:
			frames[p.Kind]++
		}
	}
}

func TestFFmpegSavesAndFFplayPlaysWhatIsPublished(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, src := range harness.Sources() {
		t.Run(src.Name, func(t *testing.T) {
			t.Parallel()
			path := "live/" + slug(src.Name)
			encoder := harness.Publish(t, src, s.Push(path))
			url := s.Play("http", path+".flv")
			comesBack(t, src, url+"?wait=30s")

			formats := []string{"flv", "mkv"}
			if src.Audio == "" || src.Audio == "aac" {
				formats[1] = "mp4" // which knows no G.711
			}
			for _, format := range formats {
				file := filepath.Join(t.TempDir(), "output."+format)
				harness.Output(t, nil, "ffmpeg", "-v", "error", "-t", "2", "-i", url, "-c", "copy", file)
				sees(t, src, file)
				if packets := harness.Packets(t, file); len(packets) < 15 {
					t.Errorf("%s has %d packets only", file, len(packets))
				}
			}
			play(t, src, url, encoder)
		})
	}
}

func sees(t *testing.T, src harness.Source, file string) {
	t.Helper()
	var want []string
	if src.Audio != "" {
		want = append(want, "audio "+src.Audio)
	}
	if src.Video != "" {
		want = append(want, "video "+src.Video)
	}
	got := harness.Codecs(t, file)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("ffprobe sees %q in %s, want %q", got, file, want)
	}
}

// play runs ffplay until the encoder ends, which has to end it too. Its option
// -t does not: on a live stream it only stops showing what comes later.
func play(t *testing.T, src harness.Source, url string, encoder *harness.Process) {
	t.Helper()
	p := harness.Run(t, "", []string{"SDL_VIDEODRIVER=dummy", "SDL_AUDIODRIVER=dummy"},
		"ffplay", "-hide_banner", "-stats", "-autoexit", "-t", "5", url)
	start := -1.0
	p.WaitFor(t, "a clock that has gone on for two seconds", func(line string) bool {
		clock, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := strconv.ParseFloat(clock, 64)
		if err != nil || math.IsNaN(at) || !strings.Contains(rest, "aq=") {
			return false
		}
		if start < 0 {
			start = at
		}
		return at >= start+2
	})
	encoder.Stop(t)
	code := p.Wait(t)
	out := p.Output()
	if code != 0 || src.Video != "" && !strings.Contains(out, "Video: "+src.Video) ||
		src.Audio != "" && !strings.Contains(out, "Audio: "+src.Audio) {
		t.Errorf("ffplay ended with %d:\n%s", code, out)
	}
}
