//go:build linux

package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"sluice/internal/socket"
)

// slow returns a clock that makes any reader wait until the test beats.
func slow() *socket.Clock {
	c := socket.NewClock(time.Hour)
	c.SetRate(1)
	return c
}

// conns returns the two ends of a connection over loopback.
func conns(t *testing.T) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return server, client
}

type result struct {
	got []byte
	err error
}

// read reads once, in a goroutine of its own.
func read(r io.Reader, room int) <-chan result {
	c := make(chan result, 1)
	go func() {
		b := make([]byte, room)
		n, err := r.Read(b)
		c <- result{b[:n], err}
	}()
	return c
}

// beatUntil beats until there is a result.
func beatUntil(c *socket.Clock, results <-chan result) result {
	for {
		select {
		case r := <-results:
			return r
		default:
			c.Beat()
			runtime.Gosched()
		}
	}
}

func write(t *testing.T, w io.Writer, b string) {
	t.Helper()
	if _, err := io.WriteString(w, b); err != nil {
		t.Fatal(err)
	}
}

func TestReadersOfAClockReadWhatHasGathered(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := slow(), socket.NewReader(server)
	defer c.Add(r)()
	for range 3 {
		results := read(r, 100)
		for _, s := range []string{"one ", "two ", "three"} {
			write(t, client, s)
		}
		if res := beatUntil(c, results); string(res.got) != "one two three" || res.err != nil {
			t.Fatalf("Read() = %q, %v; want all that came before the beat", res.got, res.err)
		}
	}
}

func TestAReaderOfAClockTakesAllThatIsThereInOneTurn(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := slow(), socket.NewReader(server)
	defer c.Add(r)()
	results := read(r, 4)
	write(t, client, "a key frame")
	if res := beatUntil(c, results); string(res.got) != "a ke" {
		t.Fatalf("Read() = %q, %v", res.got, res.err)
	}
	for _, want := range []string{"y fr", "ame"} { // nobody beats
		if res := <-read(r, 4); string(res.got) != want || res.err != nil {
			t.Errorf("Read() = %q, %v; want %q at once", res.got, res.err, want)
		}
	}
}

func TestAReaderThatLeavesItsClockReadsAtOnce(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := slow(), socket.NewReader(server)
	leave := c.Add(r)
	results := read(r, 100)
	write(t, client, "gathered")
	beatUntil(c, results)
	leave()
	results = read(r, 100)
	write(t, client, "at once")
	if res := <-results; string(res.got) != "at once" || res.err != nil {
		t.Errorf("Read() = %q, %v", res.got, res.err)
	}
}

func TestAReaderWaitsNoLongerWhenTheOthersAreGone(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	other, _ := conns(t)
	c, r := socket.NewClock(time.Hour), socket.NewReader(server)
	c.SetRate(150) // one reader need not wait 7 ms, two wait 13
	defer c.Add(r)()
	leave := c.Add(socket.NewReader(other))
	results := read(r, 100)
	leave()
	write(t, client, "alone")
	if res := <-results; string(res.got) != "alone" || res.err != nil {
		t.Errorf("Read() = %q, %v", res.got, res.err)
	}
}

func TestAClockBeatsByItself(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := socket.NewClock(10*time.Millisecond), socket.NewReader(server)
	c.SetRate(1)
	defer c.Add(r)()
	for _, want := range []string{"one", "two", "three"} {
		write(t, client, want)
		if res := <-read(r, 100); string(res.got) != want || res.err != nil {
			t.Fatalf("Read() = %q, %v", res.got, res.err)
		}
	}
}

func TestDeadlinesHoldForReadersOfAClock(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := slow(), socket.NewReader(server)
	defer c.Add(r)()
	results := read(r, 100)
	if err := server.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if res := beatUntil(c, results); !errors.Is(res.err, os.ErrDeadlineExceeded) {
		t.Errorf("Read() = %q, %v behind the deadline", res.got, res.err)
	}
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if res := beatUntil(c, read(r, 100)); !errors.Is(res.err, io.EOF) {
		t.Errorf("Read() = %q, %v at the end", res.got, res.err)
	}
	server.Close()
	if res := beatUntil(c, read(r, 100)); !errors.Is(res.err, net.ErrClosed) {
		t.Errorf("Read() = %q, %v of a closed connection", res.got, res.err)
	}
}

func TestAClockOfNoGapLetsNobodyWait(t *testing.T) {
	t.Parallel()
	server, client := conns(t)
	c, r := socket.NewClock(0), socket.NewReader(server)
	c.SetRate(1)
	defer c.Add(r)()
	write(t, client, "packet")
	if res := <-read(r, 100); string(res.got) != "packet" || res.err != nil {
		t.Errorf("Read() = %q, %v", res.got, res.err)
	}
	c.Add(bytes.NewReader(nil))() // what reads no socket has no need of a clock
}
