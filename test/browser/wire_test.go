package browser_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// wire leads connections on to a server, until they are cut: then nothing
// comes through any more, and neither end is told. New ones work.
type wire struct {
	addr, to string
	wg       sync.WaitGroup

	mu    sync.Mutex // guards all below
	ended bool
	conns []net.Conn
	dead  chan struct{} // closed for what is cut
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: ln.Addr().String(), to: to, dead: make(chan struct{})}
	w.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.lead(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		w.hangUp()
		w.wg.Wait()
	})
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.dead)
	w.dead = make(chan struct{})
}

func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, c := range w.conns {
		c.Close()
	}
}

// keep takes connections to hang up at the end; false says that it is here.
func (w *wire) keep(conns ...net.Conn) (dead <-chan struct{}, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conns...)
	return w.dead, !w.ended
}

func (w *wire) lead(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer s.Close()
	dead, ok := w.keep(c, s)
	if !ok {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(s, c, dead) })
	both.Go(func() { pass(c, s, dead) })
	both.Wait()
}

// pass copies until an end hangs up, and swallows everything once it is dead.
func pass(to, from net.Conn, dead <-chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-dead:
			_, _ = io.Copy(io.Discard, from) // until hangUp
			return
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			from.Close()
			return
		}
	}
}
