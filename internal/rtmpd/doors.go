package rtmpd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// doors bounds the connections: in all, and for each address those that do not
// publish yet. It is safe for concurrent use.
type doors struct {
	most, mostPending int

	mu      sync.Mutex // guards all below
	open    int
	pending map[netip.Prefix]int
}

func newDoors(most, mostPending int) *doors {
	return &doors{most: most, mostPending: mostPending, pending: make(map[netip.Prefix]int)}
}

// guest is one connection within its limits.
type guest struct {
	doors   *doors
	from    netip.Prefix // zero where nothing bounds it
	settled sync.Once
}

// enter lets a connection in, or says why not.
func (d *doors) enter(remote net.Addr) (*guest, error) {
	g := &guest{doors: d, from: origin(remote)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.most {
		return nil, fmt.Errorf("%w: rtmp.max_connections is %d", ErrTooMany, d.most)
	}
	if g.from.IsValid() {
		if d.pending[g.from] >= d.mostPending {
			return nil, fmt.Errorf("%w of this address that do not publish: rtmp.max_pending is %d", ErrTooMany, d.mostPending)
		}
		d.pending[g.from]++
	}
	d.open++
	return g, nil
}

// settle says that the connection publishes.
func (g *guest) settle() {
	g.settled.Do(func() {
		d := g.doors
		if !g.from.IsValid() {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.pending[g.from]--; d.pending[g.from] == 0 {
			delete(d.pending, g.from)
		}
	})
}

// leave says that the connection is closed.
func (g *guest) leave() {
	g.settle()
	g.doors.mu.Lock()
	defer g.doors.mu.Unlock()
	g.doors.open--
}

// origin returns whom an address belongs to: with IPv6 that is a whole network
// of 64 bits. What is bound by nothing has none.
func origin(remote net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return netip.Prefix{}
	}
	size := ip.BitLen()
	if ip.Is6() {
		size = 64
	}
	p, err := ip.Prefix(size)
	if err != nil {
		return netip.Prefix{}
	}
	return p
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
