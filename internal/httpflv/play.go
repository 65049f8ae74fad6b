package httpflv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"sluice/internal/fanout"
	"sluice/internal/httpd"
	"sluice/internal/rendition"
	"sluice/internal/session"
	"sluice/internal/stream"
)

// The headers with facts about the answer, which scripts may read.
const (
	headerProfile = "Sluice-Profile"
	headerJoin    = "Sluice-Join"
	headerLeftOut = "Sluice-Left-Out"
)

// The protocols of viewers in the list of sessions.
const (
	protoHTTP = "http-flv"
	protoWS   = "ws-flv"
)

// allowed are the methods of a stream's URL.
const allowed = "GET, HEAD, OPTIONS"

// retryAfter is when somebody who found no stream should ask again.
const retryAfter = 2 * time.Second

// ServeHTTP answers a request for a stream.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	httpd.CORS(w, r, headerProfile, headerJoin, headerLeftOut)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if err := m.play(w, r); err != nil {
			m.refuse(w, r, err)
		}
	case http.MethodOptions:
		h := w.Header()
		h.Set("Allow", allowed)
		h.Set("Access-Control-Allow-Methods", allowed)
		h.Set("Access-Control-Allow-Headers", "Authorization, Range, Cache-Control")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	default:
		httpd.MethodNotAllowed(w, allowed)
	}
}

// play answers GET and HEAD. Whatever is wrong is said before the first byte
// of media.
func (m *Module) play(w http.ResponseWriter, r *http.Request) error {
	path, err := stream.ParsePath(strings.TrimPrefix(r.URL.EscapedPath(), prefix))
	if err != nil {
		return because(session.ErrBadPath, httpd.NewProblem(http.StatusBadRequest, err.Error()))
	}
	a, err := m.cfg.parseAsk(r)
	if err != nil {
		return err
	}
	upgrade := false
	if isUpgrade(r) {
		if err := checkUpgrade(r); err != nil {
			return err
		}
		upgrade = true
	}
	switch {
	case upgrade:
		a.Spec.Framing = fanout.WebSocket
	case isChunked(r):
		a.Spec.Framing = fanout.Chunked
	}
	if r.Method == http.MethodHead {
		return m.head(w, r, path, a)
	}
	rend, err := m.rendition(r.Context(), path, a)
	if err != nil {
		return err
	}
	if !m.reserve() {
		rend.Release()
		return because(session.ErrShutdown, httpd.NewProblem(http.StatusServiceUnavailable, session.ErrShutdown.Error()))
	}
	if r.ProtoMajor > 1 {
		m.stay(w, r, rend, a)
		return nil
	}
	if err := m.hand(w, r, rend, a); err != nil {
		rend.Release()
		m.leave(nil)
		return err
	}
	return nil
}

// head answers HEAD, which does not wait and is no viewer. It takes the rendition
// for a moment, to say what a GET would get now.
func (m *Module) head(w http.ResponseWriter, r *http.Request, path string, a rendition.Request) error {
	s := m.streams.Find(path)
	if s == nil {
		return notLive(path)
	}
	rend, err := m.hub.Acquire(s, a.Spec)
	switch {
	case errors.Is(err, rendition.ErrNoTrack):
		return noTrack(err)
	case err != nil: // it ended just now
		return notLive(path)
	}
	defer rend.Release()
	_, _, joined := rend.Begin(a.Join)
	h := w.Header()
	for _, line := range mediaHeader(a.Spec.Profile, joined, rend.LeftOut()) {
		h.Set(line[0], line[1])
	}
	if isChunked(r) {
		h.Set("Transfer-Encoding", "chunked")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// rendition waits for the stream and takes the rendition that was asked for.
func (m *Module) rendition(ctx context.Context, path string, a rendition.Request) (*rendition.Rendition, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Wait)
	defer cancel()
	for {
		s, err := m.wait(ctx, path)
		if err != nil {
			return nil, err
		}
		rend, err := m.hub.Acquire(s, a.Spec)
		switch {
		case err == nil:
			return rend, nil
		case errors.Is(err, rendition.ErrNoTrack):
			return nil, noTrack(err)
		case ctx.Err() != nil:
			return nil, notLive(path)
		}
		// It ended just now; another one may follow.
	}
}

// wait returns the stream as soon as it is live. Those who wait are counted;
// one whose client hangs up stops waiting, since ctx is that of the request.
func (m *Module) wait(ctx context.Context, path string) (*stream.Stream, error) {
	if s := m.streams.Find(path); s != nil {
		return s, nil
	}
	if m.waiting.Add(1) > int64(m.cfg.MaxWaiting) {
		m.waiting.Add(-1)
		p := httpd.NewProblem(http.StatusServiceUnavailable, "too many viewers wait for a publisher")
		p.RetryAfter = retryAfter
		return nil, because(session.ErrTooMany, p)
	}
	defer m.waiting.Add(-1)
	s, err := m.streams.Wait(ctx, path)
	if err != nil {
		return nil, notLive(path)
	}
	return s, nil
}

// Waiting returns how many viewers wait for a publisher.
func (m *Module) Waiting() int { return int(m.waiting.Load()) }

func notLive(path string) error {
	p := httpd.NewProblem(http.StatusNotFound, fmt.Sprintf("nobody publishes %q", path))
	p.RetryAfter = retryAfter
	return because(session.ErrNotLive, p)
}

func noTrack(err error) error {
	return because(session.ErrNoTrack, httpd.NewProblem(http.StatusUnsupportedMediaType, strings.TrimPrefix(err.Error(), "rendition: ")))
}

// hand takes the connection from the HTTP server and gives it to a viewer,
// which lives on in a goroutine of its own: what the server has built around
// the connection weighs three times as much as the viewer.
func (m *Module) hand(w http.ResponseWriter, r *http.Request, rend *rendition.Rendition, a rendition.Request) error {
	pos, first, joined := rend.Begin(a.Join)
	header := mediaHeader(a.Spec.Profile, joined, rend.LeftOut())
	proto := protoHTTP
	var conn net.Conn
	var early []byte
	var err error
	if a.Spec.Framing == fanout.WebSocket {
		proto = protoWS
		conn, early, err = upgrade(w, r, header)
	} else if conn, early, err = hijack(w); err == nil {
		first = append([][]byte{responseHead(r, header)}, first...)
	}
	if err != nil {
		return err
	}
	v := fanout.NewViewer(conn, rend.Log())
	v.First, v.Begin = first, pos
	switch a.Spec.Framing {
	case fanout.WebSocket:
		v.Peer, v.Farewell = newPeer(early), closeFrame
	case fanout.Chunked:
		v.Farewell = lastChunk
	case fanout.Plain:
	}
	sess := m.introduce(v, proto, r, rend)
	go func() { _ = m.serve(v, sess, rend) }() // the session says why it ended
	return nil
}

// introduce says that there is one more viewer, and how to end it.
func (m *Module) introduce(v *fanout.Viewer, proto string, r *http.Request, rend *rendition.Rendition) *session.Session {
	m.enter(v)
	sess := m.sessions.Open(session.Info{
		Role: session.Viewer, Proto: proto, Stream: rend.Stream().Path(), Remote: r.RemoteAddr,
	}, v.Kick)
	v.Count = sess
	return sess
}

// serve serves a viewer to its end and returns the reason.
func (m *Module) serve(v *fanout.Viewer, sess *session.Session, rend *rendition.Rendition) (reason error) {
	defer m.leave(v)
	defer rend.Release()
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("recovered from a panic", "session", sess.Info().ID, "err", p, "stack", string(debug.Stack()))
			reason = session.ErrInternal
		}
		sess.End(reason)
	}()
	return m.sweeper.Serve(v)
}

// hijack takes the connection; early is what the client has sent already.
func hijack(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("taking the connection: %w", err)
	}
	early, _ = rw.Peek(rw.Reader.Buffered()) // it is buffered: no error
	return conn, slices.Clone(early), nil
}
