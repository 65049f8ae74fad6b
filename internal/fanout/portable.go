package fanout

import (
	"bufio"
	"io"
	"net"
	"time"
)

// maxWrite bounds one write on the portable way, and so what is copied for it.
const maxWrite = 64 << 10

// A portable write that lasts this long is stuck, when it comes to throwing
// the viewer out, and for the pace it is slow.
const (
	patience  = sweepEvery * sweepSlots
	slowWrite = 20 * time.Millisecond
)

// writePortably writes to a connection of which nothing else is known, such as
// TLS. Many pieces are gathered in a buffer, which is given up afterwards.
func (v *Viewer) writePortably(b []byte, more [][]byte) error {
	if len(more) == 0 {
		return v.writeBounded(b)
	}
	total := len(b)
	for _, p := range more {
		total += len(p)
	}
	w := bufio.NewWriterSize(bounded{v}, min(total, maxWrite))
	if _, err := w.Write(b); err != nil {
		return err
	}
	for _, p := range more {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Flush()
}

// bounded is [Viewer.writeBounded] as a writer.
type bounded struct{ v *Viewer }

func (w bounded) Write(b []byte) (int, error) {
	before := w.v.done
	err := w.v.writeBounded(b)
	return w.v.done - before, err
}

// writeBounded writes b a little at a time. While a write is under way it
// counts as blocked, so that a slow connection shows with each that it moves.
// In between the viewer may turn out to lag: of a part of the log it then
// leaves out what follows its frame.
func (v *Viewer) writeBounded(b []byte) error {
	for len(b) > 0 {
		if v.slow {
			v.log.stick(v) // the round does not wait for it again
		}
		began := time.Now()
		v.blocked.Store(began.UnixNano())
		n, err := v.conn.Write(b[:min(len(b), maxWrite)])
		v.slow = time.Since(began) > slowWrite
		v.done += n
		if err != nil {
			return err
		}
		b = b[n:]
		if len(b) > 0 && v.block != nil {
			b = b[:v.log.shorten(v, v.cursor+int64(v.done), len(b))]
		}
	}
	return nil
}

// tcpBelow returns the TCP connection that carries conn alone: itself, or what
// lies below TLS; nil where there is none.
func tcpBelow(conn io.ReadWriteCloser) *net.TCPConn {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	c, _ := conn.(*net.TCPConn)
	return c
}

// Tune sets the options of a socket that carries viewers, itself or below TLS:
// what the kernel may hold for them, and how soon it gives a silent client up.
// [Sweeper.Serve] does so for connections that a viewer has for itself.
func (s *Sweeper) Tune(conn io.ReadWriteCloser) {
	c := tcpBelow(conn)
	if c == nil {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		tune(c, raw, s.timeout)
	}
}
