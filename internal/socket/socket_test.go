//go:build linux

package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/socket"
)

// pair returns the descriptor of one end of a connection over loopback, and
// the other end.
func pair(t *testing.T) (int, *net.TCPConn) {
	t.Helper()
	server, client := conns(t)
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	if err := raw.Control(func(s uintptr) { fd = int(s) }); err != nil {
		t.Fatal(err)
	}
	return fd, client.(*net.TCPConn)
}

func newRing(t *testing.T) *socket.Ring {
	t.Helper()
	r, err := socket.NewRing()
	if err != nil {
		t.Skipf("this kernel, or what confines this process, has no io_uring: %v", err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestARingSendsToEachSocketWhatWasAddedForIt(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	var fds []int
	var clients []*net.TCPConn
	for range socket.RingSize {
		fd, c := pair(t)
		fds, clients = append(fds, fd), append(clients, c)
	}
	for round := range 5 { // the queues wrap
		some := socket.RingSize - 7*round
		for i := range some {
			r.Add(fds[i], bytes.Repeat([]byte{byte(i)}, 100+i))
		}
		results := r.Send()
		if len(results) != some {
			t.Fatalf("%d results for %d sends", len(results), some)
		}
		for i, res := range results {
			if res.Err != nil || res.N != 100+i {
				t.Errorf("send %d: %d, %v", i, res.N, res.Err)
			}
			got := make([]byte, 100+i)
			if _, err := io.ReadFull(clients[i], got); err != nil || got[0] != byte(i) || got[99+i] != byte(i) {
				t.Errorf("client %d got %v…, %v", i, got[:4], err)
			}
		}
	}
}

func TestARingTellsWhichSocketsTakeNothing(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	full, _ := pair(t)
	ready, client := pair(t)
	closed, gone := pair(t)
	gone.Close()
	waste := make([]byte, 1<<20)
	for {
		if _, err := socket.Send(closed, waste); err != nil && !errors.Is(err, unix.EAGAIN) {
			break // the other end has said so by now
		}
	}
	for { // a socket that was full may still hand on what lies in it, and then takes more
		r.Add(full, waste)
		if res := r.Send()[0]; res.Err != nil {
			break
		}
	}
	r.Add(full, waste)
	r.Add(closed, waste)
	r.Add(ready, []byte("tag"))
	results := r.Send()
	if !errors.Is(results[0].Err, unix.EAGAIN) || results[0].N != 0 {
		t.Errorf("a full socket: %+v", results[0])
	}
	if !errors.Is(results[1].Err, unix.EPIPE) {
		t.Errorf("a closed socket: %+v", results[1])
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "tag" || results[2].N != 3 {
		t.Errorf("a ready socket: %+v, its client got %q, %v", results[2], got, err)
	}
}

func TestReceiveReturnsWhatIsThereAndNeverWaits(t *testing.T) {
	t.Parallel()
	fd, client := pair(t)
	b := make([]byte, 16)
	if n, err := socket.Receive(fd, b); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("Receive() = %d, %v of a silent client", n, err)
	}
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := socket.Receive(fd, b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("Receive() = %q, %v", b[:n], err)
	}
	client.Close()
	for {
		n, err := socket.Receive(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			continue // its end is on the way
		}
		if n != 0 || err != nil {
			t.Errorf("Receive() = %d, %v at the end", n, err)
		}
		return
	}
}

func TestRingsAreSharedAndRunOut(t *testing.T) {
	t.Parallel()
	newRing(t) // there are any
	s := socket.NewRings()
	var senders, readers sync.WaitGroup
	var clients []*net.TCPConn
	for range 8 {
		fd, client := pair(t)
		clients = append(clients, client)
		readers.Go(func() { _, _ = io.Copy(io.Discard, client) })
		senders.Go(func() {
			for range 200 {
				r := s.Take()
				if r == nil {
					continue // the others have them
				}
				r.Add(fd, []byte("x"))
				r.Send()
				s.Put(r)
			}
		})
	}
	senders.Wait()
	for _, c := range clients {
		c.Close()
	}
	readers.Wait()
	r := s.Take()
	s.Close()
	if r != nil {
		s.Put(r)
	}
	if s.Take() != nil {
		t.Error("there is a ring after Close")
	}
	var none *socket.Rings
	if none.Take() != nil {
		t.Error("no set has a ring")
	}
}

func TestAReaderReadsLikeItsConnection(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	r := socket.NewReader(server)

	sent := bytes.Repeat([]byte("0123456789"), 10_000)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = client.Write(sent) })
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("what was read differs: %v", err)
	}
	wg.Wait()

	if err := server.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() = %d, %v behind the deadline", n, err)
	}
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if n, err := r.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("Read() = %d, %v at the end", n, err)
	}
	server.Close()
	if n, err := r.Read(got); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read() = %d, %v of a closed connection", n, err)
	}
	end, other := net.Pipe()
	defer other.Close()
	defer end.Close()
	if socket.NewReader(end) != io.Reader(end) {
		t.Error("a connection without a socket is not its own reader")
	}
}
