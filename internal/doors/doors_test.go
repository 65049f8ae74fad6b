package doors_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"sluice/internal/doors"
)

func at(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func enter(t *testing.T, d *doors.Doors, addr string, want error) *doors.Guest {
	t.Helper()
	g, err := d.Enter(at(addr))
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", addr, err, want)
	}
	return g
}

func TestPendingConnectionsAreBoundForEachAddress(t *testing.T) {
	t.Parallel()
	d := doors.New(doors.Limits{Most: 100, MostPending: 2, Trusted: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}})
	first := enter(t, d, "192.0.2.1:1", nil)
	enter(t, d, "192.0.2.1:2", nil)
	enter(t, d, "192.0.2.1:3", doors.ErrPending)
	enter(t, d, "[::ffff:192.0.2.1]:3", doors.ErrPending) // the same address
	enter(t, d, "192.0.2.2:1", nil)
	for range 10 {
		enter(t, d, "127.9.9.9:1", nil)
		enter(t, d, "[::1]:1", nil)
		enter(t, d, "10.1.2.3:1", nil)
	}

	first.Settle()
	third := enter(t, d, "192.0.2.1:3", nil)
	first.Settle() // watches twice, as over HTTP/2
	first.Unsettle()
	enter(t, d, "192.0.2.1:4", doors.ErrPending)
	third.Leave()
	third.Leave()
	third.Settle()
	fourth := enter(t, d, "192.0.2.1:4", nil)
	first.Unsettle() // pending again: one more than may be
	fourth.Leave()
	enter(t, d, "192.0.2.1:5", doors.ErrPending)
	first.Leave()
	enter(t, d, "192.0.2.1:5", nil)
}

func TestANetworkOfIPv6IsOneAddress(t *testing.T) {
	t.Parallel()
	d := doors.New(doors.Limits{Most: 100, MostPending: 1})
	enter(t, d, "[2001:db8:1:2::1]:1", nil)
	enter(t, d, "[2001:db8:1:2:ffff::1]:1", doors.ErrPending)
	enter(t, d, "[2001:db8:1:3::1]:1", nil)
}

func TestAllConnectionsAreBound(t *testing.T) {
	t.Parallel()
	d := doors.New(doors.Limits{Most: 2, MostPending: 10})
	g := enter(t, d, "127.0.0.1:1", nil)
	enter(t, d, "192.0.2.1:1", nil).Settle() // counts as before
	enter(t, d, "127.0.0.1:2", doors.ErrFull)
	g.Leave()
	enter(t, d, "127.0.0.1:2", nil)
}

func TestManyConnectionsAtOnceAreCountedRight(t *testing.T) {
	t.Parallel()
	d := doors.New(doors.Limits{Most: 50, MostPending: 3})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 1000 {
				if g, err := d.Enter(at("192.0.2.1:1")); err == nil {
					g.Settle()
					g.Unsettle()
					g.Leave()
				}
			}
		})
	}
	all.Wait()
	for range 3 {
		enter(t, d, "192.0.2.1:1", nil)
	}
	enter(t, d, "192.0.2.1:1", doors.ErrPending)
	for i := range 47 {
		enter(t, d, fmt.Sprintf("192.0.2.%d:1", 2+i), nil)
	}
	enter(t, d, "192.0.2.99:1", doors.ErrFull)
}
