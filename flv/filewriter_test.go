package flv_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
)

func TestTheIndexThinsOutWhenItsRoomIsFull(t *testing.T) {
	t.Parallel()
	const room, keys = 8, 100
	var file memFile
	tracks, _ := tracksOf(t, "h264_only.flv")
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks, Index: room})
	if err != nil {
		t.Fatal(err)
	}
	metaEnd := len(file.b)
	for i := range keys {
		key := flv.ParseVideo(unhex(t, "17 01 000000 65"))
		key.DTS = time.Duration(i) * time.Second
		inter := flv.ParseVideo(unhex(t, "27 01 000000 41"))
		inter.DTS = key.DTS + 500*ms
		if err := errors.Join(f.Write(&key), f.Write(&inter)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	index, err := flv.ReadIndex(&file)
	if err != nil || len(index) > room || len(index) < room/2 {
		t.Fatalf("ReadIndex() = %+v, %v", index, err)
	}
	step := index[2].DTS - index[1].DTS
	for i, k := range index[1:] {
		if want := time.Duration(i) * step; k.DTS != want {
			t.Errorf("entry %d at %v, want %v", i+1, k.DTS, want)
		}
		if tag := tagAt(t, file.b, k.Offset); tag.DTS != k.DTS || tag.Body[0] != 0x17 {
			t.Errorf("entry %d points at %+v", i+1, tag)
		}
	}
	_, tags := mustRead(t, file.b)
	props := properties(t, tags[0].Body)
	if got := number(t, props, "lastkeyframetimestamp"); got != keys-1 {
		t.Errorf("lastkeyframetimestamp %v, want %d", got, keys-1)
	}
	if tags[1].Body[1] != 0 || metaEnd <= flv.HeaderLen {
		t.Error("the index has overrun its room")
	}
}

func TestFileTimesBeginAtZeroAndNeverRunBackwards(t *testing.T) {
	t.Parallel()
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		t.Fatal(err)
	}
	const base = 77 * time.Minute
	for _, p := range []struct {
		wire string
		dts  time.Duration
	}{
		{"17 01 000000 65", 0},
		{"af 01 21", -15 * ms},
		{"27 01 000000 41", 40 * ms},
		{"af 01 21", 8 * ms},
		{"27 01 000000 41", 20 * ms},
		{"27 01 000000 41", 80 * ms},
		{"af 01 21", 29 * ms},
	} {
		packet := flv.ParseVideo(unhex(t, p.wire))
		if p.wire[0] == 'a' {
			packet = flv.ParseAudio(unhex(t, p.wire))
		}
		packet.DTS = base + p.dts
		if err := f.Write(&packet); err != nil {
			t.Fatal(err)
		}
	}
	_, tags := mustRead(t, file.b)
	var got []time.Duration
	for _, tag := range tags[1:] {
		got = append(got, tag.DTS)
	}
	want := []time.Duration{0, 0, 40 * ms, 8 * ms, 40 * ms, 80 * ms, 29 * ms}
	if !cmp.Equal(got, want) {
		t.Errorf("times %v, want %v", got, want)
	}

	late := flv.ParseVideo(unhex(t, "27 01 000000 41"))
	late.DTS = base + 1<<31*ms
	if err := f.Write(&late); !errors.Is(err, flv.ErrFileFull) {
		t.Errorf("Write() at 2^31 ms: error = %v, want ErrFileFull", err)
	}
	late.DTS -= ms
	if err := errors.Join(f.Write(&late), f.Finish()); err != nil {
		t.Error(err)
	}
	if err := f.Write(&late); !errors.Is(err, flv.ErrFinished) {
		t.Errorf("Write() after Finish(): error = %v, want ErrFinished", err)
	}
}

func TestWhatIsNoContentIsLeftOutOfAFile(t *testing.T) {
	t.Parallel()
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		t.Fatal(err)
	}
	before := f.Info().Size
	empty, clearing := flv.ParseAudio(nil), flv.ParseScript(unhex(t, "02 000f 40636c656172446174614672616d65"))
	for _, p := range []*media.Packet{&empty, &clearing, onMetaData(t, amf0.Object{})} {
		if err := f.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.Info().Size; got != before {
		t.Errorf("%d bytes were written", got-before)
	}
	text := flv.ParseScript(unhex(t, "02 000a 6f6e5465787444617461 05"))
	if err := f.Write(&text); err != nil || f.Info().Size == before {
		t.Errorf("a text was left out, %v", err)
	}
}

func TestFlagsSayWhatCameAndNotWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	tracks, _, all := packets(t, "h264_aac.flv", 0)
	var file memFile
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Kind != media.Audio { // the configuration came, the sound did not
			if err := f.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if h, _ := mustRead(t, file.b); !h.Audio || !h.Video {
		t.Errorf("before the end: %+v, want what was announced", h)
	}
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	h, tags := mustRead(t, file.b)
	hasAudio, _ := properties(t, tags[0].Body).Get("hasAudio")
	hasVideo, _ := properties(t, tags[0].Body).Get("hasVideo")
	if h != (flv.Header{Video: true}) || hasAudio != false || hasVideo != true {
		t.Errorf("header %+v, hasAudio %v, hasVideo %v", h, hasAudio, hasVideo)
	}
}

func TestAfterAFullDiskTheFileIsWhole(t *testing.T) {
	t.Parallel()
	tracks, meta, all := packets(t, "h264_aac.flv", 0)
	var want memFile
	record(t, &want, "h264_aac.flv", 0, 0)

	file := memFile{failAt: 60}
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks, Metadata: meta})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, p := range all {
		err := f.Write(p)
		if errors.Is(err, errDisk) {
			failed++
			if _, _, err := flvtest.Read(bytes.NewReader(file.b[:f.Info().Size])); err != nil {
				t.Errorf("the file up to Info().Size: %v", err)
			}
			err = f.Write(p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file.failAt = file.writes + 1
	if err := f.Finish(); !errors.Is(err, errDisk) {
		t.Errorf("Finish() error = %v", err)
	}
	if err := f.Finish(); err != nil || failed != 1 || !bytes.Equal(file.b, want.b) {
		t.Errorf("Finish() once more: %v; %d failures; the file is another one: %t", err, failed, !bytes.Equal(file.b, want.b))
	}
}

func TestAFileCannotBeBegunOnAFullDisk(t *testing.T) {
	t.Parallel()
	if f, err := flv.NewFileWriter(&memFile{failAt: 1}, flv.FileOptions{}); !errors.Is(err, errDisk) || f != nil {
		t.Errorf("NewFileWriter() error = %v", err)
	}
}

func BenchmarkFileWriter(b *testing.B) {
	f, err := flv.NewFileWriter(discard{}, flv.FileOptions{Tracks: bothTracks})
	if err != nil {
		b.Fatal(err)
	}
	p := flv.ParseVideo(append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 4000)...))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Write(&p); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
