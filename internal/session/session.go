// Package session keeps the list of everything that is going on: each
// publisher, viewer and recording, on any protocol, from its first line in
// the log to its last, which names the reason.
package session

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Role tells what a session does with its stream.
type Role string

// The roles.
const (
	Publisher Role = "publisher"
	Viewer    Role = "viewer"
	Recording Role = "recording"
)

// ErrUnknown reports that no session has the given id.
var ErrUnknown = errors.New("session: no such session")

// Reasons that belong to no protocol. A module adds its own with [NewReason].
var (
	ErrKicked   = NewReason("kicked", "kicked by an operator")
	ErrShutdown = NewReason("shutdown", "the server shuts down")
	ErrPeerGone = NewReason("peer_gone", "the peer closed the connection")
	ErrInternal = NewReason("internal_error", "an internal error was recovered from")
	// ErrTooMany refuses a connection or a viewer beyond a limit.
	ErrTooMany = NewReason("too_many_connections", "too many connections")
	// ErrBadPath refuses whoever names a stream path that breaks a rule.
	ErrBadPath = NewReason("bad_path", "the stream path breaks a rule")
	// ErrBadQuery refuses a viewer with a parameter that cannot be understood.
	ErrBadQuery = NewReason("bad_query", "a parameter cannot be understood")
	// ErrNotLive refuses a viewer of a stream that nobody publishes.
	ErrNotLive = NewReason("not_live", "nobody publishes")
	// ErrNoTrack refuses a viewer that wants no track which the stream has.
	ErrNoTrack = NewReason("no_track", "nothing of the stream is left in what was asked for")
)

// Reason is the cause for which a session ended. It is an error, so that it
// travels through %w, [context.Cause] and [errors.Is]; its label is the same
// in the log, in the API and in metrics.
type Reason struct{ label, text string }

// NewReason returns a reason with a label in snake_case and a text for people.
func NewReason(label, text string) *Reason { return &Reason{label, text} }

// Error returns the text for people.
func (r *Reason) Error() string { return r.text }

// Reason returns the label.
func (r *Reason) Reason() string { return r.label }

// Label returns the label of the first reason in err's tree: of any error
// with a method Reason() string. Other errors give "error", nil gives "done".
func Label(err error) string {
	if err == nil {
		return "done"
	}
	var r interface{ Reason() string }
	if errors.As(err, &r) {
		return r.Reason()
	}
	if errors.Is(err, context.Canceled) {
		return ErrShutdown.label
	}
	return "error"
}

// Info are the facts of a session that never change.
type Info struct {
	ID      string // given by [List.Open]
	Role    Role
	Proto   string // rtmp, http-flv, ws-flv, file …
	Stream  string // the stream path
	Remote  string // the peer's address, empty for recordings
	Started time.Time
}

// List holds the open sessions. It is safe for concurrent use.
type List struct {
	log  *slog.Logger
	last atomic.Uint64

	mu   sync.Mutex // guards all below
	open map[string]*Session
	ends map[End]int64
}

// End is how something ended, to be counted: a session, or a connection that
// never came to one, which has no role.
type End struct {
	Role   Role
	Proto  string
	Reason string // a label
}

// NewList returns an empty list that writes one line to log when a session
// begins and one when it ends.
func NewList(log *slog.Logger) *List {
	return &List{log: log, open: make(map[string]*Session), ends: make(map[End]int64)}
}

// Session is one publisher, viewer or recording from begin to end. It is safe
// for concurrent use.
type Session struct {
	list  *List
	info  Info
	kick  func(reason error)
	bytes atomic.Int64
	ended atomic.Bool
}

// Open adds a session, with its ID and start filled in, and logs that it
// began. kick ends the connection behind it for [List.Kick]: it must not block,
// and its owner then calls [Session.End].
func (l *List) Open(info Info, kick func(reason error)) *Session {
	info.ID = strconv.FormatUint(l.last.Add(1), 10)
	info.Started = time.Now()
	s := &Session{list: l, info: info, kick: kick}

	l.mu.Lock()
	l.open[info.ID] = s
	l.mu.Unlock()
	l.log.Info("session began", "role", info.Role, "proto", info.Proto,
		"stream", info.Stream, "remote", info.Remote, "session", info.ID)
	return s
}

// Info returns the facts of the session.
func (s *Session) Info() Info { return s.info }

// AddBytes counts n bytes of media, received or sent.
func (s *Session) AddBytes(n int64) { s.bytes.Add(n) }

// Bytes returns how many bytes of media were received or sent.
func (s *Session) Bytes() int64 { return s.bytes.Load() }

// End removes the session from its list and logs the reason. Only the first
// call counts.
func (s *Session) End(reason error) {
	if s.ended.Swap(true) {
		return
	}
	s.list.mu.Lock()
	delete(s.list.open, s.info.ID)
	s.list.ends[End{s.info.Role, s.info.Proto, Label(reason)}]++
	s.list.mu.Unlock()
	attrs := []any{
		"role", s.info.Role, "proto", s.info.Proto, "stream", s.info.Stream,
		"remote", s.info.Remote, "session", s.info.ID, "reason", Label(reason),
		"seconds", time.Since(s.info.Started).Seconds(), "bytes", s.bytes.Load(),
	}
	if reason != nil {
		attrs = append(attrs, "err", reason)
	}
	s.list.log.Info("session ended", attrs...)
}

// Note counts a connection that ended, or was refused, before it came to a
// session. Its log line is its owner's.
func (l *List) Note(proto string, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[End{Proto: proto, Reason: Label(reason)}]++
}

// Ends returns how often what has ended since the start, and why.
func (l *List) Ends() map[End]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.ends)
}

// Kick ends the session with that id, for that reason.
func (l *List) Kick(id string, reason error) error {
	l.mu.Lock()
	s := l.open[id]
	l.mu.Unlock()
	if s == nil {
		return ErrUnknown
	}
	s.kick(reason)
	return nil
}

// All returns the open sessions, oldest first.
func (l *List) All() []*Session {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.open))
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b *Session) int { return a.info.Started.Compare(b.info.Started) })
	return all
}

// Count returns how many sessions are open in a role, on one stream, or on
// all where stream is empty.
func (l *List) Count(role Role, stream string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.open {
		if s.info.Role == role && (stream == "" || s.info.Stream == stream) {
			n++
		}
	}
	return n
}
