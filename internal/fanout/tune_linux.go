package fanout

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// notSent is what the kernel may hold for a viewer. Without it a stalled viewer
// parks megabytes there.
const notSent = 64 << 10

// tune sets the options of a viewer's socket, the time after which the kernel
// gives a silent one up among them. Where one is refused, the viewer is served
// all the same.
func tune(c *net.TCPConn, raw syscall.RawConn, timeout time.Duration) {
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3,
	})
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
}
