package browser_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/test/harness"
)

// library is a player that pages load, as npm brings it.
type library struct{ name, file string }

func libraries() []library {
	return []library{{"mpegts", "mpegts.js/dist/mpegts.js"}, {"flvjs", "flv.js/dist/flv.min.js"}}
}

// load puts a player library into the page, past the page's policy for scripts.
func (b *tab) load(l library) {
	b.t.Helper()
	code, err := os.ReadFile(filepath.Join(flvtest.Root(b.t), "web", "node_modules", filepath.FromSlash(l.file)))
	if err != nil {
		b.t.Fatalf("%v: make web brings the players", err)
	}
	b.script(string(code) + "\n" + stage)
}

// stage gives the page a place for players, and remembers what they report.
const stage = `
window.reports = [];
window.video = document.createElement('video');
video.id = 'stage';
video.muted = true;
video.style = 'position:fixed;inset:0;width:640px;height:360px;background:#000;z-index:9';
document.body.append(video);
window.start = (library, source, config) => {
  window.player = library.createPlayer(source, config);
  for (const name of ['ERROR', 'LOADING_COMPLETE', 'MEDIA_INFO'])
    player.on(library.Events[name], (...what) => reports.push({ name, what: JSON.stringify(what) }));
  player.attachMediaElement(video);
  player.load();
  player.play().catch((err) => reports.push({ name: 'REFUSED', what: String(err) }));
};
window.reported = (name) => reports.filter((r) => r.name === name).map((r) => r.what);`

// play begins to play a live stream.
func (b *tab) play(l library, address string) {
	b.t.Helper()
	b.load(l)
	b.script(fmt.Sprintf("start(%s, {type: 'flv', isLive: true, url: %q}, {})", l.name, address))
}

// plays waits until pictures move and sound is decoded, as far as there is
// any, and the clock goes on.
func (b *tab) plays(video string, picture, sound bool) {
	b.t.Helper()
	expect := "(v => v && !v.error && v.buffered.length && v.currentTime - v.buffered.start(0) > 1"
	if picture {
		expect += " && v.getVideoPlaybackQuality().totalVideoFrames > 20"
	}
	if sound {
		expect += " && v.webkitAudioDecodedByteCount > 0"
	}
	b.until("it plays", expect+fmt.Sprintf(")(%s)", video))
	b.until("the clock goes on", fmt.Sprintf(
		"(v => { window.mark ??= v.currentTime; const on = v.currentTime > mark + 0.5; if (on) delete window.mark; return on; })(%s)", video))
}

// elsewhere serves two pages of another server: an ordinary one, and one whose
// origin is "null", as that of a sandboxed frame or a file is.
func elsewhere(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/null" {
			w.Header().Set("Content-Security-Policy", "sandbox allow-scripts")
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>elsewhere</title><body>") // the browser may be gone
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestPlayersOfAnyPagePlayAStream(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	browser, other := launch(t), elsewhere(t)
	for _, page := range []struct{ name, address, origin string }{
		{"the server's own page", "http://" + server.HTTP + "/", "http://" + server.HTTP},
		{"a page of another origin", other + "/", other},
		{"a page of the origin null", other + "/null", "null"},
	} {
		for _, l := range libraries() {
			for _, scheme := range []string{"http", "ws"} {
				t.Run(page.name+" with "+l.name+" over "+scheme, func(t *testing.T) {
					t.Parallel()
					b := browser.open(t, page.address)
					if got := value[string](b, "self.origin"); got != page.origin {
						t.Fatalf("the page's origin is %q, want %q", got, page.origin)
					}
					b.play(l, server.Play(scheme, "live/test.flv?wait=30s"))
					b.plays("video", true, true)
					if part := b.bright("#stage"); part < 0.5 {
						t.Errorf("%.0f %% of the screen is bright, want a picture", part*100)
					}
					if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
						t.Errorf("the player complains: %q", errs)
					}
				})
			}
		}
	}
}

// This is the browser's part of case 108.
func TestPlayersAreToldWhenThePublisherStops(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	encoder := harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	browser, other := launch(t), elsewhere(t)
	var tabs []*tab
	for _, l := range libraries() {
		for _, scheme := range []string{"http", "ws"} {
			b := browser.open(t, other)
			b.play(l, server.Play(scheme, "live/test?wait=30s"))
			b.plays("video", true, true)
			tabs = append(tabs, b)
		}
	}
	encoder.Stop(t)
	for _, b := range tabs {
		b.until("loading is complete", "reported('LOADING_COMPLETE').length === 1")
		if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
			t.Errorf("the player complains: %q", errs)
		}
	}
}

// This is the browser's part of case 109.
func TestPlayersGoOnThroughAReconnectOfThePublisher(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, "--set", "rtmp.reconnect_window=60s") // a busy machine takes its time to start an encoder
	browser, other := launch(t, hears()), elsewhere(t)
	sources := map[string]harness.Source{"live/aac": h264WithAAC(t), "live/alaw": h264With(t, "pcm_alaw")}
	encoders := map[string]*harness.Process{}
	for path, src := range sources {
		encoders[path] = harness.Publish(t, src, server.Push(path))
	}
	var tabs []*tab
	for _, l := range libraries() {
		for _, scheme := range []string{"http", "ws"} {
			b := browser.open(t, other)
			b.play(l, server.Play(scheme, "live/aac?wait=30s"))
			tabs = append(tabs, b)
		}
	}
	camera := browser.open(t, other)
	camera.load(libraries()[0])
	camera.script(ears)
	camera.script(fmt.Sprintf("start(mpegts, {type: 'flv', isLive: true, url: %q}, {})", server.Play("http", "live/alaw?wait=30s")))
	tabs = append(tabs, camera)
	for _, b := range tabs {
		b.plays("video", true, true)
	}
	for path, encoder := range encoders {
		encoder.Signal(t, syscall.SIGKILL)
		server.WaitLine(t, "the stream is held for its publisher", "stream="+path)
	}
	var at []float64
	for _, b := range tabs {
		at = append(at, value[float64](b, "document.querySelector('video').buffered.end(0)"))
	}
	camera.script("loudest = 0")
	for path, src := range sources {
		harness.Publish(t, src, server.Push(path))
		server.WaitLine(t, "the stream goes on with its new publisher", "stream="+path)
	}
	for i, b := range tabs {
		b.until("it plays what the new publisher sends", fmt.Sprintf("document.querySelector('video').currentTime > %f", at[i]+1))
		if n := value[int](b, "document.querySelector('video').buffered.length"); n != 1 {
			t.Errorf("%d ranges are buffered, want one without a hole", n)
		}
		for _, event := range []string{"ERROR", "LOADING_COMPLETE"} {
			if told := value[[]string](b, "reported('"+event+"')"); len(told) > 0 {
				t.Errorf("the player reports %s: %q", event, told)
			}
		}
	}
	camera.until("its sound is heard", "loudest > 0.02")
}

// This is the browser's part of case 104.
func TestMpegtsPlaysEitherTrackAlone(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	browser, other := launch(t), elsewhere(t)
	for _, src := range harness.Sources() {
		if src.Video != "" && src.Audio != "" {
			continue
		}
		t.Run(src.Name, func(t *testing.T) {
			t.Parallel()
			path := strings.ReplaceAll(src.Name, " ", "-")
			harness.Publish(t, src, server.Push("live/"+path))
			b := browser.open(t, other)
			b.play(libraries()[0], server.Play("http", "live/"+path+"?wait=30s"))
			b.plays("video", src.Video != "", src.Audio != "")
		})
	}
}

// This is the browser's part of case 99.
func TestMpegtsSeeksInARecording(t *testing.T) {
	t.Parallel()
	server := harness.Start(t)
	harness.Publish(t, h264WithAAC(t), server.Push("live/test"))
	harness.Watch(t, server.Play("http", "live/test?wait=30s")).Begin(t)
	server.Record(t, http.MethodPost, "start/live/test")
	awaitRecorded(t, server)
	rec := server.Record(t, http.MethodPost, "stop/live/test")

	address, ranges := heldBack(t, server.HTTP, bytesUntil(t, server.File(t, rec), time.Second))
	b := launch(t).open(t, address+"/")
	b.load(libraries()[0])
	b.script(`video.onloadedmetadata = () => { video.currentTime = 2; };
		video.onseeked = () => { video.pause(); reports.push({name: 'SEEKED', what: String(video.currentTime)}); };`)
	b.script(fmt.Sprintf("start(mpegts, {type: 'flv', url: %q}, {enableStashBuffer: false})", "/flv/record/files/"+rec.File))
	b.until("a picture is there", "reported('SEEKED').length > 0 && video.readyState >= 2")
	if at := value[float64](b, "video.currentTime"); at < 1 || at > 3 {
		t.Errorf("it stands at %.2f s, want 2 s with an error of one GOP (1 s) at most", at)
	}
	if !value[bool](b, "player.mediaInfo.hasKeyframesIndex && video.duration > 4 && video.duration < 7") {
		t.Errorf("the player finds no index or length: %s", value[string](b, "JSON.stringify(player.mediaInfo) + video.duration"))
	}
	if r := <-ranges; !strings.HasPrefix(r, "bytes=") || r == "bytes=0-" {
		t.Errorf("it asks for the range %q, want one that begins at the key frame", r)
	}
	b.script("video.play()")
	b.until("it plays on", "video.currentTime > 3.5")
	if errs := value[[]string](b, "reported('ERROR')"); len(errs) > 0 {
		t.Errorf("the player complains: %q", errs)
	}
}

// bytesUntil returns how many bytes of a file come before that time.
func bytesUntil(t *testing.T, file string, at time.Duration) int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, n := flv.NewReader(f), int64(flv.HeaderLen)
	for {
		tag, err := r.Next()
		if err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		if tag.DTS >= at {
			return n
		}
		n += int64(flv.TagHeaderLen+len(tag.Body)) + 4
	}
}

// heldBack leads on to a server, whose files it gives no more of than the
// first n bytes, so that a player must ask for the range that it wants. The
// ranges are what players ask for.
func heldBack(t *testing.T, server string, n int64) (address string, ranges <-chan string) {
	t.Helper()
	asked := make(chan string, 16)
	pass := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: server})
	}}
	pass.ModifyResponse = func(answer *http.Response) error {
		switch r := answer.Request; {
		case !strings.HasPrefix(r.URL.Path, "/flv/record/files/"):
		case r.Header.Get("Range") != "":
			asked <- r.Header.Get("Range")
		default:
			answer.Header.Set("Cache-Control", "no-store") // or Chromium asks for the range only when this is complete
			answer.Body = held{io.LimitReader(answer.Body, n), answer.Body, r.Context().Done()}
		}
		return nil
	}
	s := httptest.NewServer(pass)
	t.Cleanup(s.Close)
	return s.URL, asked
}

// held is a body that stays open at its end, until nobody wants it any more.
type held struct {
	io.Reader
	io.Closer

	gone <-chan struct{}
}

func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		<-h.gone
	}
	return n, err
}

// awaitRecorded waits until enough of live/test is recorded to seek in it.
func awaitRecorded(t *testing.T, server *harness.Server) {
	t.Helper()
	v := harness.Watch(t, server.Play("http", "live/test?join=next"))
	first := v.Packet(t).DTS
	for v.Packet(t).DTS-first < 5*time.Second {
		continue // what comes is of no interest
	}
}

// h264WithAAC is what most encoders send.
func h264WithAAC(t *testing.T) harness.Source {
	t.Helper()
	return h264With(t, "aac")
}

func h264With(t *testing.T, audio string) harness.Source {
	t.Helper()
	for _, s := range harness.Sources() {
		if s.Video == "h264" && s.Audio == audio {
			return s
		}
	}
	t.Fatalf("the harness sends no H.264 with %q", audio)
	return harness.Source{}
}
