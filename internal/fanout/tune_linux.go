package fanout

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel may hold for a viewer, and how soon it gives a silent one
// up. Without the first limit a stalled viewer parks megabytes there.
const (
	notSent     = 64 << 10
	userTimeout = 10 * time.Second
)

// tune sets the options of a viewer's socket. Where one is refused, the
// viewer is served all the same.
func tune(c *net.TCPConn, raw syscall.RawConn) {
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3,
	})
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
