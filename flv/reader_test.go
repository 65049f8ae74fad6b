package flv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/media"
)

func TestCase075ReadsAFileWholeAndWritesItAgain(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_aac.flv")
	h, tags := mustRead(t, file)
	if h != (flv.Header{Audio: true, Video: true}) {
		t.Errorf("Header() = %+v", h)
	}
	if s, a, v := count(tags); s != 1 || a != 175 || v != 102 {
		t.Errorf("%d script, %d audio, %d video tags; want 1, 175, 102", s, a, v)
	}
	flagged, keys, lastAudio, lastVideo := 0, 0, time.Duration(0), time.Duration(0)
	for _, tag := range tags {
		switch tag.Type {
		case flv.TagAudio:
			lastAudio = tag.DTS
		case flv.TagVideo:
			lastVideo = tag.DTS
			if tag.Body[0]>>4 == 1 {
				flagged++
			}
			if p := flv.ParseVideo(tag.Body); p.Key {
				keys++
			}
		}
	}
	if flagged != 6 || keys != 4 {
		t.Errorf("%d tags flagged as key frames, %d key frames; want 6 with configuration and end, 4", flagged, keys)
	}
	if lastAudio != 4017*ms || lastVideo != 3983*ms {
		t.Errorf("the last sound at %v, the last picture at %v; want 4.017s and 3.983s", lastAudio, lastVideo)
	}
	if out := mux(t, h, tags); len(out) != 164_636 || !bytes.Equal(out, file) {
		t.Errorf("written again: %d bytes, not the same", len(out))
	}
}

func TestCase076EveryFileIsTheSameWhenWrittenAgain(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(flvtest.Path(t, "*.flv"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	mutants, err := filepath.Glob(flvtest.Path(t, "mutants/*.flv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, mutants...) {
		if filepath.Base(name) == "unknown_tag15.flv" { // loses that tag, see case 82
			continue
		}
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h, tags := mustRead(t, file)
		if !bytes.Equal(mux(t, h, tags), file) {
			t.Errorf("%s is not the same when written again", name)
		}
	}
}

func TestCase079ACutFileGivesAllItsWholeTags(t *testing.T) {
	t.Parallel()
	whole := mux(t, flv.Header{Audio: true, Video: true}, []flv.Tag{
		{Type: 9, Body: []byte{0x17, 0, 0, 0, 0, 1}},
		{Type: 8, DTS: 20 * ms, Body: []byte{0xaf, 1, 2}},
		{Type: 8, DTS: 40 * ms, Body: nil},
	})
	// Where the tags' bodies end: from there on they are there.
	ends := []int{13 + 11 + 6, 13 + 21 + 11 + 3, 13 + 21 + 18 + 11}
	for n := range whole {
		_, tags, err := flvtest.Read(bytes.NewReader(whole[:n]))
		want := 0
		for _, end := range ends {
			if n >= end {
				want++
			}
		}
		// A cut behind a PreviousTagSize cannot be told from an end.
		clean := n == 13 || n == 13+21 || n == 13+21+18
		switch {
		case len(tags) != want:
			t.Errorf("cut at %d: %d tags, want %d", n, len(tags), want)
		case clean && err != nil:
			t.Errorf("cut at %d, between tags: error = %v", n, err)
		case !clean && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("cut at %d: error = %v, want ErrUnexpectedEOF", n, err)
		}
	}
}

// It is not parallel, so that nobody else allocates meanwhile.
func TestCase080ATagSizeThatIsALieTakesNoMemory(t *testing.T) {
	for _, size := range []string{"ffffff", "7fffff", "100000"} {
		b := unhex(t, "464c5601 05 00000009 00000000 09"+size+"000000 00 000000 00010203040506070809")
		got := memtest.Allocated(func() {
			for range 100 {
				if _, err := flv.NewReader(bytes.NewReader(b)).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("size %s: error = %v, want ErrUnexpectedEOF", size, err)
				}
			}
		})
		if got > 20<<20 { // not 100 times 1 to 16 MiB
			t.Errorf("size %s: 100 readers of 34 bytes each took %d MiB", size, got>>20)
		}
	}
}

func TestCase081AnyPreviousTagSizeIsReadAndOnlyTheRightOneWritten(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_aac.flv")
	h, want := mustRead(t, file)
	total := uint32(0)
	for name, size := range map[string]func(right uint32) uint32{
		"all 0":             func(uint32) uint32 { return 0 },
		"without header":    func(right uint32) uint32 { return right - 11 },
		"one too small":     func(right uint32) uint32 { return right - 1 },
		"a running total":   func(right uint32) uint32 { total += right + 4; return total },
		"nothing but noise": func(right uint32) uint32 { return right * 2654435761 },
	} {
		b := flv.AppendHeader(nil, h.Audio, h.Video)
		for _, tag := range want {
			right := uint32(len(tag.Body) + flv.TagHeaderLen)
			from := len(b)
			var err error
			if b, err = flv.AppendTag(b, tag.Type, tag.DTS, tag.Body); err != nil {
				t.Fatal(err)
			}
			if last := binary.BigEndian.Uint32(b[len(b)-4:]); last != right || len(b)-from != int(right)+4 {
				t.Fatalf("PreviousTagSize %d was written behind a tag of %d bytes", last, right)
			}
			binary.BigEndian.PutUint32(b[len(b)-4:], size(right))
		}
		if _, got, err := flvtest.Read(bytes.NewReader(b)); err != nil || !sameTags(got, want) {
			t.Errorf("%s: %d tags, %v; want %d", name, len(got), err, len(want))
		}
	}
}

func TestCase082TagsOfOtherTypesAreSkipped(t *testing.T) {
	t.Parallel()
	tags := flvtest.Tags(t, "mutants/unknown_tag15.flv")
	if s, a, v := count(tags); s != 1 || a != 175 || v != 102 {
		t.Errorf("%d script, %d audio, %d video tags; want 1, 175, 102", s, a, v)
	}
	for _, typ := range []byte{15, 9 | 0x20, 8 | 0x20, 0, 31} {
		b := flv.AppendHeader(nil, true, true)
		b = append(b, typ, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0, 0, 0, 13)
		b, err := flv.AppendTag(b, flv.TagAudio, 5*ms, []byte{0xaf, 1, 7})
		if err != nil {
			t.Fatal(err)
		}
		want := []flv.Tag{{Type: 8, DTS: 5 * ms, Body: []byte{0xaf, 1, 7}}}
		if _, got := mustRead(t, b); !sameTags(got, want) {
			t.Errorf("behind type %#x: %+v, want %+v", typ, got, want)
		}
		if _, got, err := flvtest.Read(bytes.NewReader(b[:20])); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 0 {
			t.Errorf("cut in type %#x: %+v, %v; want ErrUnexpectedEOF", typ, got, err)
		}
	}
}

func TestTheReaderTakesPiecesOfAnySize(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_aac.flv")
	_, want := mustRead(t, file)
	for name, r := range map[string]io.Reader{
		"single bytes":        iotest.OneByteReader(bytes.NewReader(file)),
		"halves":              iotest.HalfReader(bytes.NewReader(file)),
		"the end with a byte": iotest.DataErrReader(bytes.NewReader(file)),
	} {
		if _, got, err := flvtest.Read(r); err != nil || !sameTags(got, want) {
			t.Errorf("%s: %d tags, %v; want %d", name, len(got), err, len(want))
		}
	}
}

func TestAnErrorOfTheInputIsPassedOnAndStays(t *testing.T) {
	t.Parallel()
	broken := errors.New("the cable was pulled")
	r := flv.NewReader(io.MultiReader(bytes.NewReader(flvtest.Bytes(t, "h264_aac.flv")[:5000]), iotest.ErrReader(broken)))
	n := 0
	for {
		_, err := r.Next()
		if err == nil {
			n++
			continue
		}
		if !errors.Is(err, broken) || n == 0 {
			t.Errorf("after %d tags: error = %v", n, err)
		}
		break
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("once more: error = %v", err)
	}
}

func TestALiveTagDoesNotWaitForWhatFollows(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	defer func() { _ = out.Close() }() // a pipe's does not fail
	b, err := flv.AppendTag(flv.AppendHeader(nil, true, false), flv.TagAudio, 0, []byte{0xaf, 1, 7})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := out.Write(b[:len(b)-4]) // all but PreviousTagSize, and the pipe stays open
		done <- err
	}()
	tag, err := flv.NewReader(in).Next()
	if err != nil || tag.Type != flv.TagAudio {
		t.Errorf("Next() = %+v, %v", tag, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBodiesOfTagsAreTheirOwn(t *testing.T) {
	t.Parallel()
	tags := flvtest.Tags(t, "h264_aac.flv")
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Kind != media.Data && p.Type == media.Other && len(tag.Body) > 0 {
			t.Errorf("%x… of type %d is unknown", tag.Body[:min(8, len(tag.Body))], tag.Type)
		}
		for i := range tag.Body {
			tag.Body[i] = 0xee
		}
	}
	again := flvtest.Tags(t, "h264_aac.flv")
	if again[5].Body[0] == 0xee {
		t.Error("bodies share memory")
	}
}

func FuzzReader(f *testing.F) {
	file := flvtest.Bytes(f, "h264_aac.flv")
	f.Add(file[:3000])
	f.Add(flvtest.Bytes(f, "mutants/unknown_tag15.flv")[:2000])
	f.Add(flvtest.Bytes(f, "hevc_aac_enhanced.flv")[:4000])
	f.Add([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00\x09\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			h    flv.Header
			err  error
			tags = make([]flv.Tag, 0, 1+len(b)/15) // not the reader's memory
		)
		memtest.Bound(t, len(b), func() {
			r := flv.NewReader(bytes.NewReader(b))
			tags = tags[:0]
			for h, err = r.Header(); err == nil; {
				var tag flv.Tag
				if tag, err = r.Next(); err == nil {
					tags = append(tags, tag)
				}
			}
		})
		size := 0
		for _, tag := range tags {
			size += len(tag.Body)
			flv.ParseBody(tag.Type, tag.Body)
		}
		if size > len(b) {
			t.Fatalf("%d bytes of bodies in %d bytes", size, len(b))
		}
		if len(tags) == 0 {
			return
		}
		h2, again, err := flvtest.Read(bytes.NewReader(mux(t, h, tags)))
		if err != nil || h2 != h || !sameTags(again, tags) {
			t.Fatalf("round trip: %+v, %d tags, %v; want %+v, %d tags", h2, len(again), err, h, len(tags))
		}
	})
}
