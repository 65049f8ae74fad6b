package browser_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/flvtest"
	"sluice/internal/remux"
)

// converted serves files of the test media as MP4: under /seek/ as a saved file
// is read, under /sent/ as the server sends it, without a length.
func converted(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			return
		}
		name := strings.TrimSuffix(filepath.Base(r.URL.Path), ".mp4") + ".flv"
		file, err := os.ReadFile(flvtest.Path(t, name))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		src, err := remux.Open(bytes.NewReader(file), int64(len(file)), remux.Options{})
		var out bytes.Buffer
		if err == nil {
			_, err = src.WriteTo(&out)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		if strings.HasPrefix(r.URL.Path, "/seek/") {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(out.Bytes()))
			return
		}
		w.Header().Set("Accept-Ranges", "none")
		_, _ = out.WriteTo(w) // the browser may be gone
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAPlainVideoElementPlaysTheMP4AndSeeks(t *testing.T) {
	t.Parallel()
	browser, origin := launch(t), converted(t)
	for _, name := range []string{"h264_bframes_aac", "h264_mp3", "h264_opus_enhanced", "h264_flac_enhanced", "h264_alaw8k", "h264_mulaw8k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := browser.open(t, origin+"/")
			for _, way := range []string{"sent", "seek"} {
				b.script(`window.video?.remove(); window.video = document.createElement('video'); video.muted = true;
					document.body.append(video); video.src = '/` + way + "/" + name + `.mp4'; video.play()`)
				b.until("it plays", "video.currentTime > 0.7 && video.getVideoPlaybackQuality().totalVideoFrames > 10 && video.webkitAudioDecodedByteCount > 0")
				if size := value[string](b, "video.videoWidth + '×' + video.videoHeight"); size != "320×180" {
					t.Errorf("the picture has %s", size)
				}
			}
			b.until("its duration is known", "Math.abs(video.duration - 4) < 0.3")
			b.script("video.pause(); video.currentTime = 2.5")
			b.until("it seeks", "!video.seeking && Math.abs(video.currentTime - 2.5) < 0.05 && video.readyState >= 2")
			b.script("video.play()")
			b.until("it plays to its end", "video.ended")
			if fault := value[string](b, "video.error?.message ?? ''"); fault != "" {
				t.Errorf("the player complains: %s", fault)
			}
		})
	}
}
