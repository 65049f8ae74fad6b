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

	clock *Clock // nil when it reads whenever something comes
	slot  int
	full  bool // there may be more than was read
	calm  bool // the system reports no single packets
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := r.read(p); err != nil {
			return 0, err
		}
		switch {
		case r.calm && errors.Is(r.err, syscall.EAGAIN): // nothing in this gap
		case r.err != nil:
			return 0, &net.OpError{Op: "read", Net: "tcp", Err: r.err}
		case r.n == 0:
			return 0, io.EOF
		default:
			return r.n, nil
		}
	}
}

// read waits for its turn and reads.
func (r *reader) read(p []byte) error {
	calm := false
	if r.clock != nil {
		beat := r.clock.next(r.slot)
		if calm = beat != nil; calm && !r.full {
			<-beat
		}
	}
	if calm != r.calm {
		if err := r.setCalm(calm); err != nil {
			return err
		}
	}
	r.buf, r.n, r.err = p, 0, nil
	err := r.raw.Read(r.step)
	r.buf, r.full = nil, r.n == len(p)
	return err
}

// setCalm tells the system whether to report what comes, or only when much of
// it lies there.
func (r *reader) setCalm(calm bool) error {
	mark := 1
	if calm {
		mark = lowMark
	}
	if err := r.raw.Control(func(fd uintptr) { setLowMark(fd, mark) }); err != nil {
		return err
	}
	r.calm = calm
	return nil
}

// once reads, and tells whether that was it; if not, the runtime calls it
// again when there is more.
func (r *reader) once(fd uintptr) bool {
	for {
		r.n, r.err = Receive(int(fd), r.buf)
		switch {
		case errors.Is(r.err, syscall.EINTR):
		case errors.Is(r.err, syscall.EAGAIN):
			return r.calm
		default:
			return true
		}
	}
}
