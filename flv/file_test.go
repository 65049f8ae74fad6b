package flv_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
)

func TestAFinishedFileTellsItsLengthAndItsKeyFrames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_bframes_aac.flv", "h264_alaw8k.flv", "h264_mp3.flv", "h264_only.flv", "aac_only.flv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var file memFile
			info := record(t, &file, name, 3*time.Hour, 0)
			if info.Size != int64(len(file.b)) {
				t.Errorf("Info().Size = %d of %d bytes", info.Size, len(file.b))
			}
			h, tags := mustRead(t, file.b)
			checkTags(t, name, tags)
			if h.Audio != info.Audio || h.Video != info.Video || h.Video != (name != "aac_only.flv") || h.Audio != (name != "h264_only.flv") {
				t.Errorf("header %+v, info %+v", h, info)
			}
			props := properties(t, tags[0].Body)
			if got := number(t, props, "filesize"); got != float64(len(file.b)) {
				t.Errorf("filesize %v of %d bytes", got, len(file.b))
			}
			if got := number(t, props, "duration"); got != info.Duration.Seconds() {
				t.Errorf("duration %v, Info() says %v", got, info.Duration)
			}
			checkIndex(t, file.b, h.Video)

			p := ffprobe(t, file.b)
			if got := p.duration(t); (got - info.Duration).Abs() > 40*ms {
				t.Errorf("ffprobe: duration %v, want %v", got, info.Duration)
			}
			if want := 1 + btoi(h.Audio && h.Video); len(p.Streams) != want {
				t.Errorf("ffprobe: %d streams, want %d", len(p.Streams), want)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkTags compares a recording with what was recorded.
func checkTags(t *testing.T, name string, got []flv.Tag) {
	t.Helper()
	want := flvtest.Tags(t, name)
	bodies := func(tags []flv.Tag, typ uint8) (b [][]byte, dts []time.Duration) {
		for _, tag := range tags {
			if tag.Type == typ {
				b, dts = append(b, tag.Body), append(dts, tag.DTS)
			}
		}
		return b, dts
	}
	for _, typ := range []uint8{flv.TagAudio, flv.TagVideo} {
		gotBodies, gotDTS := bodies(got, typ)
		wantBodies, wantDTS := bodies(want, typ)
		if !slices.EqualFunc(gotBodies, wantBodies, bytes.Equal) {
			t.Errorf("type %d: other bodies than those recorded", typ)
		}
		if diff := cmp.Diff(wantDTS, gotDTS); diff != "" {
			t.Errorf("type %d: other times (-want +got):\n%s", typ, diff)
		}
	}
}

// checkIndex compares the index of a file with the key frames that ffprobe
// finds, where there is video.
func checkIndex(t *testing.T, file []byte, video bool) {
	t.Helper()
	index, err := flv.ReadIndex(bytes.NewReader(file))
	if err != nil || len(index) < 3 {
		t.Fatalf("ReadIndex() = %+v, %v", index, err)
	}
	first := tagAt(t, file, index[0].Offset)
	if p := flv.ParseBody(first.Type, first.Body); video && p.Type != media.Config || index[0].DTS != 0 {
		t.Errorf("entry 0 is of type %d at %v, want the configuration", p.Type, index[0].DTS)
	}
	var want []flv.KeyFrame
	for _, p := range ffprobe(t, file).Packets {
		if p.Type != "video" || p.Flags[0] != 'K' {
			continue
		}
		pos, errPos := strconv.ParseInt(p.Pos, 10, 64)
		dts, errDTS := strconv.ParseFloat(p.DTS, 64)
		if errPos != nil || errDTS != nil {
			t.Fatalf("ffprobe: %+v", p)
		}
		want = append(want, flv.KeyFrame{Offset: pos, DTS: time.Duration(math.Round(dts*1000)) * ms})
	}
	if video && !cmp.Equal(index[1:], want) {
		t.Errorf("index %+v, ffprobe finds %+v", index[1:], want)
	}
}

func tagAt(t *testing.T, file []byte, offset int64) flv.Tag {
	t.Helper()
	h, n, err := flv.ParseTagHeader(file[offset:])
	if err != nil {
		t.Fatal(err)
	}
	return flv.Tag{Type: h.Type, DTS: h.DTS, Body: file[offset+int64(n):][:h.BodyLen]}
}

func TestAFileWhoseWriterWasKilledPlaysUpToItsLastWholeTag(t *testing.T) {
	t.Parallel()
	var file memFile
	f := recordUnfinished(t, &file, "h264_aac.flv", 0, 0)
	h, tags := mustRead(t, file.b)
	checkTags(t, "h264_aac.flv", tags)
	if !h.Audio || !h.Video {
		t.Errorf("header %+v", h)
	}
	if d := number(t, properties(t, tags[0].Body), "duration"); d != 0 {
		t.Errorf("a file that was never updated has a duration of %v s", d)
	}
	// It goes by the time of the last tag, here the end of the video, and
	// does not know how long the last sound is.
	if got := ffprobe(t, file.b).duration(t); (got - f.Info().Duration).Abs() > 60*ms {
		t.Errorf("ffprobe: duration %v, want %v", got, f.Info().Duration)
	}
	// Killed while it wrote a tag: every whole one before is played.
	for _, n := range []int{len(file.b) - 5, len(file.b) - 300, len(file.b) - 3000, 100_000} {
		_, whole, err := flvtest.Read(bytes.NewReader(file.b[:n]))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: error = %v", n, err)
		}
		want := 0
		for _, tag := range whole {
			if flv.ParseBody(tag.Type, tag.Body).Type == media.Frame {
				want++
			}
		}
		// It may also take what there is of the cut one, and complain.
		got, _ := runFFprobe(t, file.b[:n])
		if len(got.Packets) != want && len(got.Packets) != want+1 {
			t.Errorf("cut at %d: ffprobe finds %d packets, want %d", n, len(got.Packets), want)
		}
	}
}

func TestRecoverFinishesAFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_only.flv", "aac_only.flv", "h264_mulaw8k.flv"} {
		var want, file memFile
		wantInfo := record(t, &want, name, 0, 100)
		recordUnfinished(t, &file, name, 0, 100)
		file.b = append(file.b, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x27, 1)
		info, err := flv.Recover(&file, int64(len(file.b)))
		if err != nil || info != wantInfo {
			t.Errorf("%s: Recover() = %+v, %v; want %+v", name, info, err, wantInfo)
		}
		file.b = file.b[:info.Size]
		if !bytes.Equal(file.b, want.b) {
			t.Errorf("%s: not what Finish makes of it", name)
		}
	}
}

func TestRecoverOfAnythingElse(t *testing.T) {
	t.Parallel()
	if _, err := flv.Recover(&memFile{}, 0); !errors.Is(err, flv.ErrShort) {
		t.Errorf("of nothing: %v, want ErrShort", err)
	}
	if _, err := flv.Recover(&memFile{b: []byte("<html><body>")}, 12); !errors.Is(err, flv.ErrHeader) {
		t.Errorf("of a page: %v, want ErrHeader", err)
	}
	// A file that left no room is not touched.
	foreign := flvtest.Bytes(t, "h264_aac.flv")
	file := memFile{b: bytes.Clone(foreign)}
	info, err := flv.Recover(&file, int64(len(foreign)))
	if err != nil || info.Size != int64(len(foreign)) || !bytes.Equal(file.b, foreign) {
		t.Errorf("of a foreign file: %+v, %v", info, err)
	}
	// Zeros, as a file system leaves them when the power fails.
	file.b = append(file.b, make([]byte, 5000)...)
	if info, err = flv.Recover(&file, int64(len(file.b))); err != nil || info.Size != int64(len(foreign)) {
		t.Errorf("with zeros behind: %+v, %v; want %d bytes", info, err, len(foreign))
	}
	for n := range 400 {
		file := memFile{b: bytes.Clone(foreign[:n])}
		if info, err := flv.Recover(&file, int64(n)); err == nil && (info.Size > int64(n)+4 || !bytes.Equal(file.b, foreign[:n])) {
			t.Errorf("cut at %d: %+v", n, info)
		}
	}
}
