package remux_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/remux"
	"sluice/media"
)

// remuxed returns the MP4 file of an FLV file, and what was left out of it.
func remuxed(tb testing.TB, file []byte, o remux.Options) ([]byte, []string) {
	tb.Helper()
	s, err := remux.Open(bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	n, err := s.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		tb.Fatalf("WriteTo() = %d, %v, of %d bytes", n, err, out.Len())
	}
	return out.Bytes(), s.LeftOut()
}

// saved puts a file where programs find it.
func saved(tb testing.TB, content []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "a.mp4")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// run runs a program, which must not complain, and returns its output.
func run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		tb.Fatalf("%s %q: %v\n%s", name, args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// sample is a frame as a reader of MP4 sees it.
type sample struct {
	kind     string
	pts, dts float64 // seconds
	key      bool
	hash     string
}

// probed returns the samples of a file that ffprobe finds.
func probed(tb testing.TB, name string) map[string][]sample {
	tb.Helper()
	var answer struct {
		Packets []struct {
			Kind  string `json:"codec_type"`
			PTS   string `json:"pts_time"`
			DTS   string `json:"dts_time"`
			Flags string `json:"flags"`
			Hash  string `json:"data_hash"`
		} `json:"packets"`
	}
	text := run(tb, "ffprobe", "-v", "error", "-show_packets", "-show_data_hash", "sha256", "-of", "json", name)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		tb.Fatal(err)
	}
	all := map[string][]sample{}
	for _, p := range answer.Packets {
		pts, err := strconv.ParseFloat(p.PTS, 64)
		if err != nil {
			tb.Fatalf("a packet without a time: %+v", p)
		}
		dts, err := strconv.ParseFloat(p.DTS, 64)
		if err != nil {
			tb.Fatalf("a packet without a time: %+v", p)
		}
		all[p.Kind] = append(all[p.Kind], sample{
			p.Kind, pts, dts, strings.HasPrefix(p.Flags, "K"), strings.TrimPrefix(p.Hash, "SHA256:"),
		})
	}
	return all
}

// expected returns the samples of the default tracks of an FLV file, the first
// one presented at 0.
func expected(tb testing.TB, file []byte) map[string][]sample {
	tb.Helper()
	all := map[string][]sample{}
	first := math.Inf(1)
	tags := flv.NewReader(bytes.NewReader(file))
	for {
		tag, err := tags.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		for _, p := range flv.AppendPackets(nil, tag.Type, tag.Body) {
			if p.Type != media.Frame || p.Track != 0 || p.Kind == media.Data {
				continue
			}
			sum := sha256.Sum256(p.Bytes())
			s := sample{
				p.Kind.String(), (tag.DTS + p.CTS + p.Nano).Seconds(), tag.DTS.Seconds(), p.Key || p.Kind == media.Audio, hex.EncodeToString(sum[:]),
			}
			first = min(first, s.pts)
			all[s.kind] = append(all[s.kind], s)
		}
	}
	for _, track := range all {
		for i := range track {
			track[i].pts -= first
			track[i].dts -= first
		}
	}
	return all
}

// same compares the samples of a track, whose times may differ by so many
// seconds.
func same(tb testing.TB, kind string, want, got []sample, off float64) {
	tb.Helper()
	back := 0.0 // decoding is earlier where something was to be presented before it
	for _, w := range want {
		back = max(back, w.dts-w.pts)
	}
	if len(want) != len(got) {
		tb.Errorf("%s: %d samples, want %d", kind, len(got), len(want))
		return
	}
	for i, w := range want {
		g := got[i]
		if math.Abs(g.pts-w.pts) > off || g.dts > w.dts+off || g.dts < w.dts-off-back || g.key != w.key || g.hash != w.hash {
			tb.Errorf("%s: sample %d is\n%+v, want\n%+v", kind, i, g, w)
			return
		}
	}
}

// rounding is how far times of sound are apart that are counted in samples here
// and in milliseconds there.
const rounding = 0.0011

func TestEveryFrameIsInTheMP4WithItsTime(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"aac_only", "h264_aac", "h264_aac_kfindex", "h264_bframes_aac", "h264_mp3", "h264_only", "h264_opus_enhanced", "h264_flac_enhanced",
		"hevc_aac_enhanced", "hevc_only_codedframesx", "hevc_hdr10_colorinfo", "av1_opus_enhanced", "vp9_opus_enhanced",
		"multitrack_2v2a", "multitrack_h264_hevc",
		"mutants/aac_ex_mp4a", "mutants/avc_ex_avc1", "mutants/dup_seq", "mutants/flags5_audioonly", "mutants/flags5_videoonly",
		"mutants/hevc_codecid12", "mutants/hevc_modex", "mutants/hevc_stripped", "mutants/jump_fwd60", "mutants/meta_ts_nonzero",
		"mutants/multitrack_manyinone", "mutants/negative_cts", "mutants/ts_24bit", "mutants/ts_2p31cross", "mutants/unknown_tag15",
		"mutants/empty_audio", "mutants/late_video",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := flvtest.Bytes(t, name+".flv")
			out, left := remuxed(t, file, remux.Options{})
			if len(left) > 0 {
				t.Errorf("left out: %q", left)
			}
			mp4 := saved(t, out)
			got, want := probed(t, mp4), expected(t, file)
			same(t, "video", want["video"], got["video"], 0.00002)
			same(t, "audio", want["audio"], got["audio"], rounding)
			if name == "mutants/negative_cts" {
				return // two of its pictures have one time, of which ffmpeg complains
			}
			run(t, "ffmpeg", "-v", "error", "-xerror", "-i", mp4, "-f", "null", "-")
		})
	}
}

func TestG711BecomesFLACWithoutLoss(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_alaw8k.flv", "h264_mulaw8k.flv"} {
		mp4 := saved(t, first(remuxed(t, flvtest.Bytes(t, name), remux.Options{})))
		decoded := func(file string) string {
			return run(t, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-map", "0:a", "-c:a", "pcm_s16le", "-f", "md5", "-")
		}
		if got, want := decoded(mp4), decoded(flvtest.Path(t, name)); got != want {
			t.Errorf("%s: the samples are %s, want %s", name, got, want)
		}
		got, want := probed(t, mp4), expected(t, flvtest.Bytes(t, name))
		same(t, "video", want["video"], got["video"], 0.00002)
		if g, w := got["audio"][0].pts, want["audio"][0].pts; math.Abs(g-w) > rounding {
			t.Errorf("%s: sound begins at %v, want %v", name, g, w)
		}
	}
}

func first[T, U any](v T, _ U) T { return v }

func TestPlayersAreToldTheDurationAndTheShapeOfThePicture(t *testing.T) {
	t.Parallel()
	entries := func(file, of string) string {
		return run(t, "ffprobe", "-v", "error", "-show_entries", of, "-of", "csv=p=0", file)
	}
	for name, want := range map[string]string{
		"h264_bframes_aac.flv":     "h264,avc1,320,180,1:1",
		"hevc_aac_enhanced.flv":    "hevc,hvc1,320,180,1:1",
		"hevc_hdr10_colorinfo.flv": "hevc,hvc1,320,180,1:1",
		"av1_opus_enhanced.flv":    "av1,av01,320,180,N/A",
		"vp9_opus_enhanced.flv":    "vp9,vp09,320,180,N/A",
	} {
		mp4 := saved(t, first(remuxed(t, flvtest.Bytes(t, name), remux.Options{})))
		if got := run(t, "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
			"stream=codec_name,codec_tag_string,width,height,sample_aspect_ratio", "-of", "csv=p=0", mp4); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		d, err := strconv.ParseFloat(entries(mp4, "format=duration"), 64)
		if err != nil || math.Abs(d-4) > 0.2 {
			t.Errorf("%s: it lasts %v s, %v", name, d, err)
		}
	}
}

func TestTheHeadSaysTheDurationOfAFinishedFile(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_aac.flv")
	for _, tc := range []struct {
		o    remux.Options
		want uint32 // milliseconds, 0 for none
	}{
		{remux.Options{}, 4000},
		{remux.Options{Growing: true}, 0},
		{remux.Options{End: 2 * time.Second, Growing: true}, 2000},
		{remux.Options{End: 2 * time.Second}, 2000},
		{remux.Options{End: time.Minute}, 4000},
	} {
		out, _ := remuxed(t, file, tc.o)
		mehd := bytes.Index(out, []byte("mehd"))
		var got uint32
		if mehd > 0 {
			got = uint32(out[mehd+8])<<24 | uint32(out[mehd+9])<<16 | uint32(out[mehd+10])<<8 | uint32(out[mehd+11])
		}
		if off := int(got) - int(tc.want); off < -100 || off > 100 {
			t.Errorf("%+v: %d ms, want %d", tc.o, got, tc.want)
		}
	}
}

func TestAPartBeginsAtAKeyFrameAndAtZero(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_bframes_aac.flv")
	all := expected(t, file)
	for _, tc := range []struct {
		start, end time.Duration
		keys       int
	}{{2500 * time.Millisecond, 0, 2}, {1100 * time.Millisecond, 3 * time.Second, 2}, {time.Hour, 0, 1}, {time.Millisecond, 0, 4}} {
		t.Run(fmt.Sprint(tc.start, tc.end), func(t *testing.T) {
			t.Parallel()
			mp4 := saved(t, first(remuxed(t, file, remux.Options{Start: tc.start, End: tc.end})))
			got := probed(t, mp4)
			video, audio := got["video"], got["audio"]
			keys := 0
			for _, s := range video {
				if s.key {
					keys++
				}
			}
			if keys != tc.keys || !video[0].key {
				t.Errorf("%d key frames, want %d; the first picture: %+v", keys, tc.keys, video[0])
			}
			if at := min(video[0].pts, audio[0].pts); at < 0 || at > rounding {
				t.Errorf("it begins at %v", at)
			}
			between := func(of map[string][]sample) float64 {
				v, a := of["video"], of["audio"]
				var from, sound float64
				for _, s := range v {
					if s.hash == video[0].hash {
						from = s.pts
					}
				}
				for _, s := range a {
					if s.hash == audio[0].hash {
						sound = s.pts
					}
				}
				return sound - from
			}
			if g, w := between(got), between(all); math.Abs(g-w) > rounding {
				t.Errorf("sound is %v s behind the picture, want %v", g, w)
			}
			run(t, "ffmpeg", "-v", "error", "-xerror", "-i", mp4, "-f", "null", "-")
		})
	}
}

func TestWhatCannotBeCarriedIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_ac3_enhanced.flv", "h264_eac3_enhanced.flv"} {
		out, left := remuxed(t, flvtest.Bytes(t, name), remux.Options{})
		if len(left) != 1 || !strings.HasPrefix(left[0], "audio:") {
			t.Errorf("%s: left out: %q", name, left)
		}
		if got := probed(t, saved(t, out)); len(got["video"]) != 100 || len(got["audio"]) != 0 {
			t.Errorf("%s: %d pictures and %d frames of sound", name, len(got["video"]), len(got["audio"]))
		}
	}
	for name, body := range map[string]string{"audio:Speex": "\xb2\x01\x02\x03", "audio:unknown": "\x91zzzz\x01"} {
		file, err := flv.AppendTag(flv.AppendHeader(nil, true, false), flv.TagAudio, 0, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = remux.Open(bytes.NewReader(file), int64(len(file)), remux.Options{})
		if !errors.Is(err, remux.ErrNothing) || !strings.Contains(err.Error(), name) {
			t.Errorf("Open() = %v, want something with %q", err, name)
		}
	}
}

func TestAFileEndsWhereItsConfigurationChanges(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mutants/asc_change.flv", "mutants/avc_to_hevc.flv", "mutants/sps_change_nogap.flv"} {
		file := flvtest.Bytes(t, name)
		s, err := remux.Open(bytes.NewReader(file), int64(len(file)), remux.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); !errors.Is(err, remux.ErrChanged) {
			t.Errorf("%s: WriteTo() = %v", name, err)
		}
		if got := probed(t, saved(t, out.Bytes())); len(got["video"]) < 20 {
			t.Errorf("%s: %d pictures before the change", name, len(got["video"]))
		}
	}
}
