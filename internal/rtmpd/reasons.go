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
	// ErrLeft ends a player that said that it has enough.
	ErrLeft = session.NewReason("peer_closed", "the client ended its play")
	// ErrTLS ends a connection to the port with TLS that speaks something else.
	ErrTLS = session.NewReason("bad_tls", "the client does not speak TLS as it should")
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
		ErrHandshakeTimeout, ErrNoMedia, ErrIdle, session.ErrBadPath, ErrTLS, session.ErrTooMany, session.ErrNotLive, session.ErrNoTrack, session.ErrBadQuery, ErrLeft,
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
