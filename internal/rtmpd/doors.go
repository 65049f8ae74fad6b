package rtmpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/internal/doors"
	"sluice/internal/session"
)

// enter lets a connection in, or says which limit it would break.
func (s *Server) enter(remote net.Addr) (*doors.Guest, error) {
	guest, err := s.doors.Enter(remote)
	switch {
	case errors.Is(err, doors.ErrFull):
		return nil, fmt.Errorf("%w: rtmp.max_connections is %d", session.ErrTooMany, s.cfg.MaxConnections)
	case err != nil:
		return nil, fmt.Errorf("%w of this address that neither publish nor play: rtmp.max_pending is %d", session.ErrTooMany, s.cfg.MaxPending)
	}
	return guest, nil
}

// complaintsPerSecond is how many lines about refused connections are written
// in a second; the next line tells how many were not.
const complaintsPerSecond = 10

// complaints is a log for what strangers can cause as often as they like.
type complaints struct {
	log *slog.Logger

	mu      sync.Mutex // guards all below
	begun   time.Time
	written int
	skipped int
}

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log} }

// complain writes a line, unless there have been too many in this second.
func (c *complaints) complain(ctx context.Context, level slog.Level, msg string, attrs ...any) {
	now := time.Now()
	c.mu.Lock()
	if now.Sub(c.begun) >= time.Second {
		c.begun, c.written = now, 0
	}
	c.written++
	quiet := c.written > complaintsPerSecond
	skipped := c.skipped
	if c.skipped = 0; quiet {
		c.skipped = skipped + 1
	}
	c.mu.Unlock()
	if quiet {
		return
	}
	if skipped > 0 {
		attrs = append(attrs, "skipped", skipped)
	}
	c.log.Log(ctx, level, msg, attrs...) //nolint:sloglint // a constant of every caller
}
