package httpflv

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sluice/internal/httpd"
	"sluice/internal/session"
)

// The reasons for which a viewer is refused, those of an RTMP player's among
// them. They are counted; most happen again and again, while players ask for
// what is not there yet, so that they are logged for who wants to know.
var (
	errNotLive    = session.NewReason("not_live", "nobody publishes")
	errNoTrack    = session.NewReason("no_track", "nothing of the stream is left in what was asked for")
	errBadPath    = session.NewReason("bad_path", "the stream path breaks a rule")
	errBadQuery   = session.NewReason("bad_query", "a parameter cannot be understood")
	errBadUpgrade = session.NewReason("bad_upgrade", "the WebSocket does not begin as it should")
	errTooMany    = session.NewReason("too_many_connections", "too many viewers wait")
)

// because returns a problem with the reason that is counted for it.
func because(reason *session.Reason, p *httpd.Problem) error { return fmt.Errorf("%w: %w", reason, p) }

// refuse answers a request for a stream with an error, and counts it, unless it
// is of somebody who would not have become a viewer.
func (m *Module) refuse(w http.ResponseWriter, r *http.Request, err error) {
	httpd.Error(w, err)
	if r.Method != http.MethodGet {
		return
	}
	if ctx := r.Context(); ctx.Err() != nil { // nobody hears the answer
		err = session.ErrPeerGone
		if errors.Is(context.Cause(ctx), session.ErrShutdown) {
			err = session.ErrShutdown
		}
	}
	proto := protoHTTP
	if isUpgrade(r) {
		proto = protoWS
	}
	m.sessions.Note(proto, err)
	m.log.Debug("viewer refused", "proto", proto, "remote", r.RemoteAddr, "reason", session.Label(err), "err", err)
}
