package fanout

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The reasons for which a viewer ends, besides that of its log.
var (
	// ErrGone ends a viewer whose client closed the connection.
	ErrGone error = &reason{"peer_gone", "the client closed the connection"}
	// ErrStalled ends a viewer whose connection took nothing for too long.
	ErrStalled error = &reason{"stalled", "the client accepted nothing for too long"}
	// ErrLagged ends a viewer that takes bytes so slowly that it would keep
	// too much in memory.
	ErrLagged error = &reason{"lagged", "the client is far too slow for the stream"}
	// ErrInternal ends a viewer whose Peer panicked.
	ErrInternal error = &reason{"internal_error", "an internal error was recovered from"}
	// ErrFlood ends a viewer whose client sends what nobody asked for.
	ErrFlood error = &reason{"flood", "the client sent more than a viewer may"}
)

type reason struct{ label, text string }

func (r *reason) Error() string  { return r.text }
func (r *reason) Reason() string { return r.label }

// Peer is what a protocol does with the other direction of a viewer's
// connection. Its methods are called from one goroutine at a time.
type Peer interface {
	// Input takes what the client sent, valid until it returns.
	Input(b []byte) (reply []byte, err error)
	// Tick is called about every half second.
	Tick(now time.Time) (send []byte, err error)
}

// Counter counts the bytes that were sent.
type Counter interface{ AddBytes(n int64) }

// Viewer is one connection that reads a log, made by [NewViewer]. Its fields
// may be set until [Sweeper.Serve].
type Viewer struct {
	// First is sent before the log: a response head, configurations, pictures
	// to begin with. It must end with a whole frame. The pieces are shared.
	First [][]byte
	// Begin is the position from which the log is read. Next means to wait
	// for the next key position.
	Begin int64
	// Farewell returns what is sent last, for an end with that reason; nil
	// means nothing.
	Farewell func(reason error) []byte
	// Linger is how long the client may take to close the connection once the
	// farewell was sent. Where clients speak too it is needed: a connection that
	// is closed with input unread takes back what was sent.
	Linger time.Duration
	// Peer takes what the client sends; nil ignores it.
	Peer Peer
	// Count counts the bytes sent; nil does not.
	Count Counter

	// What a round touches lies together.

	own    sync.Mutex  // held by whoever writes, guards all up to blocked
	urgent atomic.Bool // there is something in control or kicked
	over   bool        // it has ended: nothing may be written any more
	direct bool        // the socket is fd and can be written to without more ado
	fd     int
	log    *Log

	cursor    int64
	block     *block // of the bytes of the log that it writes, nil for others
	pinned    *block // in which it is stuck, nil for none
	in        *queue // nil while it is not parked
	turn      int64  // of in, when it was parked
	slot      int    // in in
	needKey   bool
	inRound   bool  // somebody waits for its write
	slow      bool  // its newest portable write took long
	uncounted int64 // bytes that Count does not know of yet

	conn  io.ReadWriteCloser
	raw   syscall.RawConn       // nil where the portable way is taken
	step  func(fd uintptr) bool // waits until all is written
	queue chan struct{}         // the viewer's signal
	buf   []byte                // what is being written
	rest  [][]byte              // what follows buf, or nothing
	done  int                   // bytes of the newest write that were taken
	fail  error                 // of the newest write
	left  []byte                // of a part of the log: what a round could not write
	said  bool                  // the farewell was sent
	heard chan struct{}         // closed when the client says no more; nil where nobody waits for it

	blocked atomic.Int64 // when the connection began to take nothing, 0: it takes
	first   atomic.Int64 // when it began to take its beginning, 0: it has it
	flooded atomic.Int64 // bytes that came and are not forgiven
	ready   bool         // the newest sweep found something to be read, or the end of it

	peer sync.Mutex // held while the Peer works

	mu      sync.Mutex // guards below
	control []byte     // frames of the Peer, to be sent between two of the log
	kicked  error
}

// Next as [Viewer.Begin] waits for the next key position.
const Next int64 = -1

// maxControl bounds what a client can make the server queue for it.
const maxControl = 16 << 10

// NewViewer returns a viewer that will send log to conn, which it owns: a
// connection, or something like one, of which Close ends a Write and a Read
// that are under way. It begins at the next key position, as seen from now, and
// has no peer.
func NewViewer(conn io.ReadWriteCloser, log *Log) *Viewer {
	return &Viewer{Begin: Next, conn: conn, log: log, queue: make(chan struct{}, 1), cursor: log.Position()}
}

// serve writes until the log ends, the connection fails or somebody kicks.
func (v *Viewer) serve() error {
	v.own.Lock()
	defer v.own.Unlock()
	defer func() {
		v.over = true
		v.log.leave(v)
		v.count(0)
	}()
	v.first.Store(time.Now().UnixNano())
	if err := v.write(nil, v.First...); err != nil {
		return v.reason(err)
	}
	v.first.Store(0)
	v.First = nil
	if err := v.interlude(); err != nil {
		return v.bye(err)
	}
	for {
		b, ended := v.left, false
		if v.left = nil; len(b) == 0 {
			b, ended = v.log.next(v)
		}
		switch {
		case len(b) > 0:
			if err := v.write(b); err != nil {
				return v.reason(err)
			}
			v.cursor += int64(v.done)
		case ended:
			return v.bye(v.log.reason())
		default:
			v.sleep()
		}
		if err := v.interlude(); err != nil {
			return v.bye(err)
		}
	}
}

// sleep waits for the viewer's signal. Meanwhile the rounds of the log write
// on its behalf.
func (v *Viewer) sleep() {
	v.own.Unlock()
	<-v.queue
	v.own.Lock()
}

// interlude sends what the Peer has queued, and tells whether the viewer was
// kicked.
func (v *Viewer) interlude() error {
	if len(v.left) > 0 || !v.urgent.Load() {
		return nil // not within a frame
	}
	v.mu.Lock()
	c, err := v.control, v.kicked
	v.control = nil
	v.urgent.Store(err != nil)
	v.mu.Unlock()
	if err != nil || len(c) == 0 {
		return err
	}
	v.block = nil // these bytes are not the log's
	if err := v.write(c); err != nil {
		return v.reason(err)
	}
	return nil
}

// bye says farewell, which may fail, and returns the reason.
func (v *Viewer) bye(reason error) error {
	if v.Farewell != nil && v.blocked.Load() == 0 && !errors.Is(reason, ErrGone) {
		v.block = nil
		v.said = v.write(v.Farewell(reason)) == nil // else the reason of the end is the same
	}
	return reason
}

// linger waits until the client closes the connection, for as long as it may.
func (v *Viewer) linger() {
	if half, ok := v.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	c, ok := v.conn.(interface{ SetReadDeadline(t time.Time) error })
	if !ok || c.SetReadDeadline(time.Now().Add(v.Linger)) != nil {
		return
	}
	if v.heard != nil {
		<-v.heard
		return
	}
	_, _ = io.Copy(io.Discard, v.conn) // ends at the deadline, or when the client closes
}

// reason returns why the viewer was kicked, or else what a failed write means.
func (v *Viewer) reason(err error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kicked != nil {
		return v.kicked
	}
	return gone(err)
}

// gone says what a broken connection means: a client that took nothing for so
// long that the kernel gave up, or one that has left.
func gone(err error) error {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return fmt.Errorf("%w: %w", ErrStalled, err)
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// signal wakes the viewer.
func (v *Viewer) signal() {
	select {
	case v.queue <- struct{}{}:
	default: // signalled already
	}
}

// Kick ends the viewer for that reason, now or as soon as its write is done;
// one that is stuck in a write is cut off by [Sweeper]. The first reason
// counts.
func (v *Viewer) Kick(reason error) {
	v.mu.Lock()
	if v.kicked == nil {
		v.kicked = reason
	}
	v.urgent.Store(true)
	v.mu.Unlock()
	v.signal()
	if v.isStuck() {
		v.cut()
	}
}

func (v *Viewer) isKicked() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kicked != nil
}

// isStuck tells whether the connection takes nothing. On the portable way
// nobody knows: there it takes nothing if a write lasts.
func (v *Viewer) isStuck() bool {
	since := v.blocked.Load()
	return since != 0 && (v.raw != nil || time.Now().UnixNano()-since > int64(patience))
}

// cut ends a write that is stuck, and makes the kernel forget what it still
// holds for the connection. A socket that rounds write to is only shut down:
// were it closed here, they might write to whoever gets its number next. Below
// TLS it is the socket that is closed: TLS would try to say goodbye.
func (v *Viewer) cut() {
	c := tcpBelow(v.conn)
	if c == nil {
		v.conn.Close()
		return
	}
	_ = c.SetLinger(0) // where it fails, the kernel's own time-outs do it later
	if v.raw == nil {
		c.Close()
		return
	}
	_ = c.CloseRead() // it may be closed by its peer
	_ = c.CloseWrite()
}

// send queues frames of the Peer.
func (v *Viewer) send(b []byte) {
	if len(b) == 0 {
		return
	}
	v.mu.Lock()
	full := len(v.control)+len(b) > maxControl
	if !full {
		v.control = append(v.control, b...)
		v.urgent.Store(true)
	}
	v.mu.Unlock()
	if full {
		v.Kick(ErrFlood)
		return
	}
	v.signal()
}

// reason returns why the log ended.
func (l *Log) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// write writes b, and then the pieces that follow. Of a part of the log it may
// leave out whole frames at the end, if the viewer lags by then; v.done says
// how much was taken.
func (v *Viewer) write(b []byte, more ...[]byte) error {
	v.done = 0
	if len(b) == 0 && len(more) == 0 {
		return nil
	}
	var err error
	if v.raw != nil {
		v.buf, v.rest, v.fail = b, more, nil
		err = v.raw.Write(v.step)
		err = errors.Join(v.fail, err)
		v.buf, v.rest = nil, nil
	} else {
		err = v.writePortably(b, more)
	}
	v.blocked.Store(0)
	v.count(v.done)
	return err
}

// count counts bytes that were sent.
func (v *Viewer) count(n int) {
	if v.Count != nil {
		v.Count.AddBytes(v.uncounted + int64(n))
	}
	v.uncounted = 0
}
