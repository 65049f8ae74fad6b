package remux_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"sluice/internal/remux"
)

func TestATruncatedFileGivesWhatThereIs(t *testing.T) {
	t.Parallel()
	file := fixture(t, "h264_bframes_aac.flv")
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

// FuzzRemux takes any file: it costs an error at most.
func FuzzRemux(f *testing.F) {
	for _, name := range []string{
		"h264_bframes_aac.flv", "hevc_aac_enhanced.flv", "h264_alaw8k.flv", "h264_flac_enhanced.flv", "multitrack_2v2a.flv", "vp9_opus_enhanced.flv",
	} {
		f.Add(fixture(f, name)[:5000], int64(0))
	}
	f.Fuzz(func(_ *testing.T, file []byte, start int64) {
		o := remux.Options{Start: time.Duration(start % 1e12)}
		if s, err := remux.Open(bytes.NewReader(file), int64(len(file)), o); err == nil {
			_, _ = s.WriteTo(io.Discard) // any error is an answer
		}
	})
}
