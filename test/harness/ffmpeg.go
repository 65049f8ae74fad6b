package harness

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

// Source is what an encoder sends: arguments for ffmpeg.
type Source struct {
	Name         string
	Video, Audio string // as ffprobe calls the codecs, empty where there is none
	Input        []string
	Codecs       []string
}

// Sources returns what the encoders of the tests send: each audio codec beside
// H.264, and either track alone.
func Sources() []Source {
	picture := []string{"-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"}
	sound := []string{"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"}
	x264 := []string{
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
		"-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-b:v", "250k", "-flags", "+global_header",
	}
	both := slices.Concat(picture, sound)
	aac := []string{"-c:a", "aac", "-b:a", "64k", "-ac", "2", "-flags", "+global_header"}
	g711 := []string{"-ar", "8000", "-ac", "1"}
	return []Source{
		{"h264+aac", "h264", "aac", both, slices.Concat(x264, aac)},
		{"h264+alaw", "h264", "pcm_alaw", both, slices.Concat(x264, []string{"-c:a", "pcm_alaw"}, g711)},
		{"h264+mulaw", "h264", "pcm_mulaw", both, slices.Concat(x264, []string{"-c:a", "pcm_mulaw"}, g711)},
		{"audio only", "", "aac", sound, aac},
		{"video only", "h264", "", picture, x264},
	}
}

// LongGOP returns what an encoder sends that has time: key frames 4 s apart, and
// pictures that are decoded in another order than they are shown.
func LongGOP() Source {
	return Source{
		Name: "4 s GOP with B-frames", Video: "h264", Audio: "aac",
		Input: []string{
			"-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
			"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100",
		},
		Codecs: []string{
			"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "100", "-keyint_min", "100", "-sc_threshold", "0",
			"-bf", "3", "-b_strategy", "0", "-b:v", "500k", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-flags", "+global_header",
		},
	}
}

// Publish runs ffmpeg as an encoder that sends one encoding to each of the
// URLs, in real time, until it is stopped.
func Publish(tb testing.TB, src Source, urls ...string) *Process {
	tb.Helper()
	args := slices.Concat([]string{"-hide_banner", "-nostats", "-loglevel", "info"}, src.Input, src.Codecs)
	if len(urls) == 1 {
		return Run(tb, "", nil, "ffmpeg", append(args, "-f", "flv", urls[0])...)
	}
	if src.Video != "" {
		args = append(args, "-map", "0:v")
	}
	if src.Video != "" && src.Audio != "" {
		args = append(args, "-map", "1:a")
	}
	if src.Video == "" {
		args = append(args, "-map", "0:a")
	}
	tee := make([]string, len(urls))
	for i, u := range urls {
		tee[i] = "[f=flv]" + u
	}
	return Run(tb, "", nil, "ffmpeg", append(args, "-f", "tee", strings.Join(tee, "|"))...)
}

// PublishFile runs ffmpeg as an encoder that sends a file as it is, in real
// time and over and over, until it is stopped.
func PublishFile(tb testing.TB, file, url string) *Process {
	tb.Helper()
	return Run(tb, "", nil, "ffmpeg", "-hide_banner", "-nostats", "-loglevel", "info",
		"-re", "-stream_loop", "-1", "-i", file, "-c", "copy", "-f", "flv", url)
}

// Probed is one packet as ffprobe sees it.
type Probed struct{ Kind, PTS, DTS, Hash string }

// Packets demuxes a file with ffprobe.
func Packets(tb testing.TB, file string) []Probed {
	tb.Helper()
	out := Output(tb, nil, "ffprobe", "-v", "fatal", "-show_packets", "-show_data_hash", "sha256",
		"-show_entries", "packet=codec_type,pts,dts,data_hash", "-of", "csv=p=0", file)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		tb.Fatalf("ffprobe wrote what is not CSV (%v):\n%s", err, out)
	}
	var packets []Probed
	for _, r := range rows {
		if len(r) < 4 {
			tb.Fatalf("ffprobe wrote a row of %q", r)
		}
		packets = append(packets, Probed{r[0], r[1], r[2], r[3]})
	}
	return packets
}

// Codecs returns what ffprobe finds in a file or at a URL: "video h264", one
// for each of its streams.
func Codecs(tb testing.TB, input string) []string {
	tb.Helper()
	out := Output(tb, nil, "ffprobe", "-v", "fatal", "-show_entries", "stream=codec_type,codec_name", "-of", "csv=p=0", input)
	var codecs []string
	for line := range strings.Lines(out) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), ",")
		codecs = append(codecs, strings.TrimSuffix(kind, ",")+" "+name)
	}
	return codecs
}

// Duration returns how long a file is, in seconds, as ffprobe sees it.
func Duration(tb testing.TB, file string) string {
	tb.Helper()
	return strings.TrimSpace(Output(tb, nil, "ffprobe", "-v", "fatal", "-show_entries", "format=duration", "-of", "csv=p=0", file))
}
