package httpflv

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sluice/internal/fanout"
	"sluice/internal/httpd"
	"sluice/internal/rendition"
	"sluice/internal/session"
)

// stay serves a viewer within its request: a stream of HTTP/2 shares its
// connection with others and cannot be taken from the server. All of them read
// the plain log. A viewer whose stream goes on without it, or that was cut off
// within a frame, sees its response reset.
func (m *Module) stay(w http.ResponseWriter, r *http.Request, rend *rendition.Rendition, a rendition.Request) {
	pos, first, joined := rend.Begin(a.Join)
	for _, line := range mediaHeader(a.Spec.Profile, joined, rend.LeftOut()) {
		w.Header().Set(line[0], line[1])
	}
	if c := httpd.Conn(r); c != nil {
		m.sweeper.Tune(c)
	}
	defer httpd.Watch(w, r)()
	b := newBody(w)
	v := fanout.NewViewer(b, rend.Log())
	v.First, v.Begin = first, pos
	sess := m.introduce(v, protoHTTP, r, rend)
	stop := kickWhenDone(r.Context(), v)
	reason := m.serve(v, sess, rend)
	stop()
	if isThrownOut(reason) || b.isBroken() {
		panic(http.ErrAbortHandler)
	}
}

// kickWhenDone ends a viewer with the context of its request: when the client
// leaves, or the server shuts down.
func kickWhenDone(ctx context.Context, v *fanout.Viewer) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), session.ErrShutdown) {
			v.Kick(session.ErrShutdown)
			return
		}
		v.Kick(fanout.ErrGone)
	})
}

// body is the body of a response as a viewer's connection: each write is sent
// at once, and Close ends one that is under way.
type body struct {
	w    http.ResponseWriter
	ctl  *http.ResponseController
	done chan struct{} // closed by Close

	mu      sync.Mutex // guards below
	closed  bool
	writing bool
	broken  bool // not all was written
}

func newBody(w http.ResponseWriter) *body {
	return &body{w: w, ctl: http.NewResponseController(w), done: make(chan struct{})}
}

// Write implements [io.Writer].
func (b *body) Write(p []byte) (n int, err error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	defer func() { b.end(err) }()
	if n, err = b.w.Write(p); err != nil {
		return n, err
	}
	return n, b.ctl.Flush()
}

func (b *body) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = !b.closed
	if b.closed {
		b.broken = true
		return net.ErrClosed
	}
	return nil
}

func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = false
	b.broken = b.broken || err != nil
}

// Read waits until the body is closed: a viewer has nothing to say.
func (b *body) Read([]byte) (int, error) {
	<-b.done
	return 0, io.EOF
}

// Close implements [io.Closer]. A write that waits for the client's window to
// open ends, and with it the stream of HTTP/2, not the connection. Of several
// calls the first counts: so none reaches the response once its handler has
// returned.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	close(b.done)
	if !b.writing {
		return nil
	}
	b.broken = true
	return b.ctl.SetWriteDeadline(time.Unix(1, 0))
}

// isBroken tells whether the client lacks something of what was written.
func (b *body) isBroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}
