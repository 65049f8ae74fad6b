package rtmpd_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/amf0"
	"sluice/internal/logtest"
	"sluice/internal/module"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
	"sluice/rtmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a listener for connections within the process.
type memory struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memory) Addr() net.Addr { return address("[::]:1935") }

// dial connects from the loopback interface, or from where it is told.
func (l *memory) dial(from string) net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- remoteConn{theirs, address(from)}
	return ours
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// remoteConn is a connection from an address.
type remoteConn struct {
	net.Conn
	from net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.from }

// record keeps what is logged.
type record struct{ logtest.Log }

// lines returns the logged lines with that message.
func (r *record) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(r.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

// reasons returns the reasons of the lines with that message.
func (r *record) reasons(t *testing.T, msg string) []string {
	t.Helper()
	var out []string
	for _, line := range r.lines(t, msg) {
		reason, _ := line["reason"].(string)
		out = append(out, reason)
	}
	return out
}

// house is a running server and what it uses.
type house struct {
	*memory
	deps module.Deps
	log  *record
	stop context.CancelFunc
	done chan error
}

// open runs a server until the test ends, on a listener in memory unless
// another one is given.
func open(t *testing.T, cfg rtmpd.Config, ln net.Listener) *house {
	t.Helper()
	h := &house{memory: newMemory(), log: &record{}, done: make(chan error, 1)}
	if ln == nil {
		ln = h.memory
	}
	limits := stream.DefaultLimits()
	limits.Probe = 50 * time.Millisecond
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	h.deps = module.Deps{Log: log, Streams: stream.NewRegistry(limits), Sessions: session.NewList(log), Facts: &module.Facts{}}
	srv := rtmpd.New(cfg, h.deps, ln)
	ctx, cancel := context.WithCancel(t.Context())
	h.stop = cancel
	go func() { h.done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-h.done; err != nil {
			t.Errorf("Run() error = %v", err)
		}
	})
	return h
}

// client is the client's end of a connection, without manners.
type client struct {
	net.Conn
	w     *rtmp.Writer
	heard chan rtmp.Message // what the server sends; closed when the connection is
	calls int
}

// shake connects a client that has shaken hands. What the server sends is
// read all the time.
func shake(t *testing.T, conn net.Conn) *client {
	t.Helper()
	in := bufio.NewReader(conn)
	if err := rtmp.ClientHandshake(in, conn, 0, rand.Reader, rtmp.Simple); err != nil {
		t.Fatal(err)
	}
	c := &client{Conn: conn, w: rtmp.NewWriter(conn), heard: make(chan rtmp.Message, 1024)}
	go func() {
		defer close(c.heard)
		r := rtmp.NewReader(in)
		for {
			m, err := r.Next()
			if err != nil {
				return
			}
			c.heard <- m
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return c
}

func (c *client) send(t *testing.T, typ uint8, ms uint32, body []byte) {
	t.Helper()
	if err := c.w.Write(rtmp.Message{Type: typ, StreamID: 1, ChunkStream: 4, Timestamp: ms, Body: body}); err != nil {
		t.Fatalf("sending a message of type %d: %v", typ, err)
	}
}

// call sends a command on message stream 1.
func (c *client) call(t *testing.T, name string, args ...any) {
	t.Helper()
	c.calls++
	body, err := amf0.AppendAll(nil, append([]any{name, c.calls, nil}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	c.send(t, rtmp.TypeCommand, 0, body)
}

// connect opens an application.
func (c *client) connect(t *testing.T, app string) {
	t.Helper()
	c.calls++
	body, err := amf0.AppendAll(nil, "connect", c.calls, amf0.Object{{Key: "app", Value: app}})
	if err != nil {
		t.Fatal(err)
	}
	c.send(t, rtmp.TypeCommand, 0, body)
	if code, _ := c.status(t); code != rtmp.CodeConnectSuccess {
		t.Fatalf("connect is answered with %q", code)
	}
}

// publish asks to publish and returns the answer.
func (c *client) publish(t *testing.T, name string) (code, description string) {
	t.Helper()
	c.call(t, "publish", name, "live")
	return c.status(t)
}

// status returns the next answer of the server that has a code, empty when
// there is none before the connection ends.
func (c *client) status(t *testing.T) (code, description string) {
	t.Helper()
	for m := range c.heard {
		if m.Type != rtmp.TypeCommand {
			continue
		}
		values, err := amf0.DecodeAll(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if len(values) < 4 {
			continue
		}
		info := amf0.Properties(values[3])
		if v, ok := info.Get("code"); ok {
			text, _ := info.Get("description")
			code, _ = v.(string)
			description, _ = text.(string)
			return code, description
		}
	}
	return "", ""
}

// closed waits until the server has closed the connection, and returns how
// long that took.
func (c *client) closed() time.Duration {
	start := time.Now()
	for open := true; open; {
		_, open = <-c.heard
	}
	return time.Since(start)
}

// encoder connects, and publishes a name in the application "live".
func encoder(t *testing.T, h *house, name string) *client {
	t.Helper()
	c := shake(t, h.dial("127.0.0.1:50000"))
	c.connect(t, "live")
	if code, text := c.publish(t, name); code != rtmp.CodePublishStart {
		t.Fatalf("publish is answered with %q, %q", code, text)
	}
	return c
}

// sound is a frame of G.711, which needs no configuration.
func sound() []byte { return append([]byte{0x72}, make([]byte, 160)...) }

// live sends sound until the stream is there, and returns it.
func (c *client) live(t *testing.T, h *house, path string) *stream.Stream {
	t.Helper()
	found := make(chan *stream.Stream, 1)
	go func() {
		s, err := h.deps.Streams.Wait(t.Context(), path)
		if err == nil {
			found <- s
		}
	}()
	for ms := uint32(0); ; ms += 20 {
		c.send(t, rtmp.TypeAudio, ms, sound())
		select {
		case s := <-found:
			return s
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tap collects the packets of a stream.
type tap struct {
	mu      sync.Mutex // guards packets
	packets []*media.Packet
	end     chan error
}

func watch(t *testing.T, s *stream.Stream) *tap {
	t.Helper()
	w := &tap{end: make(chan error, 1)}
	window, _, err := s.Tap(w)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.packets = append(window, w.packets...)
	w.mu.Unlock()
	return w
}

func (w *tap) Packet(p *media.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets = append(w.packets, p)
}

func (w *tap) End(reason error) { w.end <- reason }

func (w *tap) all() []*media.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*media.Packet(nil), w.packets...)
}

// ended returns why the stream ended, when it has.
func ended(t *testing.T, s *stream.Stream) error {
	t.Helper()
	select {
	case <-s.Done():
		return s.Err()
	case <-t.Context().Done():
		return errors.New("the stream did not end")
	}
}
