// Package doors bounds how many connections a port takes: in all, and for each
// address those that have not come to anything yet. So a crowd behind one
// address is let in, and a stranger who opens connections in vain is not.
package doors

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Errors of [Doors.Enter].
var (
	// ErrFull refuses a connection because too many are open.
	ErrFull = errors.New("too many connections")
	// ErrPending refuses one because its address has too many that are pending.
	ErrPending = errors.New("too many connections of this address that neither publish nor watch")
)

// Limits of a port.
type Limits struct {
	Most        int            // connections that may be open
	MostPending int            // of one address, that are pending
	Trusted     []netip.Prefix // addresses of which any number may be pending
}

// Doors count the connections of a port. They are safe for concurrent use.
type Doors struct {
	limits Limits

	mu      sync.Mutex // guards all below, and the guests
	open    int
	pending map[netip.Prefix]int
}

// New returns doors through which nobody has come.
func New(l Limits) *Doors {
	return &Doors{limits: l, pending: make(map[netip.Prefix]int)}
}

// Guest is one connection within the limits, pending at first. It is safe for
// concurrent use.
type Guest struct {
	doors *Doors
	from  netip.Prefix // zero where nothing bounds it
	holds int          // how often it was settled
	gone  bool
}

// Enter lets a connection in, until [Guest.Leave], or says why not: with
// [ErrFull] or [ErrPending].
func (d *Doors) Enter(remote net.Addr) (*Guest, error) {
	g := &Guest{doors: d, from: d.origin(remote)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.limits.Most {
		return nil, ErrFull
	}
	if g.from.IsValid() {
		if d.pending[g.from] >= d.limits.MostPending {
			return nil, ErrPending
		}
		d.pending[g.from]++
	}
	d.open++
	return g, nil
}

// Settle says that the connection has come to something: it publishes or
// watches, and is not pending as long as it has been settled more often than
// unsettled.
func (g *Guest) Settle() { g.hold(1) }

// Unsettle takes one Settle back. The connection may be pending again then,
// beyond the limit too.
func (g *Guest) Unsettle() { g.hold(-1) }

func (g *Guest) hold(n int) {
	g.doors.mu.Lock()
	defer g.doors.mu.Unlock()
	if g.gone {
		return
	}
	was := g.holds > 0
	g.holds += n
	if is := g.holds > 0; is != was {
		g.count(is)
	}
}

// count says whether the connection is settled, that is no longer pending.
func (g *Guest) count(settled bool) {
	if !g.from.IsValid() {
		return
	}
	all := g.doors.pending
	if !settled {
		all[g.from]++
		return
	}
	if all[g.from]--; all[g.from] == 0 {
		delete(all, g.from)
	}
}

// Leave says that the connection is closed, or is nobody's business any more.
// Only the first call counts.
func (g *Guest) Leave() {
	g.doors.mu.Lock()
	defer g.doors.mu.Unlock()
	if g.gone {
		return
	}
	g.gone = true
	g.doors.open--
	if g.holds <= 0 {
		g.count(true)
	}
}

// origin returns whom an address belongs to: with IPv6 that is a whole network
// of 64 bits. What is bound by nothing has none.
func (d *Doors) origin(remote net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := at.Addr().Unmap().WithZone("")
	for _, p := range d.limits.Trusted {
		if p.Contains(ip) {
			return netip.Prefix{}
		}
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
