package httpflv_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/flvtest"
	"sluice/internal/httpd"
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/pipetest"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is the module behind a real HTTP server on loopback.
type server struct {
	*httptest.Server
	streams  *stream.Registry
	sessions *session.List
	module   *httpflv.Module
	stop     func() // ends the module and waits for it
}

func newServer(t *testing.T, change ...func(*httpflv.Config)) *server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	mux := httpd.NewMux(log, auth.NewGuard(""))
	s := newModule(t, mux, log, change...)
	s.Server = httptest.NewServer(mux)
	s.run(t, s.module.Run)
	t.Cleanup(func() {
		s.stop()
		s.Close()
	})
	return s
}

// newPiped is a server without a network, for bubbles: connections are pipes.
func newPiped(t *testing.T) (s *server, dial func() net.Conn) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	mux := httpd.NewMux(log, auth.NewGuard(""))
	s = newModule(t, mux, log)
	ln := make(pipetest.Listener)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	s.run(t, s.module.Run, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = web.Close() })() // of pipes
		if err := web.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	t.Cleanup(s.stop)
	return s, func() net.Conn {
		conn := ln.Dial()
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// newModule returns a server that is not served yet.
func newModule(t *testing.T, mux *httpd.Mux, log *slog.Logger, change ...func(*httpflv.Config)) *server {
	t.Helper()
	cfg := httpflv.DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	limits := stream.DefaultLimits()
	limits.Probe = 100 * time.Millisecond
	d := module.Deps{
		Log: log, Streams: stream.NewRegistry(limits), Sessions: session.NewList(log), HTTP: mux, Facts: &module.Facts{},
	}
	mod := httpflv.New(cfg, d)
	mux.Handle(auth.Play, "/flv/", mod)
	return &server{streams: d.Streams, sessions: d.Sessions, module: mod}
}

// run runs parts of the server until stop.
func (s *server) run(t *testing.T, parts ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil {
				t.Errorf("Run() = %v", err)
			}
		})
	}
	s.stop = func() {
		cancel()
		running.Wait()
	}
}

// publisher writes the tags of a fixture under a path.
type publisher struct {
	t    *testing.T
	pub  *stream.Publisher
	tags []flv.Tag
}

func (s *server) publish(t *testing.T, path, name string) *publisher {
	t.Helper()
	pub, err := s.streams.Publish(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pub.End(stream.ErrUnpublished) })
	return &publisher{t: t, pub: pub, tags: flvtest.Tags(t, name)}
}

// send writes the next n tags, all for a negative n.
func (p *publisher) send(n int) {
	p.t.Helper()
	for ; n != 0 && len(p.tags) > 0; n-- {
		tag := p.tags[0]
		p.tags = p.tags[1:]
		pkt := flv.ParseBody(tag.Type, tag.Body)
		pkt.DTS = tag.DTS
		if err := p.pub.Write(pkt); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *publisher) end() { p.pub.End(stream.ErrUnpublished) }

// live publishes a fixture up to where the stream is live.
func (s *server) live(t *testing.T, path, name string) *publisher {
	t.Helper()
	p := s.publish(t, path, name)
	p.send(10)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.streams.Wait(ctx, path); err != nil {
		t.Fatal(err)
	}
	return p
}

func do(t *testing.T, method, url string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		resp.Body.Close()
		tr.CloseIdleConnections()
	})
	return resp
}

func get(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	return do(t, http.MethodGet, url, header...)
}

// raw sends a request as it stands and returns the connection.
func (s *server) raw(t *testing.T, lines ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// media reads tags from a body until it ends.
func readTags(t *testing.T, r io.Reader) (flv.Header, []flv.Tag) {
	t.Helper()
	h, tags, err := flvtest.Read(r)
	if err != nil {
		t.Fatalf("after %d tags: %v", len(tags), err)
	}
	return h, tags
}

// problem reads a problem document and checks its status.
func problem(t *testing.T, resp *http.Response, status int) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" ||
		!strings.Contains(string(b), fmt.Sprintf(`"status":%d`, status)) {
		t.Fatalf("got %s, %s: %s; want a problem with status %d", resp.Status, resp.Header.Get("Content-Type"), b, status)
	}
	return string(b)
}

// eventually waits until ok, which is asked at every tick.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it did not happen in 10 s: %s", what)
		case <-tick.C:
		}
	}
}

func isKeyFrame(tag flv.Tag) bool {
	p := flv.ParseBody(tag.Type, tag.Body)
	return p.Kind == media.Video && p.Type == media.Frame && p.Key
}
