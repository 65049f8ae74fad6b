package record_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// lasts returns how long ffprobe says that a file is, in seconds.
func lasts(t *testing.T, name string) float64 {
	t.Helper()
	d, err := strconv.ParseFloat(run(t, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", name), 64)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARecordingIsServedAsMP4(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_bframes_aac.flv", 11*time.Second)
	whole := lasts(t, s.file(f))
	for _, tc := range []struct {
		query    string
		from, to float64
	}{{"", 0, whole}, {"&start=5.5", 5, whole}, {"&start=3.2&end=7", 3, 7}, {"&end=2", 0, 2}} {
		w := s.call(http.MethodGet, files+f.File+"?format=mp4"+tc.query)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "video/mp4" || w.Header().Get("Accept-Ranges") != "none" {
			t.Fatalf("%s: %d %v %.200s", tc.query, w.Code, w.Header(), w.Body)
		}
		kind, params, err := mime.ParseMediaType(w.Header().Get("Content-Disposition"))
		want := "live-test-" + filepath.Base(f.File[:len(f.File)-len(".flv")]) + ".mp4"
		if err != nil || kind != "attachment" || params["filename"] != want {
			t.Errorf("it is to be saved as %q, %v, want %q", params["filename"], err, want)
		}
		name := filepath.Join(t.TempDir(), "a.mp4")
		if err := os.WriteFile(name, w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		plays(t, name)
		const gop = 1.1 // it begins at a key frame, which are a second apart
		if d := lasts(t, name); d < tc.to-tc.from-0.2 || d > tc.to-tc.from+gop {
			t.Errorf("%s: it lasts %v s, want those from %v to %v", tc.query, d, tc.from, tc.to)
		}
		at := bytes.Index(w.Body.Bytes(), []byte("mehd"))
		if at < 0 {
			t.Fatalf("%s: the head says no duration", tc.query)
		}
		if said := float64(binary.BigEndian.Uint32(w.Body.Bytes()[at+8:])) / 1000; math.Abs(said-lasts(t, name)) > 0.2 {
			t.Errorf("%s: the head says %v s, it lasts %v s", tc.query, said, lasts(t, name))
		}
	}
	head := s.call(http.MethodHead, files+f.File+"?format=mp4")
	if head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("Content-Type") != "video/mp4" {
		t.Errorf("HEAD answered %d %v and %d bytes", head.Code, head.Header(), head.Body.Len())
	}
	if w := s.call(http.MethodGet, files+f.File+"?format=flv"); w.Header().Get("Content-Type") != "video/x-flv" {
		t.Errorf("format=flv answered %d %v", w.Code, w.Header())
	}
	for query, says := range map[string]string{
		"format=mkv": "format", "format=mp4&start=x": "start", "format=mp4&end=-1": "end", "format=mp4&start=3&end=3": "behind",
	} {
		refused(t, s.call(http.MethodGet, files+f.File+"?"+query), http.StatusBadRequest, says)
	}
}

func TestWhatMP4CannotCarryIsSaid(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_ac3_enhanced.flv", 3*time.Second)
	w := s.call(http.MethodGet, files+f.File+"?format=mp4")
	if w.Code != http.StatusOK || w.Header().Get("Sluice-Left-Out") != "audio:AC-3" {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
	sound := s.finished(t, "live/sound", "aac_only.flv", 3*time.Second)
	if w := s.call(http.MethodGet, files+sound.File+"?format=mp4"); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "audio/mp4" {
		t.Errorf("sound alone: %d %v", w.Code, w.Header())
	}
}

func TestARecordingIsServedAsMP4WhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_alaw8k.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(8 * time.Second)
	eventually(t, "the media is in the file", func() bool {
		return s.ask(t, http.MethodGet, "/flv/record/status/live/test").DurationMs > 6000
	})
	w := s.call(http.MethodGet, files+f.File+"?format=mp4")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || bytes.Contains(w.Body.Bytes(), []byte("mehd")) {
		t.Fatalf("answered %d %v", w.Code, w.Header())
	}
	name := filepath.Join(t.TempDir(), "a.mp4")
	if err := os.WriteFile(name, w.Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	plays(t, name)
	if d := lasts(t, name); d < 5.5 {
		t.Errorf("it lasts %v s", d)
	}
}
