package httpd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// tooMany is the answer to a connection beyond the limit. It is sent before
// the request was read.
const tooMany = "HTTP/1.1 503 Service Unavailable\r\n" +
	"Content-Type: application/problem+json\r\n" +
	"Access-Control-Allow-Origin: *\r\n" +
	"Retry-After: 5\r\n" +
	"Connection: close\r\n" +
	"\r\n" +
	`{"status":503,"title":"Service Unavailable","detail":"too many connections (http.max_connections)"}` + "\n"

// A refused connection is read for a moment, because closing it with a request
// unread would take the answer from the client too. So many are at a time.
const (
	refuseTimeout = 500 * time.Millisecond
	maxRefused    = 64
)

// limits bound how many connections are open, over all listeners that share
// them. Those that were hijacked do not count.
type limits struct {
	log  *complaints
	left chan struct{} // holds a token for each open connection
	work *sync.WaitGroup

	refused atomic.Int64 // connections that are being refused
}

// listener keeps to the limits. It does not wrap connections: whoever hijacks
// one needs the socket as it is.
type listener struct {
	net.Listener
	*limits

	refusal *tls.Config // for connections that are refused, nil without TLS
}

// Accept returns the next connection within the limit.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.left <- struct{}{}:
			l.work.Add(1)
			return c, nil
		default:
			l.log.complain("refused a connection", "remote", c.RemoteAddr().String(), "reason", "max_connections")
			l.work.Go(func() { l.refuse(c) })
		}
	}
}

func (l *listener) refuse(c net.Conn) {
	defer c.Close()
	defer l.refused.Add(-1)
	if l.refused.Add(1) > maxRefused {
		return
	}
	// What fails here is the client's: it is gone, and needs no answer.
	_ = c.SetDeadline(time.Now().Add(refuseTimeout))
	if l.refusal != nil {
		c = tls.Server(c, l.refusal)
	}
	_, _ = io.WriteString(c, tooMany)
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, c)
}

// state hears from net/http what becomes of a connection.
func (l *limits) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		<-l.left
		l.work.Done()
	}
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

// connKey is the key of a connection in the context of its requests.
type connKey struct{}

// withConn puts a connection with TLS into the context of its requests. A plain
// one can be hijacked.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(*tls.Conn); !ok {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, c)
}

// Conn returns the connection on which a request came with TLS, nil where it is
// not known. Requests of HTTP/2 share it: it is there to be tuned, not used.
func Conn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	return c
}
