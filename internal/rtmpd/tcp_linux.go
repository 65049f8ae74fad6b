package rtmpd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setUserTimeout bounds how long bytes that were sent may stay without an
// answer. Connections inherit it from their listener.
func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		// Sandboxes may lack the option, which is no reason to serve nobody.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
