package httpflv_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/flv"
	"sluice/internal/conf"
	"sluice/internal/httpd"
	"sluice/internal/httpflv"
	"sluice/internal/logtest"
	"sluice/internal/session"
	"sluice/internal/tlsfile/tlstest"
)

// hasEnd tells whether a session of that stream has ended for that reason.
func (s *secureServer) hasEnd(stream, reason string) bool {
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "session ended") && strings.Contains(line, "stream="+stream+" ") &&
			strings.Contains(line, "reason="+reason+" ") {
			return true
		}
	}
	return false
}

// secureServer is the module behind the HTTP port with TLS.
type secureServer struct {
	*server

	plain string // the URL without TLS
	trust *x509.CertPool
	log   *logtest.Log
}

func newSecureServer(t *testing.T, change ...func(*httpflv.Config)) *secureServer {
	t.Helper()
	cert, key, trust := tlstest.Pair(t, t.TempDir(), "sluice")
	cfg := httpd.DefaultConfig()
	cfg.Listen, cfg.TLS = "127.0.0.1:0", httpd.TLSConfig{Listen: "127.0.0.1:0", Cert: cert, Key: key}
	s := &secureServer{trust: trust, log: &logtest.Log{}}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	port, err := httpd.Listen(t.Context(), cfg, log, session.NewList(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	s.server = newModule(t, port.Mux(), log, change...)
	s.plain = "http://" + port.Addr()
	s.Server = &httptest.Server{URL: "https://" + port.AddrTLS()}
	s.run(t, port.Run, s.module.Run)
	t.Cleanup(s.stop)
	return s
}

// client is an HTTP client that counts its connections.
type client struct {
	*http.Transport

	dialled atomic.Int64
	mu      sync.Mutex // guards last
	last    net.Conn
}

// client returns one that speaks HTTP/2, or else HTTP/1.1 alone.
func (s *secureServer) client(t *testing.T, h2 bool) *client {
	t.Helper()
	c := &client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.trust}, ForceAttemptHTTP2: h2, //nolint:gosec // a client of today
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
	}}
	if !h2 {
		c.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.dialled.Add(1)
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = conn
		return conn, err
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func (c *client) get(t *testing.T, url string) *http.Response {
	t.Helper()
	return c.do(t, http.MethodGet, url)
}

func (c *client) do(t *testing.T, method, url string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestWithTLSViewersGetTheSameTags(t *testing.T) {
	s := newSecureServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	h2, h1 := s.client(t, true), s.client(t, false)
	bodies := map[string]io.Reader{}
	for name, resp := range map[string]*http.Response{
		"plain":    get(t, s.plain+"/flv/live/test"),
		"HTTP/1.1": h1.get(t, s.URL+"/flv/live/test.flv"),
		"HTTP/2.0": h2.get(t, s.URL+"/flv/live/test.flv"),
	} {
		if resp.StatusCode != http.StatusOK || name != "plain" && resp.Proto != name ||
			resp.Header.Get("Content-Type") != "video/x-flv" || resp.Header.Get("Sluice-Join") != "gop" {
			t.Errorf("%s: %s %s %v", name, resp.Proto, resp.Status, resp.Header)
		}
		bodies[name] = resp.Body
	}
	ws, resp, err := websocket.Dial(t.Context(), strings.Replace(s.URL, "https", "wss", 1)+"/flv/live/test",
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: s.client(t, false)}})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	ws.SetReadLimit(1 << 24)
	t.Cleanup(func() { _ = ws.CloseNow() })

	p.send(-1)
	p.end()
	var messages bytes.Buffer
	for {
		_, b, err := ws.Read(t.Context())
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			break
		}
		if err != nil {
			t.Fatalf("wss: %v", err)
		}
		messages.Write(b)
	}
	bodies["wss"] = &messages

	header, want := readTags(t, bodies["plain"])
	if len(want) < 200 {
		t.Fatalf("%d tags", len(want))
	}
	for name, b := range bodies {
		if name == "plain" {
			continue
		}
		h, tags := readTags(t, b)
		if h != header || !slices.EqualFunc(tags, want, sameTag) {
			t.Errorf("%s: %d tags differ from the %d that plain HTTP gives", name, len(tags), len(want))
		}
	}
	eventually(t, "every session has ended", func() bool { return s.sessions.Count(session.Viewer, "") == 0 })
}

func sameTag(a, b flv.Tag) bool {
	return a.Type == b.Type && a.DTS == b.DTS && bytes.Equal(a.Body, b.Body)
}

func TestManyTilesShareOneConnection(t *testing.T) {
	s := newSecureServer(t)
	c := s.client(t, true)
	const tiles = 12
	var publishers []*publisher
	var bodies []io.Reader
	for i := range tiles {
		path := "wall/" + string(rune('a'+i))
		publishers = append(publishers, s.live(t, path, "h264_aac.flv"))
		bodies = append(bodies, c.get(t, s.URL+"/flv/"+path).Body)
	}
	if n := s.sessions.Count(session.Viewer, ""); n != tiles {
		t.Errorf("%d viewers", n)
	}
	var all sync.WaitGroup
	for _, b := range bodies {
		all.Go(func() {
			if h, tags := readTags(t, b); !h.Audio || !h.Video || len(tags) < 200 {
				t.Errorf("header %+v and %d tags", h, len(tags))
			}
		})
	}
	for _, p := range publishers {
		p.send(-1)
		p.end()
	}
	all.Wait()
	if n := c.dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAStalledTileIsClosedAndTheOthersGoOn(t *testing.T) {
	s := newSecureServer(t, func(c *httpflv.Config) { c.WriteTimeout = conf.Duration(time.Second) })
	c := s.client(t, true)
	p := s.live(t, "live/stalled", "h264_aac.flv")
	q := s.live(t, "live/good", "h264_aac.flv")
	stalled := c.get(t, s.URL+"/flv/live/stalled")
	good := c.get(t, s.URL+"/flv/live/good")
	p.send(-1) // more than the window of 64 KiB
	eventually(t, "the stalled one is closed", func() bool { return s.hasEnd("live/stalled", "stalled") })
	if b, err := io.ReadAll(stalled.Body); err == nil {
		t.Errorf("after %d bytes its body ended cleanly", len(b))
	}
	q.send(-1)
	q.end()
	if _, tags := readTags(t, good.Body); len(tags) < 200 {
		t.Errorf("the other one got %d tags", len(tags))
	}
	if n := c.dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAKickedTileSeesThatItsBodyIsNotWhole(t *testing.T) {
	s := newSecureServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	resp := s.client(t, true).get(t, s.URL+"/flv/live/test")
	if err := s.sessions.Kick(s.sessions.All()[0].Info().ID, session.ErrKicked); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
		t.Errorf("after %d bytes the body ended with %v", len(b), err)
	}
	eventually(t, "its session has ended", func() bool { return s.hasEnd("live/test", "kicked") })
}

func TestAStalledTileCanBeKicked(t *testing.T) {
	s := newSecureServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	resp := s.client(t, true).get(t, s.URL+"/flv/live/test")
	p.send(-1)
	if err := s.sessions.Kick(s.sessions.All()[0].Info().ID, session.ErrKicked); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its session has ended", func() bool { return s.hasEnd("live/test", "kicked") })
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body ended cleanly")
	}
}

func TestATileThatIsClosedIsGone(t *testing.T) {
	s := newSecureServer(t)
	s.live(t, "live/a", "h264_aac.flv")
	s.live(t, "live/b", "h264_aac.flv")
	c := s.client(t, true)
	a := c.get(t, s.URL+"/flv/live/a")
	c.get(t, s.URL+"/flv/live/b")
	a.Body.Close()
	eventually(t, "its session has ended", func() bool { return s.hasEnd("live/a", "peer_gone") })
	if n := s.sessions.Count(session.Viewer, "live/b"); n != 1 {
		t.Error("the other one is gone too")
	}
	c.mu.Lock()
	c.last.Close()
	c.mu.Unlock()
	eventually(t, "all sessions have ended", func() bool { return s.hasEnd("live/b", "peer_gone") })
}

func TestShutdownEndsTilesCleanly(t *testing.T) {
	s := newSecureServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	h1 := s.client(t, false).get(t, s.URL+"/flv/live/test")
	h2 := s.client(t, true).get(t, s.URL+"/flv/live/test")
	eventually(t, "both are viewers", func() bool { return s.sessions.Count(session.Viewer, "") == 2 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stop()
	}()
	for _, resp := range []*http.Response{h1, h2} {
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("%s: the body did not end cleanly: %v", resp.Proto, err)
		}
	}
	<-done
	if !s.hasEnd("live/test", "shutdown") || s.hasEnd("live/test", "peer_gone") {
		t.Error("the reason is another one")
	}
}

func TestShutdownDoesNotWaitForAStalledTile(t *testing.T) {
	s := newSecureServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	s.client(t, true).get(t, s.URL+"/flv/live/test")
	p.send(-1)
	begin := time.Now()
	s.stop()
	if d := time.Since(begin); d > 8*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestOverHTTP2OtherAnswersAreTheSame(t *testing.T) {
	s := newSecureServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	c := s.client(t, true)
	resp := c.do(t, http.MethodHead, s.URL+"/flv/live/test")
	if resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/2.0" || resp.Header.Get("Content-Type") != "video/x-flv" ||
		resp.Header.Get("Transfer-Encoding") != "" {
		t.Errorf("HEAD: %s %s %v", resp.Proto, resp.Status, resp.Header)
	}
	problem(t, c.get(t, s.URL+"/flv/live/none?wait=10ms"), http.StatusNotFound)
	problem(t, c.do(t, http.MethodPost, s.URL+"/flv/live/test"), http.StatusMethodNotAllowed)
	problem(t, c.get(t, s.URL+"/flv/live/test?audio=off&video=off"), http.StatusUnsupportedMediaType)
}

func TestAWebSocketOverHTTP2IsAnsweredByHTTP(t *testing.T) {
	s := newSecureServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/flv/live/test", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	resp, err := s.client(t, true).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text := problem(t, resp, http.StatusBadRequest); !strings.Contains(text, "HTTP/1.1") {
		t.Errorf("the problem is %s", text)
	}
}

func TestATileBeginsWithTheFirstWriteAndHasNothingBehindItsEnd(t *testing.T) {
	s := newSecureServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	resp := s.client(t, true).get(t, s.URL+"/flv/live/test?join=next")
	head := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, head); err != nil || string(head) != "FLV" {
		t.Fatalf("the body begins with %q, %v", head, err)
	}
	p.send(-1)
	p.end()
	readTags(t, io.MultiReader(bytes.NewReader(head), resp.Body))
}
