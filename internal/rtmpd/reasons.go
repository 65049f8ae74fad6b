package rtmpd

import (
	"errors"

	"sluice/internal/fanout"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/rtmp"
)

// The reasons for which a connection ends that only RTMP knows. The others are
// those of package session, stream and rtmp, see [Reasons].
var (
	// ErrHandshakeTimeout ends a connection whose client took too long for
	// the handshake, or did not publish after it.
	ErrHandshakeTimeout = session.NewReason("handshake_timeout", "the client neither published nor played in time")
	// ErrNoMedia ends a publish without audio or video.
	ErrNoMedia = session.NewReason("no_media", "the publisher sent no audio or video in time")
	// ErrIdle ends a publish that has fallen silent, and a connection on which
	// no other follows.
	ErrIdle = session.NewReason("idle", "no audio or video came for too long")
	// ErrBadPath refuses a publish whose stream path breaks a rule.
	ErrBadPath = session.NewReason("bad_path", "the stream path breaks a rule")
	// ErrNotLive refuses a player that waited in vain.
	ErrNotLive = session.NewReason("not_live", "nobody publishes")
	// ErrNoTrack refuses a player that wants no track which the stream has.
	ErrNoTrack = session.NewReason("no_track", "nothing of the stream is left in what was asked for")
	// ErrBadQuery refuses a player with a parameter that cannot be understood.
	ErrBadQuery = session.NewReason("bad_query", "a parameter cannot be understood")
	// ErrLeft ends a player that said that it has enough.
	ErrLeft = session.NewReason("peer_closed", "the client ended its play")
	// ErrTLS ends a connection to the port with TLS that speaks something else.
	ErrTLS = session.NewReason("bad_tls", "the client does not speak TLS as it should")
	// ErrTooMany refuses a connection beyond a limit.
	ErrTooMany = session.NewReason("too_many_connections", "too many connections")
)

// Reason is the cause for which a connection ends.
type Reason interface {
	error
	// Reason returns the label for logs, the API and metrics.
	Reason() string
}

// Reasons returns every reason for which a publisher's or player's session, or a
// connection before it can end, each with a label of its own.
func Reasons() []Reason {
	all := []Reason{
		ErrHandshakeTimeout, ErrNoMedia, ErrIdle, ErrBadPath, ErrTLS, ErrTooMany, ErrNotLive, ErrNoTrack, ErrBadQuery, ErrLeft,
		rtmp.ErrNotRTMP, rtmp.ErrProtocol, rtmp.ErrLimit,
		session.ErrPeerGone, session.ErrKicked, session.ErrShutdown, session.ErrInternal,
	}
	for _, err := range []error{
		stream.ErrBusy, stream.ErrShared, stream.ErrReplaced, stream.ErrUndecodable, stream.ErrUnpublished,
		fanout.ErrStalled, fanout.ErrLagged, fanout.ErrFlood,
	} {
		if r, ok := errors.AsType[Reason](err); ok {
			all = append(all, r)
		}
	}
	return all
}
