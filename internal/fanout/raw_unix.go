//go:build unix

package fanout

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/socket"
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
	if err := raw.Control(func(fd uintptr) { v.fd = int(fd) }); err != nil {
		return false
	}
	v.raw, v.step, v.direct = raw, v.writeStep, true
	return true
}

// writeStep writes what the socket takes and tells whether that was all; if
// not, the runtime calls it again when the socket takes more.
func (v *Viewer) writeStep(fd uintptr) bool {
	if v.blocked.Load() != 0 && v.block != nil {
		v.buf = v.buf[:v.log.shorten(v, v.cursor+int64(v.done), len(v.buf))]
		if len(v.buf) == 0 {
			return true
		}
	}
	for {
		n, err := v.writeSome(int(fd))
		switch {
		case n > 0:
			v.done += n
			if v.blocked.Load() != 0 {
				v.blocked.Store(time.Now().UnixNano())
			}
			if v.advance(n) {
				return true
			}
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if v.blocked.Load() == 0 {
				v.blocked.Store(time.Now().UnixNano())
				v.log.stick(v)
			}
			return false
		default:
			v.fail = err
			return true
		}
	}
}

// writeNow writes what the socket takes without waiting. The socket is open:
// it is closed by the viewer's own goroutine only, once the viewer is over.
func (v *Viewer) writeNow(b []byte) int {
	n, _ := socket.Send(v.fd, b) // a fault shows again in the write that follows
	return max(n, 0)
}

// maxPieces is how many pieces one call of the system takes.
const maxPieces = 1024

func (v *Viewer) writeSome(fd int) (int, error) {
	if len(v.rest) == 0 {
		return socket.Send(fd, v.buf)
	}
	pieces := append([][]byte{v.buf}, v.rest[:min(len(v.rest), maxPieces-1)]...)
	return unix.Writev(fd, pieces)
}

// advance forgets the n bytes that were written and tells whether that was
// all. The pieces are shared: only the slices of this viewer move.
func (v *Viewer) advance(n int) (all bool) {
	for n >= len(v.buf) {
		n -= len(v.buf)
		if len(v.rest) == 0 {
			v.buf = nil
			return true
		}
		v.buf, v.rest = v.rest[0], v.rest[1:]
	}
	v.buf = v.buf[n:]
	return false
}

// peeker reads what clients have sent, without waiting and without allocating.
type peeker struct {
	buf  []byte
	n    int
	fail error
	read func(fd uintptr) bool
	poll []unix.PollFd
}

func newPeeker() *peeker {
	p := &peeker{buf: make([]byte, 4096)}
	p.read = func(fd uintptr) bool {
		p.n, p.fail = socket.Receive(int(fd), p.buf)
		return true
	}
	return p
}

// ask notes which viewers have something to be read: asking for all of them
// with one call costs a quarter of trying to read from each. One that has ended meanwhile, whose
// socket may be another's by now, is found out by peek.
func (p *peeker) ask(viewers []*Viewer) {
	p.poll = p.poll[:0]
	for _, v := range viewers {
		if v.direct {
			p.poll = append(p.poll, unix.PollFd{Fd: int32(v.fd), Events: unix.POLLIN}) //nolint:gosec // descriptors are small
		}
	}
	n := -1
	if len(p.poll) > 0 {
		n, _ = unix.Poll(p.poll, 0) // a fault means to ask each
	}
	i := 0
	for _, v := range viewers {
		if v.direct {
			v.ready = n < 0 || p.poll[i].Revents != 0
			i++
		}
	}
}

// peek returns what there is, valid until the next call, nil when there is
// nothing. The end of the input is io.EOF.
func (p *peeker) peek(raw syscall.RawConn) ([]byte, error) {
	err := raw.Read(p.read)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(p.fail, unix.EAGAIN), errors.Is(p.fail, unix.EINTR):
		return nil, nil
	case p.fail != nil:
		return nil, p.fail
	case p.n <= 0:
		return nil, io.EOF
	}
	return p.buf[:p.n], nil
}
