package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct tells whether the calls of this package are to be had.
const direct = true

// Send sends what a socket takes at once of b, which is not empty. The
// scheduler does not know of the call: it is over in a few microseconds, and
// the thread that watches over calls, which it would wake, cost a sixth of
// what a server with a thousand viewers uses. Of more than [Small] it knows. An
// error is a [unix.Errno], EAGAIN when the socket takes nothing.
func Send(fd int, b []byte) (int, error) {
	if len(b) > Small {
		return unix.Write(fd, b)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Receive receives what is there for b, which is not empty, in the manner of
// [Send]. It returns 0 at the end of the input.
func Receive(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// lowMark is how many bytes of a peer may gather before the system reports
// them: more than it sends in a gap of a [Clock]. The window that TCP offers
// grows with it.
const lowMark = 512 << 10

// setLowMark lets the system report input of that many bytes. Where it cannot,
// single packets are reported to nobody.
func setLowMark(fd uintptr, bytes int) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
}
