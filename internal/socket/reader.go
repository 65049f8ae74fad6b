package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// NewReader returns a reader of a connection that reads in the manner of
// [Receive], where it is a TCP connection of a system that has this way: a
// thread that watches over calls would be woken for each packet that comes in
// otherwise, at the price of everything else that is done for the packet. Deadlines of the
// connection hold. The reader belongs to one goroutine.
func NewReader(c net.Conn) io.Reader {
	tcp, ok := c.(*net.TCPConn)
	if !ok || !direct {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	r := &reader{raw: raw}
	r.step = r.once
	return r
}

type reader struct {
	raw  syscall.RawConn
	step func(fd uintptr) bool
	buf  []byte
	n    int
	err  error
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.buf, r.n, r.err = p, 0, nil
	err := r.raw.Read(r.step)
	r.buf = nil
	switch {
	case err != nil:
		return 0, err
	case r.err != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: r.err}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// once reads, and tells whether that was it; if not, the runtime calls it
// again when there is more.
func (r *reader) once(fd uintptr) bool {
	for {
		r.n, r.err = Receive(int(fd), r.buf)
		switch {
		case errors.Is(r.err, syscall.EINTR):
		case errors.Is(r.err, syscall.EAGAIN):
			return false
		default:
			return true
		}
	}
}
