package httpd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/auth"
	"sluice/internal/conf"
	"sluice/internal/httpd"
	"sluice/internal/logtest"
	"sluice/internal/pipetest"
	"sluice/internal/session"
)

// running is a server that a test started.
type running struct {
	*httpd.Server

	log  *logtest.Log
	ends *session.List
	stop func() error // ends it and waits
}

// start serves on a free port what routes add.
func start(t *testing.T, cfg httpd.Config, routes func(*httpd.Mux)) running {
	t.Helper()
	log := &logtest.Log{}
	cfg.Listen = "127.0.0.1:0"
	ends := session.NewList(slog.New(slog.DiscardHandler))
	s, err := httpd.Listen(t.Context(), cfg, slog.New(slog.NewTextHandler(log, nil)), ends)
	if err != nil {
		t.Fatal(err)
	}
	if routes != nil {
		routes(s.Mux())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return running{s, log, ends, stop}
}

// talk sends raw bytes and returns the answer, with its body read.
func talk(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return answer(t, c)
}

func answer(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(b)
}

func get(t *testing.T, addr, path string) (*http.Response, string) {
	t.Helper()
	return talk(t, addr, "GET "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nConnection: close\r\n\r\n")
}

func TestHealthAndReadinessAreOpenToEverybody(t *testing.T) {
	t.Parallel()
	cfg := httpd.DefaultConfig()
	cfg.Token = "sesame"
	s := start(t, cfg, nil)
	for path, want := range map[string]string{"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`} {
		r, body := get(t, s.Addr(), path)
		if r.StatusCode != http.StatusOK || strings.TrimSpace(body) != want || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	if r, _ := talk(t, s.Addr(), "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %d", r.StatusCode)
	}
	if r, _ := talk(t, s.Addr(), "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != http.StatusNotFound ||
		r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("OPTIONS * is answered %d %v", r.StatusCode, r.Header)
	}
}

func TestAPortInUseNamesTheKey(t *testing.T) {
	t.Parallel()
	s := start(t, httpd.DefaultConfig(), nil)
	cfg := httpd.DefaultConfig()
	cfg.Listen = s.Addr()
	_, err := httpd.Listen(t.Context(), cfg, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler)))
	if !errors.Is(err, httpd.ErrListen) || !strings.HasPrefix(err.Error(), "http.listen: ") || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("the error is %v", err)
	}
}

func TestTheRawPathReachesTheHandlerWithoutARedirect(t *testing.T) {
	t.Parallel()
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) { m.Handle(auth.Play, "/flv/", echo("flv")) })
	for _, path := range []string{"/flv/../a", "/flv/%2e%2e/a", "/flv//a", "/flv/./a"} {
		r, body := get(t, s.Addr(), path)
		if r.StatusCode != http.StatusOK || body != "flv "+path {
			t.Errorf("%s: %d %q", path, r.StatusCode, body)
		}
	}
}

func TestAPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) {
		m.Handle(auth.Public, "/panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the sky falls") }))
		m.Handle(auth.Public, "/abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	})
	for _, path := range []string{"/panic", "/abort"} {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		if b, err := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%s is answered %q, %v", path, b, err)
		}
		c.Close()
	}
	if r, _ := get(t, s.Addr(), "/healthz"); r.StatusCode != http.StatusOK {
		t.Errorf("afterwards the server answers %d", r.StatusCode)
	}
	if log := s.log.String(); strings.Count(log, "recovered from a panic") != 1 || !strings.Contains(log, "the sky falls") {
		t.Errorf("log:\n%s", log)
	}
}

func TestAConnectionBeyondTheLimitIsTold(t *testing.T) {
	t.Parallel()
	cfg := httpd.DefaultConfig()
	cfg.MaxConnections = 1
	s := start(t, cfg, nil)
	first, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(first, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if r, _ := answer(t, first); r.StatusCode != http.StatusOK {
		t.Fatalf("the first connection is answered %d", r.StatusCode)
	}

	second, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r, body := answer(t, second)
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "http.max_connections") ||
		r.Header.Get("Content-Type") != "application/problem+json" || r.Header.Get("Retry-After") == "" {
		t.Errorf("the second connection is answered %d %v %s", r.StatusCode, r.Header, body)
	}
	second.Close()

	first.Close()
	for {
		if r, _ := get(t, s.Addr(), "/healthz"); r.StatusCode == http.StatusOK {
			break // the place of the first is free
		}
	}
}

func TestAnAddressMayHaveSoManyConnectionsThatWatchNothing(t *testing.T) {
	t.Parallel()
	cfg := httpd.DefaultConfig()
	cfg.MaxPending, cfg.TrustedProxies = 2, nil
	taken := make(chan struct{})
	s := start(t, cfg, func(m *httpd.Mux) {
		m.Handle(auth.Play, "/take", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			t.Cleanup(func() { c.Close() })
			taken <- struct{}{}
		}))
	})
	from := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for range 5 { // viewers, who do not count
		fmt.Fprint(from("127.0.0.2"), "GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
		<-taken
	}
	idle := from("127.0.0.2")
	fmt.Fprint(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if r, _ := answer(t, idle); r.StatusCode != http.StatusOK {
		t.Errorf("the first connection is answered %d", r.StatusCode)
	}
	silent := from("127.0.0.2")
	r, body := answer(t, from("127.0.0.2"))
	if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "http.max_pending") {
		t.Errorf("the third connection is answered %d %s", r.StatusCode, body)
	}
	other := from("127.0.0.3")
	fmt.Fprint(other, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if r, _ := answer(t, other); r.StatusCode != http.StatusOK {
		t.Errorf("another address is answered %d", r.StatusCode)
	}
	silent.Close()
	idle.Close()
	other.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	want := map[session.End]int64{
		{Proto: "http", Reason: "too_many_connections"}: 1, {Proto: "http", Reason: "no_request"}: 1,
	}
	if d := cmp.Diff(want, s.ends.Ends()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}

func TestAClientThatTakesNoAnswerIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := httpd.NewMux(slog.New(slog.DiscardHandler), auth.NewGuard(""))
		failed := make(chan error, 1)
		m.Handle(auth.Public, "/large", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		}))
		s := &http.Server{Handler: m}
		defer func() { _ = s.Close() }() // its connection is cut by then
		ln := make(pipetest.Listener)
		go func() { _ = s.Serve(ln) }()
		client := ln.Dial()
		defer client.Close()
		start := time.Now()
		fmt.Fprint(client, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 2*time.Minute {
			t.Errorf("writing ends with %v after %v", err, time.Since(start))
		}
	})
}

func TestAConnectionThatEndsBehindAnAnswerAndNotAsItShouldIsCounted(t *testing.T) {
	t.Parallel()
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) {
		m.Handle(auth.Public, "/large", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httpd.AnswerBy(w, r, time.Now().Add(50*time.Millisecond))
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}))
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if r, _ := answer(t, c); r.StatusCode != http.StatusOK {
			t.Fatalf("it is answered %d", r.StatusCode)
		}
		return c
	}
	ends := func(request string) {
		c := dial()
		fmt.Fprint(c, request)
		if half, ok := c.(*net.TCPConn); ok && half.CloseWrite() != nil {
			t.Error("it is closed already")
		}
		_, _ = io.Copy(io.Discard, c) // until it is closed, in whatever way
	}
	ends("")                                   // as it should
	ends("GET /" + strings.Repeat("h", 8<<10)) // net/http tells of what comes in more than one piece
	ends("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	want := map[session.End]int64{{Proto: "http", Reason: "no_request"}: 1, {Proto: "http", Reason: "stalled"}: 1}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, s.ends.Ends()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}

func TestAHijackedConnectionIsTheSocketItselfAndDoesNotCount(t *testing.T) {
	t.Parallel()
	cfg := httpd.DefaultConfig()
	cfg.MaxConnections = 1
	taken := make(chan net.Conn, 1)
	s := start(t, cfg, func(m *httpd.Mux) {
		m.Handle(auth.Play, "/take", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			taken <- c
		}))
	})
	client, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	fmt.Fprint(client, "GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
	c := <-taken
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("the module gets a %T", c)
	}
	if r, _ := get(t, s.Addr(), "/healthz"); r.StatusCode != http.StatusOK {
		t.Errorf("another connection is answered %d", r.StatusCode)
	}

	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "still here"); err != nil {
		t.Errorf("shutting down took the connection from the module: %v", err)
	}
	c.Close()
}

func TestShuttingDownLetsAnswersOutAndEndsTheContextsOfRequests(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) {
		m.Handle(auth.Play, "/wait", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			fmt.Fprint(w, "goodbye")
		}))
	})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, body := answer(t, c); body != "goodbye" {
		t.Errorf("the answer is %q", body)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestADrainingServerIsNotReady(t *testing.T) {
	t.Parallel()
	var mux *httpd.Mux
	var code int
	entered := make(chan struct{})
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) {
		mux = m
		m.Handle(auth.Play, "/wait", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			for code != http.StatusServiceUnavailable && !t.Failed() {
				code = ask(mux, http.MethodGet, "/readyz").Code
			}
		}))
	})
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable {
		t.Errorf("while it drains /readyz says %d", code)
	}
	if code := ask(mux, http.MethodGet, "/healthz").Code; code != http.StatusOK {
		t.Errorf("while it drains /healthz says %d", code)
	}
}

func TestAServerThatNeverRanFreesItsPort(t *testing.T) {
	t.Parallel()
	cfg := httpd.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s, err := httpd.Listen(t.Context(), cfg, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestComplaintsOfTheServerAreOneLineASecond(t *testing.T) {
	t.Parallel()
	s := start(t, httpd.DefaultConfig(), nil)
	for range 50 {
		if r, _ := talk(t, s.Addr(), "NOT HTTP AT ALL\r\n\r\n"); r.StatusCode != http.StatusBadRequest {
			t.Fatalf("answered %d", r.StatusCode)
		}
	}
	if n := strings.Count(s.log.String(), "\n"); n > 2 {
		t.Errorf("%d lines:\n%s", n, s.log)
	}
}

func TestABodyIsBounded(t *testing.T) {
	t.Parallel()
	var read error
	s := start(t, httpd.DefaultConfig(), func(m *httpd.Mux) {
		m.Handle(auth.Public, "/post", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, read = io.ReadAll(r.Body) }))
	})
	talk(t, s.Addr(), "POST /post HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000000\r\n\r\n"+strings.Repeat("x", 2_000_000))
	if _, ok := errors.AsType[*http.MaxBytesError](read); !ok {
		t.Errorf("reading the body gives %v", read)
	}
}

func TestTheTokenMayStandInAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	cfg := httpd.DefaultConfig()
	cfg.TokenFile = file
	for content, want := range map[string]string{
		"": "is empty", " \n": "is empty", "two words": "has spaces", strings.Repeat("x", 9000): "longer than",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := httpd.Listen(t.Context(), cfg, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler)))
		if err == nil || !strings.HasPrefix(err.Error(), "http.token_file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q gives %v", content, err)
		}
	}
	if err := os.WriteFile(file, []byte("\n sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, cfg, func(m *httpd.Mux) { m.Handle(auth.Control, "/api", echo("api")) })
	for token, want := range map[string]int{"sesame": http.StatusOK, "": http.StatusUnauthorized, "wrong": http.StatusUnauthorized} {
		r, _ := talk(t, s.Addr(), "GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		if r.StatusCode != want {
			t.Errorf("with the token %q the answer is %d, want %d", token, r.StatusCode, want)
		}
	}
	if !s.HasToken() {
		t.Error("the server says that it has no token")
	}
	cfg.TokenFile += ".missing"
	if _, err := httpd.Listen(t.Context(), cfg, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestTheSectionReportsAllItsMistakes(t *testing.T) {
	t.Parallel()
	if err := httpd.DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := httpd.Config{Listen: "8080", Token: "two words", TokenFile: "x"}.Validate()
	for _, want := range []string{`listen: "8080" is not host:port`, "token_file: set either", "token: has spaces", "max_connections: must be positive"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if err := (httpd.Config{Listen: ":1", Token: conf.Secret(strings.Repeat("x", 5000)), MaxConnections: 1}).Validate(); err == nil {
		t.Error("a token of 5000 characters is taken")
	}
	if strings.Contains(err.Error(), "two words") {
		t.Error("the error shows the token")
	}
}
