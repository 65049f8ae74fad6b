package record_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sluice/flv"
	"sluice/media"
)

// following returns the tags of a request that follows a file.
func (s *server) following(t *testing.T, target string) *flv.Reader {
	t.Helper()
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }))
	t.Cleanup(local.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, local.URL+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := local.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.ContentLength >= 0 || answer.Header.Get("Content-Type") != "video/x-flv" {
		t.Fatalf("GET %s answered %d %v", target, answer.StatusCode, answer.Header)
	}
	return flv.NewReader(answer.Body)
}

// reach reads tags up to a time.
func reach(t *testing.T, r *flv.Reader, at time.Duration) (first flv.Tag) {
	t.Helper()
	for frames := 0; ; {
		tag, err := r.Next()
		if err != nil {
			t.Fatalf("before %v: %v", at, err)
		}
		if flv.ParseBody(tag.Type, tag.Body).Type != media.Frame || tag.Type == flv.TagScript {
			continue
		}
		if frames++; frames == 1 {
			first = tag
		}
		if tag.DTS >= at {
			return first
		}
	}
}

func TestAFileIsFollowedUntilItsRecordingEnds(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(3 * time.Second)
	all := s.following(t, files+f.File+"?follow=true")
	reach(t, all, 1500*time.Millisecond)
	p.until(7 * time.Second) // nobody who follows waits for the end
	reach(t, all, 6*time.Second)
	late := s.following(t, files+f.File+"?follow=true&start=5")
	if first := reach(t, late, 6*time.Second); first.DTS == 0 || first.DTS > 5*time.Second {
		t.Errorf("from 5 s on it begins at %v", first.DTS)
	}
	done := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	for _, r := range []*flv.Reader{all, late} {
		var last time.Duration
		for {
			tag, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = tag.DTS
		}
		if end := time.Duration(done.DurationMs) * time.Millisecond; end-last > 100*time.Millisecond {
			t.Errorf("it ends at %v, the recording at %v", last, end)
		}
	}

	// A file that is over is sent as a whole, and ends.
	w := s.call(http.MethodGet, files+f.File+"?follow=1")
	got, err := readPackets(bytes.NewReader(w.Body.Bytes()))
	if want := packets(t, s.file(f)); err != nil || len(got) != len(want) {
		t.Errorf("afterwards it has %d tags of %d, %v", len(got), len(want), err)
	}
	if _, ok := metadata(t, got).Get("duration"); ok {
		t.Error("who follows is told a duration")
	}
	refused(t, s.call(http.MethodGet, files+f.File+"?follow=maybe"), http.StatusBadRequest, "follow")
}

func TestARangeIsOfTheFileThatIsMeant(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_aac.flv", 3*time.Second)
	tag := s.call(http.MethodHead, files+f.File).Header().Get("Etag")
	for etag, status := range map[string]int{tag: http.StatusPartialContent, `"another"`: http.StatusOK} {
		if w := s.call(http.MethodGet, files+f.File, "Range", "bytes=100-199", "If-Range", etag); w.Code != status {
			t.Errorf("If-Range %s answered %d, want %d", etag, w.Code, status)
		}
	}
}
