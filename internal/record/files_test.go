package record_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/record"
	"sluice/media"
)

const files = "/flv/record/files/"

// finished makes a recording of a fixture from its beginning, of that length.
func (s *server) finished(t *testing.T, path, fixture string, length time.Duration) record.Facts {
	t.Helper()
	p := s.publish(t, path, fixture).until(500 * time.Millisecond)
	if s.streams.Find(path) == nil {
		eventually(t, "the stream is live", func() bool { return s.streams.Find(path) != nil })
	}
	s.ask(t, http.MethodPost, "/flv/record/start/"+path)
	p.until(length)
	f := s.ask(t, http.MethodPost, "/flv/record/stop/"+path)
	p.end()
	return f
}

// metadata returns the onMetaData at the beginning of a file.
func metadata(t *testing.T, all []media.Packet) amf0.Object {
	t.Helper()
	if all[0].Type != media.Metadata || all[0].DTS != 0 {
		t.Fatalf("the first tag is %+v", all[0])
	}
	values, err := amf0.DecodeAll(all[0].Body)
	if err != nil || len(values) != 2 {
		t.Fatalf("onMetaData is %v, %v", values, err)
	}
	return amf0.Properties(values[1])
}

func number(t *testing.T, o amf0.Object, key string) float64 {
	t.Helper()
	v, _ := o.Get(key)
	n, ok := v.(float64)
	if !ok {
		t.Fatalf("%s is %v", key, v)
	}
	return n
}

// span returns the time from the first to the last packet that ffprobe finds.
func span(t *testing.T, file string) float64 {
	t.Helper()
	first, last := math.Inf(1), 0.0
	for line := range strings.Lines(run(t, "ffprobe", "-v", "error", "-show_entries", "packet=dts_time", "-of", "csv=p=0", file)) {
		at, err := strconv.ParseFloat(strings.Trim(line, ",\n"), 64)
		if err != nil {
			t.Fatal(err)
		}
		first, last = min(first, at), max(last, at)
	}
	return last - first
}

func TestCase099AClosedRecordingHasDurationSizeAndAKeyFrameIndex(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"h264_aac.flv", "h264_bframes_aac.flv", "h264_only.flv", "aac_only.flv"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, t.TempDir())
			file := s.file(s.finished(t, "live/test", name, 9*time.Second))
			all := packets(t, file)
			props := metadata(t, all)

			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if size := number(t, props, "filesize"); size != float64(info.Size()) {
				t.Errorf("filesize is %v, the file has %d bytes", size, info.Size())
			}
			const frame = 0.0401
			want := span(t, file)
			probed, err := strconv.ParseFloat(run(t, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file), 64)
			if err != nil || math.Abs(probed-want) > frame {
				t.Errorf("ffprobe says %v s, %v; the packets span %v s", probed, err, want)
			}
			if d := number(t, props, "duration"); math.Abs(d-want) > frame {
				t.Errorf("duration is %v s, the packets span %v s", d, want)
			}
			indexed(t, file, all)
		})
	}
}

// indexed checks the index of a file: entry 0 is the configuration, the others
// are all the key frames.
func indexed(t *testing.T, file string, all []media.Packet) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	index, err := flv.ReadIndex(f)
	if err != nil || len(index) < 3 {
		t.Fatalf("ReadIndex() = %v, %v", index, err)
	}
	video := false
	var keys []time.Duration
	for _, p := range all {
		video = video || p.Kind == media.Video
		if p.Key {
			keys = append(keys, p.DTS)
		}
	}
	if video && len(index) != 1+len(keys) {
		t.Errorf("the index has %d entries for %d key frames", len(index), len(keys))
	}
	for i, k := range index {
		b := make([]byte, flv.TagHeaderLen)
		if _, err := f.ReadAt(b, k.Offset); err != nil {
			t.Fatal(err)
		}
		h, _, err := flv.ParseTagHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, h.BodyLen)
		if _, err := f.ReadAt(body, k.Offset+flv.TagHeaderLen); err != nil {
			t.Fatal(err)
		}
		p := flv.ParseBody(h.Type, body)
		switch {
		case i == 0:
			if p.Type != media.Config || k.DTS != 0 {
				t.Errorf("entry 0 is %v of %v at %v", p.Type, p.Kind, k.DTS)
			}
		case h.DTS != k.DTS || p.Type != media.Frame || video && (!p.Key || k.DTS != keys[i-1]):
			t.Errorf("entry %d says %v and is %v of %v at %v", i, k.DTS, p.Type, p.Kind, h.DTS)
		}
	}
}

func TestAFileIsServedWholeAndInRanges(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_aac.flv", 3*time.Second)
	content, err := os.ReadFile(s.file(f))
	if err != nil {
		t.Fatal(err)
	}
	whole := s.call(http.MethodGet, files+f.File)
	if whole.Code != http.StatusOK || whole.Header().Get("Content-Type") != "video/x-flv" ||
		whole.Header().Get("Accept-Ranges") != "bytes" || !bytes.Equal(whole.Body.Bytes(), content) {
		t.Errorf("GET answered %d %v and %d bytes", whole.Code, whole.Header(), whole.Body.Len())
	}
	head := s.call(http.MethodHead, files+f.File)
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Length") != strconv.Itoa(len(content)) {
		t.Errorf("HEAD answered %d %v and %d bytes", head.Code, head.Header(), head.Body.Len())
	}
	for _, tc := range []struct {
		name   string
		status int
		want   []byte
	}{
		{"bytes=0-", http.StatusPartialContent, content},
		{"bytes=100-199", http.StatusPartialContent, content[100:200]},
		{"bytes=-50", http.StatusPartialContent, content[len(content)-50:]},
		{"bytes=-0", http.StatusOK, content},
		{"seconds=0-5", http.StatusOK, content},
		{fmt.Sprintf("bytes=%d-", len(content)), http.StatusRequestedRangeNotSatisfiable, nil},
		{"bytes=50-10", http.StatusRequestedRangeNotSatisfiable, nil},
	} {
		w := s.call(http.MethodGet, files+f.File, "Range", tc.name)
		if tc.want == nil {
			refused(t, w, tc.status, "bytes")
		}
		if w.Code != tc.status || tc.want != nil && !bytes.Equal(w.Body.Bytes(), tc.want) {
			t.Errorf("Range %s answered %d and %d bytes", tc.name, w.Code, w.Body.Len())
		}
	}
	if w := s.call(http.MethodGet, files+f.File, "If-None-Match", whole.Header().Get("Etag")); w.Code != http.StatusNotModified {
		t.Errorf("If-None-Match answered %d", w.Code)
	}
	refused(t, s.call(http.MethodGet, files+f.File, "If-Match", `"another"`), http.StatusPreconditionFailed, "another")
	refused(t, s.call(http.MethodPost, files+f.File), http.StatusMethodNotAllowed, "DELETE, GET, HEAD")
}

func TestStartBeginsAtTheKeyFrameAtOrBefore(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_bframes_aac.flv", 11*time.Second)
	var keys []time.Duration
	for _, p := range packets(t, s.file(f)) {
		if p.Key {
			keys = append(keys, p.DTS)
		}
	}
	for _, at := range []time.Duration{0, time.Millisecond, keys[1] - time.Millisecond, keys[1], 5 * time.Second, time.Hour} {
		want := keys[0]
		for _, k := range keys {
			if k <= at {
				want = k
			}
		}
		w := s.call(http.MethodGet, files+f.File+fmt.Sprintf("?start=%v", at.Seconds()))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "video/x-flv" {
			t.Fatalf("start=%v: %d %s", at, w.Code, w.Body)
		}
		all, err := readPackets(bytes.NewReader(w.Body.Bytes()))
		if err != nil {
			t.Fatalf("start=%v: %v", at, err)
		}
		if _, ok := metadata(t, all).Get("keyframes"); ok {
			t.Errorf("start=%v: the answer has the index of the file", at)
		}
		if all[1].Type != media.Config || all[2].Type != media.Config || all[1].DTS != want || !all[3].Key || all[3].DTS != want {
			t.Errorf("start=%v begins with %v, %v, %v at %v, want the key frame at %v", at, all[1].Type, all[2].Type, all[3].Type, all[3].DTS, want)
		}
		name := filepath.Join(t.TempDir(), "part.flv")
		if err := os.WriteFile(name, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		plays(t, name)
	}
	whole := s.call(http.MethodGet, files+f.File+"?start=5").Body.Bytes()
	for _, from := range []int{0, 10, 3000, len(whole) - 7} {
		w := s.call(http.MethodGet, files+f.File+"?start=5", "Range", fmt.Sprintf("bytes=%d-", from))
		if w.Code != http.StatusPartialContent || !bytes.Equal(w.Body.Bytes(), whole[from:]) {
			t.Errorf("from byte %d: %d and %d bytes", from, w.Code, w.Body.Len())
		}
	}
	for _, bad := range []string{"x", "-1", "NaN", "Inf", "1e99", "1s", "1_0", "0x10"} {
		refused(t, s.call(http.MethodGet, files+f.File+"?start="+bad), http.StatusBadRequest, "start")
	}
	refused(t, s.call(http.MethodGet, files+f.File+"?start=%zz"), http.StatusBadRequest, "query")
}

func TestAFileIsServedWhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(8 * time.Second)
	eventually(t, "the media is in the file", func() bool {
		return s.ask(t, http.MethodGet, "/flv/record/status/live/test").DurationMs > 7000
	})
	for _, query := range []string{"", "?start=5"} {
		w := s.call(http.MethodGet, files+f.File+query)
		all, err := readPackets(w.Body)
		if err != nil || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s answered %d %v: %v", query, w.Code, w.Header(), err)
		}
		if last := all[len(all)-1].DTS; last < 7*time.Second {
			t.Errorf("GET %s ends at %v", query, last)
		}
	}
	refused(t, s.call(http.MethodDelete, files+f.File), http.StatusConflict, "being written")
}

// listedFile looks at the list before anything is written to a file.
type listedFile struct {
	record.File
	look  func()
	begun bool
}

func (f *listedFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.begun {
		f.begun = true
		f.look()
	}
	return f.File.WriteAt(p, off)
}

// A segment of a recording that runs is in the list before anybody is told.
func TestAFileIsListedOnlyWhenItHasABeginning(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	looks := 0
	record.WrapFiles(s.module, func(f record.File) record.File {
		return &listedFile{File: f, look: func() {
			looks++
			if items := s.list(t, "").Items; len(items) != 0 {
				t.Errorf("the list has %+v", items)
			}
		}}
	})
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	if items := s.list(t, "").Items; looks != 1 || len(items) != 1 || items[0].ID != f.ID {
		t.Errorf("after %d looks the list has %+v", looks, items)
	}
}

func TestADeletedRecordingIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	kept := s.finished(t, "live/kept", "h264_aac.flv", time.Second)
	f := s.finished(t, "live/a/b", "h264_aac.flv", time.Second)
	if w := s.call(http.MethodDelete, files+f.File); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("DELETE answered %d %s", w.Code, w.Body)
	}
	refused(t, s.call(http.MethodDelete, files+f.File), http.StatusNotFound, "no recording")
	refused(t, s.call(http.MethodGet, files+f.File), http.StatusNotFound, "no recording")
	if items := s.list(t, "").Items; len(items) != 1 || items[0].ID != kept.ID {
		t.Errorf("the list has %+v", items)
	}
	if _, err := os.Stat(filepath.Join(dir, "rec", "live", "a")); !os.IsNotExist(err) {
		t.Errorf("the empty folder is still there: %v", err)
	}
	s.stop()
	if items := newServer(t, dir).list(t, "").Items; len(items) != 1 || items[0].ID != kept.ID {
		t.Errorf("after the restart the list has %+v", items)
	}
}

func TestAFileThatIsNoFLVIsServedOnlyAsItIs(t *testing.T) {
	t.Parallel()
	for name, junk := range map[string][]byte{
		"empty": {}, "short": []byte("no FLV"), "long": bytes.Repeat([]byte("no FLV"), 20_000), "half a header": []byte("FLV\x01\x05"),
		"a header of another length": []byte("FLV\x01\x05\x00\x00\x00\x01\x00\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, t.TempDir())
			f := s.finished(t, "live/test", "h264_aac.flv", time.Second)
			if err := os.WriteFile(s.file(f), junk, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, query := range []string{"?start=1", "?follow=true", "?follow=true&start=1", "?format=mp4", "?format=mp4&start=1"} {
				w := s.call(http.MethodGet, files+f.File+query)
				refused(t, w, http.StatusConflict, "no FLV file")
				if w.Header().Get("Etag") != "" {
					t.Errorf("%s: the refusal has an ETag", query)
				}
			}
			if w := s.call(http.MethodGet, files+f.File); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), junk) {
				t.Errorf("GET answered %d and %d bytes", w.Code, w.Body.Len())
			}
		})
	}
}

func TestAFileThatIsGoneCanStillBeDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_aac.flv", time.Second)
	if err := os.Remove(s.file(f)); err != nil {
		t.Fatal(err)
	}
	refused(t, s.call(http.MethodGet, files+f.File), http.StatusNotFound, "gone")
	if w := s.call(http.MethodDelete, files+f.File); w.Code != http.StatusNoContent {
		t.Errorf("DELETE answered %d %s", w.Code, w.Body)
	}
}

func TestAFileWithAPercentSignIsFoundHoweverItIsEscaped(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/a:b", "h264_aac.flv", time.Second)
	if !strings.HasPrefix(f.File, "live/a%3Ab/") {
		t.Fatalf("the file is %s", f.File)
	}
	for _, target := range []string{(&url.URL{Path: files + f.File}).EscapedPath(), files + f.File} {
		if w := s.call(http.MethodGet, target); w.Code != http.StatusOK {
			t.Errorf("GET %s answered %d %s", target, w.Code, w.Body)
		}
	}
}
