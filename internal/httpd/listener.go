package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/doors"
	"sluice/internal/session"
)

// The reasons of connections that end otherwise than behind an answer.
var (
	// ErrNoRequest ends one on which no request has come, or half a one behind
	// others.
	ErrNoRequest = session.NewReason("no_request", "the client sent no whole request, or not in time")
	// ErrNotTaken ends one whose client takes no answer.
	ErrNotTaken = session.NewReason("stalled", "the client did not take its answer in time")
)

// proto is what the connections are called that come to no session.
const proto = "http"

// refusal returns the answer to a connection beyond a limit. It is sent before
// the request was read.
func refusal(key string) string {
	return "HTTP/1.1 503 Service Unavailable\r\n" +
		"Content-Type: application/problem+json\r\n" +
		"Access-Control-Allow-Origin: *\r\n" +
		"Retry-After: 5\r\n" +
		"Connection: close\r\n" +
		"\r\n" +
		`{"status":503,"title":"Service Unavailable","detail":"too many connections (` + key + `)"}` + "\n"
}

// A refused connection is read for a moment, because closing it with a request
// unread would take the answer from the client too. So many are at a time.
const (
	refuseTimeout = 500 * time.Millisecond
	refuseBytes   = 64 << 10
	maxRefused    = 64
)

// Counter counts the connections that never came to a session, by reason.
type Counter interface {
	Note(proto string, reason error)
}

// limits bound how many connections are open, over all listeners that share
// them. Those that were hijacked do not count.
type limits struct {
	log   *complaints
	count Counter
	doors *doors.Doors
	work  *sync.WaitGroup

	refused atomic.Int64 // connections that are being refused

	mu     sync.Mutex // guards visits
	visits map[net.Conn]*visit
}

// visit is an open connection.
type visit struct {
	conn    net.Conn // with TLS, where it has that
	guest   *doors.Guest
	served  atomic.Bool  // a request has come
	takenBy atomic.Int64 // when its answer has to be taken, Unix nanoseconds; 0 where there is no such time
}

// AnswerBy says until when the answer has to be taken, by the goroutine that
// writes it; with the zero time it may take as long as it takes.
func AnswerBy(w http.ResponseWriter, r *http.Request, t time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(t) // where there are none, there is none
	v := visitOf(r)
	switch {
	case v == nil || r.ProtoMajor != 1: // another answer may share the connection
	case t.IsZero():
		v.takenBy.Store(0)
	default:
		v.takenBy.Store(t.UnixNano())
	}
}

// end returns why the connection ends, nil where that is as it should be.
func (v *visit) end() error {
	by := v.takenBy.Load()
	switch {
	case !v.served.Load():
		return ErrNoRequest
	case by != 0 && time.Now().UnixNano() >= by:
		return ErrNotTaken
	}
	return nil
}

// listener keeps to the limits. It does not wrap connections: whoever hijacks
// one needs the socket as it is.
type listener struct {
	net.Listener
	*limits

	refusal *tls.Config // for connections that are refused, nil without TLS
}

// Accept returns the next connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		guest, err := l.doors.Enter(c.RemoteAddr())
		if err == nil {
			l.work.Add(1)
			l.mu.Lock()
			l.visits[c] = &visit{guest: guest}
			l.mu.Unlock()
			return c, nil
		}
		key := "http.max_connections"
		if errors.Is(err, doors.ErrPending) {
			key = "http.max_pending"
		}
		l.count.Note(proto, session.ErrTooMany)
		l.log.complain("connection refused", "remote", c.RemoteAddr().String(), "reason", session.ErrTooMany.Reason(), "err", key)
		l.work.Go(func() { l.refuse(c, key) })
	}
}

// refuse tells a connection why it is closed. A fault in that costs nobody else.
func (l *listener) refuse(c net.Conn, key string) {
	defer c.Close()
	defer func() {
		if v := recover(); v != nil {
			l.log.log.Error("recovered from a panic", "remote", c.RemoteAddr().String(), "err", v, "stack", string(debug.Stack()))
		}
	}()
	defer l.refused.Add(-1)
	if l.refused.Add(1) > maxRefused {
		return
	}
	// What fails here is the client's: it is gone, and needs no answer.
	_ = c.SetDeadline(time.Now().Add(refuseTimeout))
	if l.refusal != nil {
		c = tls.Server(c, l.refusal)
	}
	_, _ = io.WriteString(c, refusal(key))
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c, refuseBytes))
}

// state hears from net/http what becomes of a connection.
func (l *limits) state(c net.Conn, s http.ConnState) {
	c = socket(c)
	l.mu.Lock()
	v := l.visits[c]
	if s == http.StateClosed || s == http.StateHijacked {
		delete(l.visits, c)
	}
	l.mu.Unlock()
	switch s {
	case http.StateActive: // bytes of the next request are there
		v.served.Store(false)
		return
	case http.StateIdle:
		v.takenBy.Store(0)
		return
	case http.StateNew:
		return
	case http.StateClosed:
		if err := v.end(); err != nil { // health checks connect and close too
			l.count.Note(proto, err)
			l.log.log.Debug("connection ended", "remote", c.RemoteAddr().String(), "reason", session.Label(err))
		}
	case http.StateHijacked: // whoever took it says why it ends
	}
	v.guest.Leave()
	l.work.Done()
}

// socket returns the connection that was accepted.
func socket(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// complaints is a [slog.Handler] for what net/http and the listener complain
// about. Anybody can cause as many of those lines as they like, so that at
// most one a second is written, with the number of those left out.
type complaints struct {
	log  *slog.Logger
	next atomic.Int64 // when the next line may be written, Unix nanoseconds
	left atomic.Int64 // lines left out since the newest one
}

const complaintEvery = time.Second

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log} }

// complain writes a line, or counts it.
func (c *complaints) complain(msg string, attrs ...any) {
	now := time.Now()
	next := c.next.Load()
	if now.UnixNano() < next || !c.next.CompareAndSwap(next, now.Add(complaintEvery).UnixNano()) {
		c.left.Add(1)
		return
	}
	if n := c.left.Swap(0); n > 0 {
		attrs = append(attrs, "left_out", n)
	}
	c.log.Warn(msg, attrs...) //nolint:sloglint // both messages are constants of the callers
}

// Enabled implements [slog.Handler].
func (c *complaints) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler] for the lines of net/http.
func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	c.complain("complaint of the HTTP server", "err", r.Message)
	return nil
}

// WithAttrs implements [slog.Handler]; the logger of net/http has none.
func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements [slog.Handler]; the logger of net/http has none.
func (c *complaints) WithGroup(string) slog.Handler { return c }

// visitKey is the key of a connection in the context of its requests.
type visitKey struct{}

// withVisit puts a connection into the context of its requests.
func (l *limits) withVisit(ctx context.Context, c net.Conn) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.visits[socket(c)]
	v.conn = c
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(r *http.Request) *visit {
	v, _ := r.Context().Value(visitKey{}).(*visit)
	return v
}

// Conn returns the connection on which a request came with TLS, nil where it is
// not known: a plain one can be hijacked. Requests of HTTP/2 share it: it is
// there to be tuned, not used.
func Conn(r *http.Request) net.Conn {
	if v := visitOf(r); v != nil {
		if c, ok := v.conn.(*tls.Conn); ok {
			return c
		}
	}
	return nil
}

// Watch says that a viewer stays in its request, until done is called: its
// connection is not pending meanwhile. Its answer may take as long as it takes.
func Watch(w http.ResponseWriter, r *http.Request) (done func()) {
	AnswerBy(w, r, time.Time{})
	v := visitOf(r)
	if v == nil {
		return func() {}
	}
	v.guest.Settle()
	return v.guest.Unsettle
}
