package httpd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/internal/auth"
	"sluice/internal/httpd"
)

func newMux() *httpd.Mux { return httpd.NewMux(slog.New(slog.DiscardHandler), auth.NewGuard("")) }

// ask sends a request from a stranger to h. The target is taken as it stands.
func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// echo answers with its name and the raw path.
func echo(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.URL.EscapedPath()) }
}

func TestTheLongestRouteWinsInWhateverOrderTheyWereAdded(t *testing.T) {
	t.Parallel()
	m := newMux()
	for _, path := range []string{"/flv/", "/", "/flv/record/", "/flv/record/list", "/api"} {
		m.Handle(auth.Play, path, echo(path))
	}
	for target, want := range map[string]string{
		"/": "/", "/x": "/", "/flv": "/", "/flv/": "/flv/", "/flv/live/test": "/flv/", "/flv/record": "/flv/",
		"/flv/record/": "/flv/record/", "/flv/record/list": "/flv/record/list", "/flv/record/lists": "/flv/record/",
		"/flv/record/list/": "/flv/record/", "/api": "/api", "/api/": "/", "/FLV/x": "/", "/flv/record/list?stream=x": "/flv/record/list",
	} {
		if got, _, _ := strings.Cut(ask(m, http.MethodGet, target).Body.String(), " "); got != want {
			t.Errorf("%s is served by %q, want %q", target, got, want)
		}
	}
}

func TestAPathReachesItsHandlerAsItStandsOnTheWire(t *testing.T) {
	t.Parallel()
	m := newMux()
	m.Handle(auth.Play, "/flv/", echo("flv"))
	for _, path := range []string{
		"/flv/../etc/passwd", "/flv/./a", "/flv/a//b", "/flv/%2e%2e/a", "/flv/%2E", "/flv/a%2fb", "/flv/a%00b", "/flv/é",
		"/flv/%C3%A9", "/flv/" + strings.Repeat("a", 300),
	} {
		w := ask(m, http.MethodGet, path)
		want := "flv " + strings.ReplaceAll(path, "é", "%C3%A9")
		if got := w.Body.String(); w.Code != http.StatusOK || got != want {
			t.Errorf("%s gives %d %q, want %q", path, w.Code, got, want)
		}
	}
}

func TestAnUnknownPathIsAProblemThatPagesOfAnyOriginMayRead(t *testing.T) {
	t.Parallel()
	w := ask(newMux(), http.MethodGet, "/nothing")
	var p httpd.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != http.StatusNotFound || p.Title != "Not Found" || p.Detail == "" {
		t.Errorf("the problem is %+v, %v", p, err)
	}
	h := w.Header()
	if w.Code != http.StatusNotFound || h.Get("Content-Type") != "application/problem+json" ||
		h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", w.Code, h)
	}
}

func TestAControlRouteSaysHowToGetIn(t *testing.T) {
	t.Parallel()
	m := newMux()
	m.Handle(auth.Control, "/api", echo("api"))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		w := ask(m, method, "/api")
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "SLUICE_HTTP_TOKEN") ||
			w.Header().Get("Www-Authenticate") != `Bearer realm="sluice"` || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
}

func TestMethodsAnswerHeadOptionsAndTheRest(t *testing.T) {
	t.Parallel()
	m := newMux()
	h := httpd.Methods{http.MethodGet: echo("get"), http.MethodDelete: echo("delete")}
	m.Handle(auth.Play, "/play", h)
	m.Handle(auth.Public, "/post", httpd.Methods{http.MethodPost: echo("post")})
	for _, c := range []struct {
		method, path string
		code         int
		allow, body  string
	}{
		{"GET", "/play", 200, "", "get /play"},
		{"HEAD", "/play", 200, "", "get /play"}, // net/http drops the body
		{"DELETE", "/play", 200, "", "delete /play"},
		{"OPTIONS", "/play", 204, "DELETE, GET, HEAD, OPTIONS", ""},
		{"POST", "/play", 405, "DELETE, GET, HEAD, OPTIONS", "allowed here: DELETE, GET, HEAD, OPTIONS"},
		{"BREW", "/play", 405, "DELETE, GET, HEAD, OPTIONS", "allowed here"},
		{"HEAD", "/post", 405, "OPTIONS, POST", "allowed here: OPTIONS, POST"},
	} {
		w := ask(m, c.method, c.path)
		if w.Code != c.code || w.Header().Get("Allow") != c.allow || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, w.Code, w.Header(), w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s carries no CORS header", c.method, c.path)
		}
		if got := w.Header().Get("Access-Control-Allow-Methods"); c.method == "OPTIONS" && got != c.allow {
			t.Errorf("%s %s lets pages use %q", c.method, c.path, got)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, "/", nil))
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("without CORS OPTIONS says %d %v", w.Code, w.Header())
	}
}

func TestTwoRoutesAtOnePathPanic(t *testing.T) {
	t.Parallel()
	m := newMux()
	m.Handle(auth.Play, "/flv/", echo("a"))
	m.Handle(auth.Play, "/abc/", echo("b"))
	defer func() {
		if v := recover(); v != "httpd: two routes at /flv/" {
			t.Errorf("recovered %v", v)
		}
	}()
	m.Handle(auth.Public, "/flv/", echo("c"))
}

func TestAProblemKeepsItsHeadersAndHidesOtherErrors(t *testing.T) {
	t.Parallel()
	p := httpd.NewProblem(http.StatusServiceUnavailable, "too many viewers")
	p.RetryAfter = 1500 * time.Millisecond
	p.Headers = http.Header{"X-Limit": {"7"}}
	w := httptest.NewRecorder()
	httpd.Error(w, fmt.Errorf("joining: %w", p))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" || w.Header().Get("X-Limit") != "7" ||
		!strings.Contains(w.Body.String(), `"detail":"too many viewers"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}

	w = httptest.NewRecorder()
	httpd.Error(w, errors.New("open /etc/secret: no such file"))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := httpd.NewProblem(http.StatusTeapot, "").Error(); got != "I'm a teapot" {
		t.Errorf("a problem without detail says %q", got)
	}

	w = httptest.NewRecorder()
	httpd.JSON(w, http.StatusOK, func() {})
	if w.Code != http.StatusInternalServerError {
		t.Errorf("what cannot be encoded is answered %d", w.Code)
	}
}
