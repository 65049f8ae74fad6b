package rtmpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"sluice/internal/doors"
	"sluice/internal/fanout"
	"sluice/internal/mend"
	"sluice/internal/module"
	"sluice/internal/session"
	"sluice/internal/socket"
	"sluice/internal/stream"
	"sluice/media"
	"sluice/rtmp"
)

const (
	writeTimeout  = 10 * time.Second // for an answer to be taken
	lingerTimeout = time.Second      // for a refused client to read why, and close
	lingerBytes   = 1 << 20          // that it may send meanwhile
)

// conn is one connection from its first byte to its last.
//
//	handshake ─▶ waiting ─▶ publishing, no media yet ─▶ publishing
//	              │ ▲                                       │ unpublished
//	              │ └───────────────────────────────────────┘
//	              └─▶ playing, see player
type conn struct {
	*Server
	net.Conn
	in     io.Reader // reads the connection
	guest  *doors.Guest
	remote string
	proto  string // rtmp, or rtmps
	rtmp   *rtmp.ServerConn

	opened  time.Time
	limit   phase // what time is running out
	pub     *stream.Publisher
	sess    *session.Session
	leave   func()         // takes a publisher off the clock
	ended   error          // why the last publish ended, nil before
	mender  *mend.Mender   // of the publisher's packets
	packets []media.Packet // of the newest message, the room being used again
	told    bool           // the client was told why the connection ends

	mu     sync.Mutex     // guards all below
	cause  error          // why the connection is ended from outside
	viewer *fanout.Viewer // has the connection, nil while conn has it
	armed  time.Time      // when the read deadline was set
	span   time.Duration
}

// phase is a time limit and the reason for which it ends a connection.
type phase struct {
	span   time.Duration
	reason error
}

// serve handles one connection, with TLS where there is a configuration for
// it; whatever happens here stays here.
func (s *Server) serve(ctx context.Context, nc net.Conn, secure *tls.Config) {
	c := &conn{Server: s, Conn: nc, in: socket.NewReader(nc), remote: nc.RemoteAddr().String(), proto: protoPlain, opened: time.Now()}
	if secure != nil {
		c.Conn, c.proto = tls.Server(nc, secure), protoTLS
		c.in = c.Conn
	}
	defer nc.Close() // below TLS, which would wait for its goodbye to be taken
	guest, err := s.enter(nc.RemoteAddr())
	if err != nil {
		s.deps.Sessions.Note(c.proto, err)
		s.log.complain(ctx, slog.LevelWarn, "connection refused", "remote", c.remote, "reason", session.Label(err), "err", err)
		return
	}
	c.guest = guest
	defer guest.Leave()
	defer context.AfterFunc(ctx, func() { c.stop(session.ErrShutdown) })()

	err = c.protect(ctx)
	if c.ended == nil {
		s.deps.Sessions.Note(c.proto, err)
	}
	c.report(ctx, err)
	if c.told {
		c.linger()
	}
}

// protect runs the connection and ends what it published, also in a panic.
func (c *conn) protect(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = c.recovered(ctx, v)
		}
		c.abandon(ctx, err)
	}()
	return c.run(ctx)
}

// recovered reports the value of a panic and returns it as the reason for the
// end.
func (c *conn) recovered(ctx context.Context, v any) error {
	err := fmt.Errorf("%w: %v", session.ErrInternal, v)
	c.deps.Log.ErrorContext(ctx, "recovered from a panic", "remote", c.remote, "err", err, "stack", string(debug.Stack()))
	return err
}

// report writes a line about the end of a connection, unless a session's line
// has told of it.
func (c *conn) report(ctx context.Context, err error) {
	level := slog.LevelInfo
	switch {
	case errors.Is(err, session.ErrPeerGone), errors.Is(err, session.ErrShutdown): // health checks connect and close
		level = slog.LevelDebug
	case c.ended != nil && (errors.Is(err, c.ended) || errors.Is(err, ErrIdle)):
		level = slog.LevelDebug
	}
	if c.deps.Log.Enabled(ctx, level) {
		c.log.complain(ctx, level, "connection ended", "remote", c.remote, "reason", session.Label(err), "err", err)
	}
}

// run speaks RTMP until there is a reason not to.
func (c *conn) run(ctx context.Context) error {
	c.enter(phase{c.cfg.HandshakeTimeout.D(), ErrHandshakeTimeout})
	if err := c.shakeTLS(ctx); err != nil {
		return err
	}
	rc, err := rtmp.NewServerConn(c, time.Since(c.started))
	if err != nil {
		return c.greet(c.why(err))
	}
	c.rtmp = rc
	c.enter(phase{c.cfg.HandshakeTimeout.D(), ErrHandshakeTimeout})
	for {
		ev, err := rc.Next()
		if err == nil {
			err = c.handle(ctx, ev)
		}
		if err != nil {
			return c.farewell(c.why(err))
		}
	}
}

func (c *conn) handle(ctx context.Context, ev rtmp.Event) error {
	switch ev.Kind {
	case rtmp.ConnectRequest:
		return c.rtmp.Accept()
	case rtmp.PublishRequest:
		return c.publish(ctx, ev.Name)
	case rtmp.PlayRequest:
		return c.play(ctx, ev.Name)
	case rtmp.Media:
		return c.take(ev.Message)
	case rtmp.Ended:
		c.finish(stream.ErrUnpublished)
		c.enter(phase{c.cfg.HandshakeTimeout.D(), ErrIdle})
	}
	return nil
}

// httpPort returns the port of HTTP behind a blank, or nothing.
func (c *conn) httpPort() string {
	_, port, err := net.SplitHostPort(c.deps.Facts.Get(module.FactHTTP))
	if err != nil {
		return ""
	}
	return " " + port
}

// locate returns what a client means by a name.
func (c *conn) locate(name string) (rtmp.Location, string, error) {
	loc, err := rtmp.Locate(c.rtmp.TCURL(), c.rtmp.App(), name)
	if err != nil {
		return loc, "", err
	}
	path, err := stream.ParsePath(loc.Path)
	if err != nil {
		return loc, "", fmt.Errorf("%w: %w", session.ErrBadPath, err)
	}
	return loc, path, nil
}

// refuse answers a request with an error and returns it.
func (c *conn) refuse(code string, reason error) error {
	c.told = c.rtmp.Refuse(code, plain(reason)) == nil
	return reason
}

// plain returns the text of an error without the names of packages.
func plain(err error) string {
	return strings.NewReplacer("stream: ", "", "rtmp: ", "", "rendition: ", "").Replace(err.Error())
}

// enter begins a phase. Its deadline is not set anew for each of the messages
// that come in a short time.
func (c *conn) enter(p phase) {
	c.limit = p
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	const fine = 16
	if c.cause != nil || p.span == c.span && now.Sub(c.armed) < p.span/fine {
		return
	}
	c.armed, c.span = now, p.span
	_ = c.SetReadDeadline(now.Add(p.span)) // on a closed connection reading tells
}

// Read reads what the client sends. A client on a slow line may take twice the
// time for its handshake as long as something comes.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if n > 0 && c.rtmp == nil && time.Since(c.opened) < c.cfg.HandshakeTimeout.D() {
		c.enter(phase{c.cfg.HandshakeTimeout.D(), ErrHandshakeTimeout})
	}
	return n, err
}

// stop ends the connection from outside, for a reason. It returns at once.
func (c *conn) stop(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.viewer != nil {
		c.viewer.Kick(reason)
	} else if c.cause == nil {
		c.cause = reason
		_ = c.SetDeadline(time.Now()) // on a closed connection nobody waits
	}
}

// isStopped tells whether the connection was ended from outside.
func (c *conn) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil
}

// Write writes within the time limit for answers.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	limit := writeTimeout
	if c.cause != nil {
		limit = lingerTimeout
	}
	err := c.SetWriteDeadline(time.Now().Add(limit))
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// why turns the error of a read or write into the reason for the end.
func (c *conn) why(err error) error {
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		return cause
	}
	var labelled interface{ Reason() string }
	var netErr net.Error
	switch {
	case errors.As(err, &labelled):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.limit.reason
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.As(err, &netErr):
		return fmt.Errorf("%w: %w", session.ErrPeerGone, err)
	}
	return err
}

// greet answers somebody who does not speak RTMP but HTTP or TLS.
func (c *conn) greet(reason error) error {
	v, ok := errors.AsType[rtmp.VersionError](reason)
	if ok && v.Protocol() == "TLS" {
		_, err := c.Write([]byte(noTLS))
		c.told = err == nil
	}
	if !ok || v.Protocol() != "HTTP" {
		return reason
	}
	body := "This is the port for RTMP. HTTP is on port" + c.httpPort() + ".\n"
	if c.httpPort() == "" {
		body = "This is the port for RTMP.\n"
	}
	_, err := fmt.Fprintf(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	c.told = err == nil
	return reason
}

// farewell tells a publisher why it is ended, where that keeps it from coming
// back at once. Nothing is said when the server shuts down: encoders then try
// again until it is back.
func (c *conn) farewell(reason error) error {
	switch {
	case errors.Is(reason, rtmp.ErrName): // said by package rtmp
		c.told = true
	case c.pub != nil && !errors.Is(reason, session.ErrPeerGone) && !errors.Is(reason, session.ErrShutdown):
		c.told = c.rtmp.Fail(rtmp.CodePublishRejected, plain(reason)) == nil
	}
	return reason
}

// linger gives a client that was told something the time to read it: closing
// a connection with unread input takes back what was sent.
func (c *conn) linger() {
	if err := c.SetReadDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return
	}
	// It ends at the deadline, when the client closes, or when that floods.
	_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, lingerBytes))
}
