package httpd

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"sluice/internal/auth"
)

// Mux finds the handler of a request by its raw path, as it stands on the
// wire: nothing is decoded, cleaned or redirected, so that a handler sees the
// "..", "%2e" and empty segments that it has to refuse. It is safe for
// concurrent use once all routes are added.
type Mux struct {
	log    *slog.Logger
	guard  *auth.Guard
	routes []route // longest path first
}

type route struct {
	scope   auth.Scope
	path    string // ends with "/" where it is a prefix
	handler http.Handler
}

// NewMux returns a Mux without routes.
func NewMux(log *slog.Logger, guard *auth.Guard) *Mux {
	return &Mux{log: log, guard: guard}
}

// Handle adds a route: a path that ends with a slash is a prefix, any other is
// matched whole; of several that match, the longest wins. h answers all
// methods, [Methods] helps. A path that is taken already panics.
func (m *Mux) Handle(scope auth.Scope, path string, h http.Handler) {
	at, found := slices.BinarySearchFunc(m.routes, path, func(r route, p string) int {
		if len(r.path) != len(p) {
			return len(p) - len(r.path)
		}
		return strings.Compare(r.path, p)
	})
	if found {
		panic("httpd: two routes at " + path)
	}
	m.routes = slices.Insert(m.routes, at, route{scope, path, h})
}

// ServeHTTP answers a request. Pages of any origin may read the answers of
// routes of scope Public and Play. A panic of the handler costs this connection
// alone.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
			m.log.Error("recovered from a panic", "remote", r.RemoteAddr, "err", v, "stack", string(debug.Stack()))
		}
		panic(http.ErrAbortHandler)
	}()
	if r.ProtoMajor == 1 { // with HTTP/2 it is the server that says so, see [Listen]
		AnswerBy(w, r, time.Now().Add(answerTimeout)) // a client that takes nothing would keep its answer for ever
	}
	path := r.URL.EscapedPath()
	for _, rt := range m.routes {
		if path != rt.path && (!strings.HasSuffix(rt.path, "/") || !strings.HasPrefix(path, rt.path)) {
			continue
		}
		if err := m.guard.Check(r, rt.scope); err != nil {
			refuse(w, err)
			return
		}
		if rt.scope == auth.Control {
			AnswerBy(w, r, time.Time{})
		} else {
			CORS(w, r)
		}
		rt.handler.ServeHTTP(w, r)
		return
	}
	NotFound(w, r)
}

// NotFound answers a path that nobody serves.
func NotFound(w http.ResponseWriter, r *http.Request) {
	CORS(w, r)
	Error(w, NewProblem(http.StatusNotFound, "nothing is served at this path"))
}

func refuse(w http.ResponseWriter, err error) {
	p := NewProblem(http.StatusUnauthorized, err.Error())
	if !errors.Is(err, auth.ErrControl) {
		p.Status, p.Title = http.StatusForbidden, http.StatusText(http.StatusForbidden)
	}
	p.Headers = http.Header{"Www-Authenticate": {`Bearer realm="sluice"`}}
	Error(w, p)
}

// Methods maps methods to handlers. HEAD falls back to GET. OPTIONS is
// answered by itself, for pages of other origins too where they may read the
// answers, and other methods by 405.
type Methods map[string]http.HandlerFunc

// ServeHTTP implements [http.Handler].
func (m Methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := m[r.Method]
	if h == nil && r.Method == http.MethodHead {
		h = m[http.MethodGet]
	}
	switch {
	case h != nil:
		h(w, r)
	case r.Method == http.MethodOptions:
		Options(w, m.allow())
	default:
		MethodNotAllowed(w, m.allow())
	}
}

func (m Methods) allow() string {
	names := []string{http.MethodOptions}
	for k := range m {
		names = append(names, k)
	}
	if m[http.MethodGet] != nil && m[http.MethodHead] == nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Options answers OPTIONS with the methods that are allowed.
func Options(w http.ResponseWriter, allow string) {
	h := w.Header()
	h.Set("Allow", allow)
	if h.Get("Access-Control-Allow-Origin") != "" {
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", "Authorization, Range, Cache-Control")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

// MethodNotAllowed answers 405 with the methods that are allowed.
func MethodNotAllowed(w http.ResponseWriter, allow string) {
	p := NewProblem(http.StatusMethodNotAllowed, "allowed here: "+allow)
	p.Headers = http.Header{"Allow": {allow}}
	Error(w, p)
}

// CORS lets pages of any origin read the answer. The [Mux] does so for routes
// of scope Public and Play; expose names the headers that scripts may read.
func CORS(w http.ResponseWriter, _ *http.Request, expose ...string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if len(expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(expose, ", "))
	}
}
