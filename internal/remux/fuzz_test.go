package remux_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/internal/remux"
)

func TestATruncatedFileGivesWhatThereIs(t *testing.T) {
	t.Parallel()
	file := flvtest.Bytes(t, "h264_bframes_aac.flv")
	last := 0
	for n := 0; n < len(file); n += 997 {
		s, err := remux.Open(bytes.NewReader(file[:n]), int64(n), remux.Options{})
		if err != nil {
			continue
		}
		var out bytes.Buffer
		if _, err := s.WriteTo(&out); err != nil || out.Len() < last {
			t.Fatalf("of %d bytes: %v, %d bytes after %d", n, err, out.Len(), last)
		}
		last = out.Len()
	}
	if last == 0 {
		t.Error("there was never anything")
	}
}

// It is not parallel, for it measures.
func TestAFileOfTinyTagsIsNotReadIntoMemory(t *testing.T) {
	file := flv.AppendHeader(nil, true, true)
	for len(file) < 5<<20 {
		var err error
		if file, err = flv.AppendTag(file, flv.TagAudio, 0, []byte{0x92}); err != nil { // of an unknown codec
			t.Fatal(err)
		}
	}
	took := memtest.Allocated(func() {
		if _, err := remux.Open(bytes.NewReader(file), int64(len(file)), remux.Options{}); !errors.Is(err, remux.ErrNothing) {
			t.Errorf("Open() = %v", err)
		}
	})
	if took > 3*uint64(len(file)) {
		t.Errorf("%d bytes took %d of memory", len(file), took)
	}
}

// FuzzRemux takes any file: it costs an error at most.
func FuzzRemux(f *testing.F) {
	for _, name := range []string{
		"h264_bframes_aac.flv", "hevc_aac_enhanced.flv", "h264_alaw8k.flv", "h264_flac_enhanced.flv", "multitrack_2v2a.flv", "vp9_opus_enhanced.flv",
	} {
		f.Add(flvtest.Bytes(f, name)[:5000], int64(0))
	}
	f.Fuzz(func(t *testing.T, file []byte, start int64) {
		o := remux.Options{Start: time.Duration(start % 1e12)}
		// The file is read twice, and every tag may become a frame of FLAC.
		memtest.Limit(t, 64*len(file)+2*memtest.Fixed, func() {
			if s, err := remux.Open(bytes.NewReader(file), int64(len(file)), o); err == nil {
				_, _ = s.WriteTo(io.Discard) // any error is an answer
			}
		})
	})
}
