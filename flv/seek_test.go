package flv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
)

// seekTo returns what a viewer is sent who asks for a file from at on.
func seekTo(t *testing.T, file []byte, at time.Duration) (flv.Start, flv.Header, []flv.Tag) {
	t.Helper()
	start, err := flv.SeekFile(bytes.NewReader(file), int64(len(file)), at)
	if err != nil {
		t.Fatal(err)
	}
	h, tags := mustRead(t, append(bytes.Clone(start.Head), file[start.Offset:]...))
	return start, h, tags
}

func TestSeekingBeginsAtTheKeyFrameAtOrBefore(t *testing.T) {
	t.Parallel()
	var finished, unfinished, thin memFile
	record(t, &finished, "h264_aac.flv", 0, 0)
	recordUnfinished(t, &unfinished, "h264_aac.flv", 0, 0)
	record(t, &thin, "h264_aac.flv", 0, 4)
	for name, file := range map[string][]byte{
		"with an index": finished.b, "without an index": unfinished.b, "with a thin index": thin.b,
	} {
		for at, want := range map[time.Duration]time.Duration{
			-time.Second:  23 * ms,
			0:             23 * ms,
			23 * ms:       23 * ms,
			1022 * ms:     23 * ms,
			1023 * ms:     1023 * ms,
			2500 * ms:     2023 * ms,
			3023 * ms:     3023 * ms,
			time.Hour:     3023 * ms,
			math.MaxInt64: 3023 * ms,
			3023*ms + 999: 3023 * ms,
		} {
			start, h, tags := seekTo(t, file, at)
			if start.DTS != want {
				t.Errorf("%s: seeking %v begins at %v, want %v", name, at, start.DTS, want)
			}
			checkStart(t, h, tags, want)
		}
	}
}

// checkStart checks the head of an answer with H.264 and AAC.
func checkStart(t *testing.T, h flv.Header, tags []flv.Tag, at time.Duration) {
	t.Helper()
	if !h.Audio || !h.Video {
		t.Errorf("header %+v", h)
	}
	props := properties(t, tags[0].Body)
	for _, p := range props {
		if p.Key == "keyframes" || p.Key == "filesize" || p.Key == "filler" {
			t.Errorf("the answer has %s", p.Key)
		}
	}
	for i, want := range []struct {
		kind media.Kind
		typ  media.Type
		key  bool
	}{{media.Video, media.Config, false}, {media.Audio, media.Config, false}, {media.Video, media.Frame, true}} {
		p := flv.ParseBody(tags[i+1].Type, tags[i+1].Body)
		if p.Kind != want.kind || p.Type != want.typ || p.Key != want.key || tags[i+1].DTS != at {
			t.Errorf("tag %d at %v is %v of type %d, want %+v at %v", i+1, tags[i+1].DTS, p.Kind, p.Type, want, at)
		}
	}
}

func TestAnAnswerFromTheMidstPlays(t *testing.T) {
	t.Parallel()
	var file memFile
	record(t, &file, "h264_bframes_aac.flv", 0, 0)
	start, _, _ := seekTo(t, file.b, 2*time.Second)
	got := ffprobe(t, append(start.Head, file.b[start.Offset:]...))
	whole := ffprobe(t, file.b)
	want := 0
	for _, p := range whole.Packets {
		if number, err := seconds(p.DTS); err == nil && number >= start.DTS-20*ms {
			want++
		}
	}
	if len(got.Packets) < want-2 || len(got.Packets) > want || got.Packets[0].Flags[0] != 'K' {
		t.Errorf("ffprobe: %d packets from %v on, want about %d", len(got.Packets), start.DTS, want)
	}
}

func TestSoundAloneIsSoughtByItsFrames(t *testing.T) {
	t.Parallel()
	var file memFile
	record(t, &file, "aac_only.flv", 0, 0)
	start, h, tags := seekTo(t, file.b, 2500*ms)
	if h.Video || start.DTS > 2500*ms || start.DTS < 2476*ms || tags[2].DTS != start.DTS {
		t.Errorf("begins at %v", start.DTS)
	}
}

func TestAnIndexThatIsNotTrueDoesNotLeadAstray(t *testing.T) {
	t.Parallel()
	var file memFile
	record(t, &file, "h264_aac.flv", 0, 0)
	index, err := flv.ReadIndex(&file)
	if err != nil {
		t.Fatal(err)
	}
	good := binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(index[3].Offset)))
	for _, lie := range []float64{float64(index[3].Offset) + 1, float64(index[3].Offset) - 20_000, 1e15, 0, -1, math.NaN(), math.Inf(1)} {
		bad := binary.BigEndian.AppendUint64(nil, math.Float64bits(lie))
		b := bytes.Replace(file.b, good, bad, 1)
		if start, _, _ := seekTo(t, b, 2100*ms); start.DTS != 2023*ms {
			t.Errorf("an entry at %v: begins at %v", lie, start.DTS)
		}
	}
}

func TestReadIndexOfWhatHasNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "aac_only.flv"} {
		if index, err := flv.ReadIndex(bytes.NewReader(flvtest.Bytes(t, name))); err != nil || index != nil {
			t.Errorf("%s: %+v, %v", name, index, err)
		}
	}
	if index, err := flv.ReadIndex(bytes.NewReader(flvtest.Bytes(t, "h264_aac_kfindex.flv"))); err != nil || len(index) != 4 {
		t.Errorf("h264_aac_kfindex.flv: %+v, %v; want 4 key frames", index, err)
	}
	if _, err := flv.ReadIndex(bytes.NewReader([]byte("no such file"))); !errors.Is(err, flv.ErrHeader) {
		t.Errorf("of something else: %v", err)
	}
	for name, keyframes := range map[string]amf0.Object{
		"other counts": {{Key: "filepositions", Value: amf0.StrictArray{1.0, 2.0}}, {Key: "times", Value: amf0.StrictArray{1.0}}},
		"text":         {{Key: "filepositions", Value: amf0.StrictArray{"1"}}, {Key: "times", Value: amf0.StrictArray{1.0}}},
		"backwards":    {{Key: "filepositions", Value: amf0.StrictArray{9.0, 2.0}}, {Key: "times", Value: amf0.StrictArray{1.0, 2.0}}},
		"no times":     {{Key: "filepositions", Value: amf0.StrictArray{9.0}}},
	} {
		body := onMetaData(t, amf0.Object{{Key: "keyframes", Value: keyframes}}).Body
		file := mux(t, flv.Header{}, []flv.Tag{{Type: flv.TagScript, Body: body}})
		if index, err := flv.ReadIndex(bytes.NewReader(file)); err != nil || index != nil {
			t.Errorf("%s: %+v, %v", name, index, err)
		}
	}
}

func TestSeekingInAnyFileCutAnywhere(t *testing.T) {
	t.Parallel()
	var file memFile
	record(t, &file, "h264_aac.flv", 0, 4)
	for n := range min(3000, len(file.b)) {
		start, err := flv.SeekFile(bytes.NewReader(file.b[:n]), int64(n), time.Second)
		if err == nil && start.Offset > int64(n)+4 {
			t.Fatalf("cut at %d: begins at byte %d", n, start.Offset)
		}
	}
}
