//go:build unix

package fanout

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// prepare takes the direct way to the socket where there is one: it shows when
// the connection takes nothing, and needs no second goroutine to hear from the
// client.
func (v *Viewer) prepare() bool {
	c, ok := v.conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	v.raw, v.step = raw, v.writeStep
	tune(c, raw)
	return true
}

// writeStep writes what the socket takes of v.buf and tells whether that was
// all; if not, the runtime calls it again when the socket takes more.
func (v *Viewer) writeStep(fd uintptr) bool {
	for {
		n, err := unix.Write(int(fd), v.buf)
		switch {
		case n > 0:
			v.buf = v.buf[n:]
			if v.blocked.Load() != 0 {
				v.blocked.Store(time.Now().UnixNano())
			}
			if len(v.buf) == 0 {
				return true
			}
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if v.blocked.Load() == 0 {
				v.blocked.Store(time.Now().UnixNano())
				v.log.leave(v)
			}
			return false
		default:
			v.fail = err
			return true
		}
	}
}

// peek reads what the client has sent, without waiting: n is 0 when there is
// nothing. The end of the input is io.EOF.
func peek(raw syscall.RawConn, buf []byte) (n int, err error) {
	var fail error
	err = raw.Read(func(fd uintptr) bool {
		n, _, fail = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(fail, unix.EAGAIN), errors.Is(fail, unix.EINTR):
		return 0, nil
	case fail != nil:
		return 0, fail
	case n <= 0:
		return 0, io.EOF
	}
	return n, nil
}
