package httpd_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/internal/auth"
	"sluice/internal/httpd"
	"sluice/internal/session"
	"sluice/internal/tlsfile/tlstest"
)

// secure returns a configuration with TLS on a free port, and what trusts it.
func secure(t *testing.T) (httpd.Config, *x509.CertPool) {
	t.Helper()
	cfg := httpd.DefaultConfig()
	cert, key, trust := tlstest.Pair(t, t.TempDir(), "sluice")
	cfg.TLS = httpd.TLSConfig{Listen: "127.0.0.1:0", Cert: cert, Key: key}
	return cfg, trust
}

// browser returns a client that speaks HTTP/2, or else HTTP/1.1 alone.
func browser(t *testing.T, trust *x509.CertPool, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: h2} //nolint:gosec // a client of today
	if !h2 {
		tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// fetch returns the answer to a GET, its body read.
func fetch(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	r, err := c.Get(url)
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

func TestTheSecurePortSpeaksHTTP2AndHTTP1(t *testing.T) {
	t.Parallel()
	cfg, trust := secure(t)
	s := start(t, cfg, nil)
	for proto, h2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
		r, body := fetch(t, browser(t, trust, h2), "https://"+s.AddrTLS()+"/healthz")
		if r.StatusCode != http.StatusOK || r.Proto != proto || strings.TrimSpace(body) != `{"status":"ok"}` {
			t.Errorf("%s: %s %s %s", proto, r.Proto, r.Status, body)
		}
	}
	if r, _ := get(t, s.Addr(), "/healthz"); r.StatusCode != http.StatusOK {
		t.Errorf("the plain port answers %d", r.StatusCode)
	}
	old := &tls.Config{RootCAs: trust, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // it must not work
	if c, err := tls.Dial("tcp", s.AddrTLS(), old); err == nil {
		c.NetConn().Close()
		t.Error("TLS 1.1 is spoken")
	}
	if s := start(t, httpd.DefaultConfig(), nil); s.AddrTLS() != "" {
		t.Errorf("without a certificate the secure port is %s", s.AddrTLS())
	}
}

func TestASecurePortInUseNamesTheKeyAndFreesThePlainOne(t *testing.T) {
	t.Parallel()
	cfg, _ := secure(t)
	s := start(t, cfg, nil)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	cfg.Listen, cfg.TLS.Listen = free.Addr().String(), s.AddrTLS()
	_, err = httpd.Listen(t.Context(), cfg, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler)))
	if !errors.Is(err, httpd.ErrListenTLS) || !strings.HasPrefix(err.Error(), "http.tls.listen: ") || !strings.Contains(err.Error(), s.AddrTLS()) {
		t.Errorf("the error is %v", err)
	}
	again, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestFilesThatCannotBeLoadedNameTheirKey(t *testing.T) {
	t.Parallel()
	cfg, _ := secure(t)
	cfg.Listen = "127.0.0.1:0"
	for want, change := range map[string]func(*httpd.TLSConfig){
		"http.tls.cert: open ": func(c *httpd.TLSConfig) { c.Cert += ".none" },
		"http.tls.key: open ":  func(c *httpd.TLSConfig) { c.Key += ".none" },
		"http.tls.cert: ":      func(c *httpd.TLSConfig) { c.Cert, c.Key = c.Key, c.Cert },
	} {
		bad := cfg
		change(&bad.TLS)
		_, err := httpd.Listen(t.Context(), bad, slog.New(slog.DiscardHandler), session.NewList(slog.New(slog.DiscardHandler)))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

func TestTheSectionOfTLSIsWholeOrEmpty(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		tls  httpd.TLSConfig
		want string
	}{
		{httpd.TLSConfig{}, ""},
		{httpd.TLSConfig{Listen: ":1", Cert: "c", Key: "k"}, ""},
		{httpd.TLSConfig{Listen: "8443", Cert: "c", Key: "k"}, `tls.listen: "8443" is not host:port, such as :8443`},
		{httpd.TLSConfig{Listen: ":1"}, "tls.cert: needed with tls.listen\ntls.key: needed with tls.listen"},
		{httpd.TLSConfig{Key: "k"}, "tls.listen: needed with tls.cert and tls.key"},
		{httpd.TLSConfig{Cert: "c"}, "tls.listen: needed with tls.cert and tls.key"},
	} {
		cfg := httpd.DefaultConfig()
		cfg.TLS = tc.tls
		got := ""
		if err := cfg.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.tls, got, tc.want)
		}
	}
}

func TestConnectionsOfBothPortsAreCountedTogether(t *testing.T) {
	t.Parallel()
	cfg, trust := secure(t)
	cfg.MaxConnections = 1
	s := start(t, cfg, nil)
	for range 3 { // every connection of HTTP/2 gives its place back
		first := browser(t, trust, true)
		waitFor(t, func() bool { // until the one before has ended
			r, err := first.Get("https://" + s.AddrTLS() + "/healthz")
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.ProtoMajor == 2
		})

		c, err := tls.Dial("tcp", s.AddrTLS(), &tls.Config{RootCAs: trust, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // a client of today
		if err != nil {
			t.Fatal(err)
		}
		r, body := answer(t, c)
		if r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "http.max_connections") {
			t.Errorf("the second connection with TLS is answered %d %s", r.StatusCode, body)
		}
		if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("that is spoken in %q", p)
		}
		c.NetConn().Close()
		plain, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := answer(t, plain); r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a plain one is answered %d", r.StatusCode)
		}
		plain.Close()
		first.CloseIdleConnections()
	}
}

// waitFor asks until ok.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatal("it did not happen in 10 s")
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := httpd.DefaultConfig()
	cert, key, _ := tlstest.Pair(t, dir, "old")
	cfg.TLS = httpd.TLSConfig{Listen: "127.0.0.1:0", Cert: cert, Key: key}
	s := start(t, cfg, nil)
	subject := func() string {
		c, err := tls.Dial("tcp", s.AddrTLS(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which one it is is the question
		if err != nil {
			t.Fatal(err)
		}
		defer c.NetConn().Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := subject(); got != "old" {
		t.Errorf("the certificate is that of %q", got)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		return subject() == "old" && strings.Contains(s.log.String(), "the old one stays in force")
	})
	tlstest.Pair(t, dir, "new")
	waitFor(t, func() bool { return subject() == "new" })
}

func TestTheContextsOfRequestsSayThatTheServerShutsDown(t *testing.T) {
	t.Parallel()
	cfg, trust := secure(t)
	entered, cause := make(chan struct{}), make(chan error, 1)
	s := start(t, cfg, func(m *httpd.Mux) {
		m.Handle(auth.Play, "/wait", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := httpd.Conn(r).(*tls.Conn); !ok {
				t.Errorf("the connection is a %T", httpd.Conn(r))
			}
			close(entered)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
			fmt.Fprint(w, "goodbye")
		}))
	})
	client := browser(t, trust, true)
	body := make(chan string, 1)
	go func() {
		_, b := fetch(t, client, "https://"+s.AddrTLS()+"/wait")
		body <- b
	}()
	<-entered
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-cause; !errors.Is(err, session.ErrShutdown) {
		t.Errorf("the cause is %v", err)
	}
	if b := <-body; b != "goodbye" {
		t.Errorf("the answer is %q", b)
	}
	if c, err := net.Dial("tcp", s.AddrTLS()); err == nil {
		c.Close()
		t.Error("the secure port is still open")
	}
}
