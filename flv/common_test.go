package flv_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"sluice/flv"
	"sluice/internal/flvtest"
)

// mustRead returns the tags of a file that has to be whole.
func mustRead(tb testing.TB, file []byte) (flv.Header, []flv.Tag) {
	tb.Helper()
	h, tags, err := flvtest.Read(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	return h, tags
}

// mux writes tags as a file.
func mux(tb testing.TB, h flv.Header, tags []flv.Tag) []byte {
	tb.Helper()
	b := flv.AppendHeader(nil, h.Audio, h.Video)
	for _, tag := range tags {
		var err error
		if b, err = flv.AppendTag(b, tag.Type, tag.DTS, tag.Body); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// unhex decodes hexadecimal with spaces.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// count returns the number of script, audio and video tags.
func count(tags []flv.Tag) (script, audio, video int) {
	for _, tag := range tags {
		switch tag.Type {
		case flv.TagScript:
			script++
		case flv.TagAudio:
			audio++
		case flv.TagVideo:
			video++
		}
	}
	return script, audio, video
}

// sameTags compares tags, and does it fast: cmp takes seconds for many bytes.
func sameTags(a, b []flv.Tag) bool {
	return slices.EqualFunc(a, b, func(a, b flv.Tag) bool {
		return a.Type == b.Type && a.DTS == b.DTS && bytes.Equal(a.Body, b.Body)
	})
}
