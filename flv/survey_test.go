package flv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
)

// surveyCases are files as crashes, file systems and other writers leave them.
func surveyCases(tb testing.TB) map[string][]byte {
	tb.Helper()
	h, tags := mustRead(tb, flvtest.Bytes(tb, "h264_aac.flv"))
	bare := mux(tb, h, slices.DeleteFunc(tags, func(t flv.Tag) bool { return t.Type == flv.TagScript })[:12])
	wrong := slices.Clone(bare)
	binary.BigEndian.PutUint32(wrong[len(wrong)-4:], 7)
	var whole memFile
	s, err := flv.SurveyFile(bytes.NewReader(bare), int64(len(bare)))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Rebuild(&whole, bytes.NewReader(bare)); err != nil {
		tb.Fatal(err)
	}
	return map[string][]byte{
		"finished":          whole.b,
		"never finished":    bare,
		"cut in a tag":      bare[:len(bare)-20],
		"cut in its size":   bare[:len(bare)-2],
		"zeros behind":      append(slices.Clone(bare), make([]byte, 5000)...),
		"a wrong size":      wrong,
		"something behind":  append(slices.Clone(bare), "this is no tag, nor the beginning of one"...),
		"tags behind that":  slices.Concat(bare, []byte("this is no tag"), bare[flv.HeaderLen:]),
		"a header":          bare[:flv.HeaderLen],
		"half a tag header": bare[:flv.HeaderLen+5],
	}
}

func TestASurveyTellsWhatAFileHoldsAndWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	files := surveyCases(t)
	bare := int64(len(files["never finished"]))
	for name, want := range map[string]flv.Survey{
		"finished":          {Complete: true},
		"never finished":    {},
		"cut in a tag":      {Rest: -1},
		"cut in its size":   {},
		"zeros behind":      {Rest: 5000},
		"a wrong size":      {},
		"something behind":  {Rest: 40, Damaged: true},
		"tags behind that":  {Rest: 14 + bare - flv.HeaderLen, Damaged: true},
		"a header":          {},
		"half a tag header": {Rest: 5},
	} {
		file := files[name]
		s, err := flv.SurveyFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Errorf("%s: SurveyFile() error = %v", name, err)
			continue
		}
		if want.Rest < 0 {
			want.Rest = int64(len(file)) - s.Size // of a tag whose length the fixture decides
			if want.Rest == 0 {
				t.Errorf("%s: nothing is left over", name)
			}
		}
		if s.Rest != want.Rest || s.Damaged != want.Damaged || s.Complete != want.Complete {
			t.Errorf("%s: rest %d, damaged %t, complete %t; want %d, %t, %t",
				name, s.Rest, s.Damaged, s.Complete, want.Rest, want.Damaged, want.Complete)
		}
	}
	if _, err := flv.SurveyFile(bytes.NewReader([]byte("ID3\x04 no FLV at all")), 18); err == nil {
		t.Error("a file of another kind is surveyed")
	}
}

func TestAFileThatIsCutAnywhereIsSurveyedUpToItsLastWholeTag(t *testing.T) {
	t.Parallel()
	file := surveyCases(t)["finished"]
	var size int64
	var long time.Duration
	for n := flv.HeaderLen; n <= len(file); n++ {
		s, err := flv.SurveyFile(bytes.NewReader(file[:n]), int64(n))
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if s.Size+s.Rest != int64(n) || s.Size < size || s.Duration < long || s.Damaged || s.Complete != (n == len(file)) {
			t.Fatalf("cut to %d bytes: %d whole, %d more, %v, damaged %t, complete %t; before it were %d and %v",
				n, s.Size, s.Rest, s.Duration, s.Damaged, s.Complete, size, long)
		}
		size, long = s.Size, s.Duration
	}
	const bare = 9 // bytes of a header without the size of the tag before the first
	for n := range bare {
		if _, err := flv.SurveyFile(bytes.NewReader(file[:n]), int64(n)); err == nil {
			t.Errorf("%d bytes of a header are surveyed", n)
		}
	}
}

func FuzzSurveyFile(f *testing.F) {
	for _, file := range surveyCases(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s *flv.Survey
		var err error
		memtest.Bound(t, len(b), func() { s, err = flv.SurveyFile(bytes.NewReader(b), int64(len(b))) })
		if err != nil {
			return
		}
		if s.Size < 0 || s.Rest < 0 || s.Size+s.Rest != int64(len(b)) {
			t.Fatalf("%d whole and %d more of %d bytes", s.Size, s.Rest, len(b))
		}
		var out memFile
		info, err := s.Rebuild(&out, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(out.b)) != info.Size {
			t.Fatalf("%d bytes, it says %d", len(out.b), info.Size)
		}
		if _, _, err := flvtest.Read(bytes.NewReader(out.b)); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("what was rebuilt cannot be read: %v", err)
		}
	})
}
