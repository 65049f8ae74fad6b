package console_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/console"
	"sluice/internal/httpd"
	"sluice/internal/module"
	"sluice/internal/session"
	"sluice/internal/stream"
)

func deps(token string) module.Deps {
	log := slog.New(slog.DiscardHandler)
	return module.Deps{
		Log:      log,
		Streams:  stream.NewRegistry(stream.DefaultLimits()),
		Sessions: session.NewList(log),
		HTTP:     httpd.NewMux(log, auth.NewGuard(token)),
		Facts:    &module.Facts{},
	}
}

func bundled() fstest.MapFS {
	return fstest.MapFS{
		".keep":               {},
		"index.html":          {Data: []byte("<!doctype html>the page")},
		"assets/main-ABC.js":  {Data: []byte("run()")},
		"assets/style-AB.css": {Data: []byte("a{}")},
		"assets/icon-AB.svg":  {Data: []byte("<svg/>")},
	}
}

// call sends a request from this machine.
func call(d module.Deps, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8080"+path, nil)
	r.RemoteAddr = "127.0.0.1:50000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.HTTP.ServeHTTP(w, r)
	return w
}

func TestThePageIsNeverStoredAndLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	d := deps("")
	console.AddRoutes(d, bundled())
	r := call(d, http.MethodGet, "/")
	if got := r.Body.String(); r.Code != http.StatusOK || got != "<!doctype html>the page" {
		t.Fatalf("GET / = %d %q", r.Code, got)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := r.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	policy := r.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "media-src 'self' blob:;", "connect-src ws: wss: 'self';"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q has no %q", policy, part)
		}
	}
}

func TestThePageFetchesFromWhereOtherModulesSay(t *testing.T) {
	t.Parallel()
	d := deps("")
	console.AddRoutes(d, bundled())
	d.Facts.Set(module.FactFetch+"a", "https://s3.example https://b.s3.example") // as late as that
	d.Facts.Set(module.FactFetch+"b", "http://127.0.0.1:7070")
	d.Facts.Set(module.FactFetch+"c", "https://x; script-src *")
	policy := call(d, http.MethodGet, "/").Header().Get("Content-Security-Policy")
	want := " connect-src ws: wss: 'self' http://127.0.0.1:7070 https://b.s3.example https://s3.example; base-uri"
	if !strings.Contains(policy, want) || strings.Contains(policy, "*") {
		t.Errorf("the policy is %q, want %q in it", policy, want)
	}
}

func TestTheEmbeddedBundleIsServedWithAllItsAssets(t *testing.T) {
	t.Parallel()
	d := deps("")
	desc := console.Describe()
	if _, err := desc.Build(t.Context(), desc.Default, d); err != nil {
		t.Fatal(err)
	}
	r := call(d, http.MethodGet, "/")
	page := r.Body.String()
	if r.Code != http.StatusOK || !strings.Contains(page, "<title>Sluice</title>") {
		t.Fatalf("GET / = %d %q", r.Code, page)
	}
	for part := range strings.SplitSeq(page, `"`) {
		if !strings.HasPrefix(part, "/assets/") {
			continue
		}
		if r := call(d, http.MethodGet, part); r.Code != http.StatusOK {
			t.Errorf("GET %s = %d", part, r.Code)
		}
	}
}

func TestWithoutTheBundleThePageSaysHowToBuildIt(t *testing.T) {
	t.Parallel()
	d := deps("")
	console.AddRoutes(d, fstest.MapFS{".keep": {}})
	r := call(d, http.MethodGet, "/")
	if got := r.Body.String(); r.Code != http.StatusOK || !strings.Contains(got, "make web") {
		t.Fatalf("GET / = %d %q", r.Code, got)
	}
}

func TestAssetsAreKeptForEver(t *testing.T) {
	t.Parallel()
	d := deps("secret")
	console.AddRoutes(d, bundled())
	for path, kind := range map[string]string{
		"/assets/main-ABC.js":  "text/javascript; charset=utf-8",
		"/assets/style-AB.css": "text/css; charset=utf-8",
		"/assets/icon-AB.svg":  "image/svg+xml",
	} {
		r := call(d, http.MethodGet, path)
		if r.Code != http.StatusOK || r.Header().Get("Content-Type") != kind ||
			r.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("GET %s = %d %v", path, r.Code, r.Header())
		}
	}
	if r := call(d, http.MethodHead, "/assets/main-ABC.js"); r.Body.String() != "" || r.Header().Get("Content-Length") != "5" {
		t.Errorf("HEAD = %v", r.Header())
	}
}

func TestNothingButTheBundleIsServed(t *testing.T) {
	t.Parallel()
	d := deps("")
	console.AddRoutes(d, bundled())
	for _, path := range []string{
		"/assets/", "/assets/none.js", "/assets/../index.html", "/assets/%2e%2e/index.html", "/assets//main-ABC.js",
		"/index.html", "/console/", "/nothing",
	} {
		if r := call(d, http.MethodGet, path); r.Code != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, r.Code)
		}
	}
	if r := call(d, http.MethodPost, "/"); r.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST / = %d, want 405", r.Code)
	}
	if r := call(d, http.MethodPost, "/nothing"); r.Code != http.StatusNotFound {
		t.Errorf("POST /nothing = %d, want 404", r.Code)
	}
}

func TestTheListAndTheFactsAreForWhoeverHoldsTheToken(t *testing.T) {
	t.Parallel()
	d := deps("secret")
	console.AddRoutes(d, bundled())
	for _, path := range []string{"/console/streams", "/console/facts"} {
		if r := call(d, http.MethodGet, path); r.Code != http.StatusUnauthorized {
			t.Errorf("GET %s = %d, want 401", path, r.Code)
		}
		if r := call(d, http.MethodGet, path, "Authorization", "Bearer secret"); r.Code != http.StatusOK {
			t.Errorf("GET %s with the token = %d, want 200", path, r.Code)
		}
	}
	if r := call(d, http.MethodGet, "/"); r.Code != http.StatusOK {
		t.Errorf("GET / = %d: the box for the token is on it", r.Code)
	}
}

func TestTheListSaysWhatIsLive(t *testing.T) {
	t.Parallel()
	d := deps("")
	console.AddRoutes(d, bundled())
	if got := call(d, http.MethodGet, "/console/streams").Body.String(); got != `{"streams":[]}`+"\n" {
		t.Fatalf("nothing live = %q", got)
	}

	p, err := d.Streams.Publish("live/tür")
	if err != nil {
		t.Fatal(err)
	}
	defer p.End(nil)
	write(t, p, flv.TagVideo, avcConfig(), []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65})
	write(t, p, flv.TagAudio, []byte{0xaf, 0, 0x12, 0x10}, []byte{0xaf, 1, 0x21, 0x00})
	defer d.Sessions.Open(session.Info{Role: session.Viewer, Stream: "live/tür"}, nil).End(nil)
	defer d.Sessions.Open(session.Info{Role: session.Recording, Stream: "live/tür"}, nil).End(nil)

	var got struct {
		Streams []struct {
			Path, StartedAt string
			State           string
			Viewers, Bytes  int
			Tracks          []map[string]any
		}
	}
	if err := json.NewDecoder(call(d, http.MethodGet, "/console/streams").Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.Streams) != 1 || len(got.Streams[0].Tracks) != 2 {
		t.Fatalf("got %+v", got)
	}
	s := got.Streams[0]
	if s.Path != "live/tür" || s.State != "live" || s.Viewers != 1 || s.Bytes == 0 || !strings.HasSuffix(s.StartedAt, "Z") {
		t.Errorf("got %+v", s)
	}
	want := map[string]any{
		"id": 0.0, "kind": "audio", "codec": "AAC", "mime": `audio/mp4; codecs="mp4a.40.2"`, "sampleRate": 44100.0, "channels": 2.0,
	}
	if diff := cmp.Diff(want, s.Tracks[1]); diff != "" {
		t.Error(diff)
	}
	if s.Tracks[0]["codec"] != "H.264" || s.Tracks[0]["mime"] != `video/mp4; codecs="avc1.42c00c"` {
		t.Errorf("video = %v", s.Tracks[0])
	}
}

func write(t *testing.T, p *stream.Publisher, typ uint8, bodies ...[]byte) {
	t.Helper()
	for _, b := range bodies {
		if err := p.Write(flv.ParseBody(typ, b)); err != nil {
			t.Fatal(err)
		}
	}
}

func avcConfig() []byte {
	return []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 0, 1, 0, 0}
}

func TestTheFactsGiveAnAddressThatCanBeReached(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rtmp, rtmps, play, want string }{
		{"[::]:1935", "", "on", `{"rtmp":":1935","play":true}`},
		{"0.0.0.0:41935", "", "on", `{"rtmp":":41935","play":true}`},
		{":1935", "", "", `{"rtmp":":1935","play":false}`},
		{"192.0.2.7:1935", "", "on", `{"rtmp":"192.0.2.7:1935","play":true}`},
		{"[2001:db8::1]:1935", "", "on", `{"rtmp":"[2001:db8::1]:1935","play":true}`},
		{"", "", "", `{"rtmp":"","play":false}`},
		{"[::]:1935", "[::]:1936", "on", `{"rtmp":":1935","rtmps":":1936","play":true}`},
	} {
		d := deps("")
		console.AddRoutes(d, bundled())
		d.Facts.Set(module.FactRTMP, c.rtmp)
		d.Facts.Set(module.FactRTMPS, c.rtmps)
		d.Facts.Set(module.FactPlay, c.play)
		if got := call(d, http.MethodGet, "/console/facts").Body.String(); got != c.want+"\n" {
			t.Errorf("facts of %q, %q = %q, want %q", c.rtmp, c.play, got, c.want)
		}
	}
}

func TestTheModuleCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	desc := console.Describe()
	if s, ok := desc.Default.(module.Switch); !ok || !s.Enabled() {
		t.Errorf("the default is %+v, want one that is on", desc.Default)
	}
	if (console.Config{}).Enabled() {
		t.Error("enable: false does not switch it off")
	}
}
