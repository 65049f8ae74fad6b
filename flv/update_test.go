package flv_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/flv"
)

// tornFile is a file that a kill leaves as it is at any moment: it calls see
// after every page of every write.
type tornFile struct {
	memFile
	see func()
}

func (f *tornFile) WriteAt(b []byte, at int64) (int, error) {
	const page = 4096
	for done := 0; done < len(b); {
		n := min(page-(int(at)+done)%page, len(b)-done)
		if _, err := f.memFile.WriteAt(b[done:done+n], at+int64(done)); err != nil {
			return done, err
		}
		done += n
		f.see()
	}
	return len(b), nil
}

func TestAFileIsValidAtAnyInstant(t *testing.T) {
	t.Parallel()
	const room, keys = 500, 1300
	var file tornFile
	var written, lasting time.Duration
	hidden, seen, longest := 0, 0, 0
	file.see = func() {
		if len(file.b) < 13+11+room*18 { // it is being begun
			return
		}
		seen++
		h, n, err := flv.ParseTagHeader(file.b[flv.HeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		const name = 1 + 2 + len("onMetaData")
		v, _, err := amf0.Decode(file.b[flv.HeaderLen+n:][name:h.BodyLen]) // behind it may lie a hidden index
		if err != nil {
			t.Fatal(err)
		}
		props := amf0.ECMAArray(amf0.Properties(v))
		if d := time.Duration(number(t, props, "duration")*1000) * ms; d < lasting || d > written+time.Second {
			t.Fatalf("duration is %v behind %v, while %v are written", d, lasting, written)
		} else {
			lasting = d
		}
		if size := number(t, props, "filesize"); size > float64(len(file.b)) {
			t.Fatalf("filesize is %v, there are %d bytes", size, len(file.b))
		}
		index, err := flv.ReadIndex(&file)
		if err != nil {
			t.Fatal(err)
		}
		if len(index) == 0 {
			hidden++
			return
		}
		longest = max(longest, len(index))
		for _, k := range index[1:] {
			if tag := tagAt(t, file.b, k.Offset); tag.DTS != k.DTS || tag.Body[0] != 0x17 {
				t.Fatalf("an entry at %v points at %+v", k.DTS, tag.DTS)
			}
		}
	}
	tracks, _ := tracksOf(t, "h264_only.flv")
	f, err := flv.NewFileWriter(&file, flv.FileOptions{Tracks: tracks, Index: room})
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		key := flv.ParseVideo(unhex(t, "17 01 000000 65"))
		inter := flv.ParseVideo(unhex(t, "27 01 000000 41"))
		key.DTS = time.Duration(i) * time.Second
		inter.DTS = key.DTS + 500*ms
		written = inter.DTS
		if err := errors.Join(f.Write(&key), f.Write(&inter)); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 || i == 500 || i == 1000 {
			if err := f.Update(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if longest < room-7 || hidden == 0 {
		t.Errorf("the index had up to %d entries, and was hidden at %d of %d moments", longest, hidden, seen)
	}

	// What is written piece by piece is what is written at once.
	if err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	again := memFile{b: bytes.Clone(file.b)}
	if _, err := flv.Recover(&again, int64(len(again.b))); err != nil || !bytes.Equal(again.b, file.b) {
		t.Errorf("Recover() makes another file of it, %v", err)
	}
	if err := f.Update(); !errors.Is(err, flv.ErrFinished) {
		t.Errorf("Update() after Finish(): error = %v, want ErrFinished", err)
	}
}

func TestAnUpdateThatFailedIsMadeAgain(t *testing.T) {
	t.Parallel()
	var want memFile
	record(t, &want, "h264_aac.flv", 0, 0)

	var file memFile
	f := recordUnfinished(t, &file, "h264_aac.flv", 0, 0)
	for n := 1; ; n++ {
		file.failAt = file.writes + n
		err := f.Update()
		if err == nil {
			break
		}
		if !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	file.failAt = 0
	if err := f.Finish(); err != nil || !bytes.Equal(file.b, want.b) {
		t.Errorf("Finish() = %v; the file is another one: %t", err, !bytes.Equal(file.b, want.b))
	}
}

func TestAnUpdateWritesWhatHasChanged(t *testing.T) {
	t.Parallel()
	var file memFile
	f := recordUnfinished(t, &file, "h264_aac.flv", 0, 0)
	if err := f.Update(); err != nil {
		t.Fatal(err)
	}
	before := file.writes
	if err := f.Update(); err != nil || file.writes != before {
		t.Errorf("an update without news makes %d writes, %v", file.writes-before, err)
	}
}
