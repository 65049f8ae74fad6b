package httpflv

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sluice/internal/httpd"
	"sluice/internal/session"
)

var errBadUpgrade = session.NewReason("bad_upgrade", "the WebSocket does not begin as it should")

// because returns a problem with the reason that is counted for it.
func because(reason *session.Reason, p *httpd.Problem) error { return fmt.Errorf("%w: %w", reason, p) }

// refuse answers a request for a stream with an error, and counts it, unless it
// is of somebody who would not have become a viewer. Players ask again and again for
// what is not there yet, so that it is logged for who wants to know.
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
