package bench

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// discard throws away what comes until the connection ends, in the kernel and
// rarely: nothing is written to waste.
func discard(conn net.Conn, waste []byte) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_, err := io.Copy(io.Discard, conn)
		return err // a connection hands on what it says
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err // as above
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, len(waste)) // else it is dearer
		for {
			n, _, err := unix.Recvfrom(int(fd), waste, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false
			case n == 0, err != nil:
				failed = err
				return true
			}
		}
	})
	return errors.Join(failed, err)
}
