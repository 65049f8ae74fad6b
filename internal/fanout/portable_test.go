package fanout_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/fanout"
)

// meter is a connection that takes a write when the test says so, and remembers
// them.
type meter struct {
	take   chan struct{} // closed: takes everything
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex // guards below
	writes []int
	body   bytes.Buffer
}

func newMeter() *meter { return &meter{take: make(chan struct{}), closed: make(chan struct{})} }

func (m *meter) Write(b []byte) (int, error) {
	select {
	case <-m.take:
	case <-m.closed:
		return 0, net.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes = append(m.writes, len(b))
	return m.body.Write(b)
}

func (m *meter) Read([]byte) (int, error) {
	<-m.closed
	return 0, io.EOF
}

func (m *meter) Close() error {
	m.end()
	return nil
}

func (m *meter) end() { m.once.Do(func() { close(m.closed) }) }

const maxWrite = 64 << 10

func TestWhatAViewerBeginsWithIsGatheredInASmallBuffer(t *testing.T) {
	l := newLog(t)
	conn := newMeter()
	close(conn.take)
	v := fanout.NewViewer(conn, l)
	var want []byte
	for i := range 5000 { // of all sizes, 8 MiB in all
		piece := bytes.Repeat([]byte{byte(i)}, i*i%3000)
		if i%1000 == 7 {
			piece = bytes.Repeat([]byte{byte(i)}, 200<<10)
		}
		v.First = append(v.First, piece)
		want = append(want, piece...)
	}
	l.End(errOver)
	if err := newSweeper(t, time.Minute).Serve(v); !errors.Is(err, errOver) {
		t.Fatal(err)
	}
	if !bytes.Equal(conn.body.Bytes(), want) {
		t.Errorf("got %d bytes, want %d", conn.body.Len(), len(want))
	}
	for _, n := range conn.writes {
		if n > maxWrite {
			t.Errorf("a write of %d bytes", n)
		}
	}
	if n := len(conn.writes); n > 2*len(want)/maxWrite {
		t.Errorf("%d bytes in %d writes", len(want), n)
	}
}

func TestASlowPortableViewerFinishesItsFrameAndIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		const frames, size = 25, 10_000
		conn := newMeter()
		l.Append(true, make([]byte, 60<<10)) // so that they begin in a block of 128 KiB
		v := fanout.NewViewer(conn, l)
		v.Begin = l.Position()
		for i := range frames {
			l.Append(i == 0, fmt.Appendf(nil, "[%0*d]", size-2, i))
		}
		reason := serve(newSweeper(t, time.Hour), v)
		for range 10 {
			<-time.After(time.Second)
			l.Append(false, []byte("{lost}"))
		}
		l.Append(true, []byte("{key}"))
		conn.take <- struct{}{}
		synctest.Wait()
		close(conn.take)
		l.End(errOver)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		got := conn.body.Bytes()
		// The first write ends within the seventh frame.
		if want := 7*size + len("{key}"); len(got) != want || !bytes.HasSuffix(got, []byte("]{key}")) {
			t.Errorf("got %d bytes, the last of them %q; want %d", len(got), got[max(0, len(got)-20):], want)
		}
	})
}

func TestASlowPortableViewerStaysAsLongAsItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *fanout.Options) { o.MaxLag = time.Hour })
		conn := newMeter()
		v := fanout.NewViewer(conn, l)
		v.Begin = l.Append(true, make([]byte, 10*maxWrite))
		reason := serve(newSweeper(t, 10*time.Second), v)
		for range 10 {
			<-time.After(9 * time.Second)
			conn.take <- struct{}{}
		}
		synctest.Wait()
		select {
		case err := <-reason:
			t.Fatalf("it had to go: %v", err)
		default:
		}
		l.Append(false, []byte("more"))
		if err := <-reason; !errors.Is(err, fanout.ErrStalled) {
			t.Errorf("a viewer that does not move ends with %v", err)
		}
	})
}

func TestAPortableViewerThatIsKickedInAWriteMayFinishIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		conn := newMeter()
		v := fanout.NewViewer(conn, l)
		v.Begin = l.Append(true, []byte("whole"))
		v.Farewell = func(error) []byte { return []byte("|bye") }
		reason := serve(newSweeper(t, time.Minute), v)
		synctest.Wait()
		v.Kick(errOver)
		close(conn.take)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		if got := conn.body.String(); got != "whole|bye" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAPortableViewerThatIsKickedWhileStuckIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		v := fanout.NewViewer(newMeter(), l)
		v.Begin = l.Append(true, []byte("whole"))
		reason := serve(newSweeper(t, time.Minute), v)
		synctest.Wait()
		begin := time.Now()
		v.Kick(errOver)
		if err := <-reason; !errors.Is(err, errOver) || time.Since(begin) > 2*time.Second {
			t.Errorf("the reason is %v, after %v", err, time.Since(begin))
		}
	})
}

func TestAViewerThatTakesItsBeginningTooSlowlyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		conn := newMeter()
		v := fanout.NewViewer(conn, l)
		v.First = [][]byte{make([]byte, 200*maxWrite)}
		reason := serve(newSweeper(t, time.Minute), v)
		begin := time.Now()
		for {
			select {
			case conn.take <- struct{}{}:
				<-time.After(300 * time.Millisecond)
				continue
			case err := <-reason:
				if d := time.Since(begin); !errors.Is(err, fanout.ErrLagged) || d < 20*time.Second || d > 22*time.Second {
					t.Errorf("the reason is %v, after %v", err, d)
				}
			}
			return
		}
	})
}

func TestStuckPortableViewersCannotHoldOnToMuchMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *fanout.Options) { o.MaxLag = time.Millisecond })
		s := newSweeper(t, time.Hour)
		const viewers, size = 60, 256 << 10
		var reasons []<-chan error
		for range viewers {
			conn := newMeter()
			defer conn.end()
			v := fanout.NewViewer(conn, l)
			v.Begin = l.Append(true, make([]byte, size))
			reasons = append(reasons, serve(s, v))
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(2 * time.Second)
		gone := 0
		for _, r := range reasons {
			select {
			case err := <-r:
				if !errors.Is(err, fanout.ErrLagged) {
					t.Errorf("the reason is %v", err)
				}
				gone++
			default:
			}
		}
		// 4 MiB are 16 such frames; the newest block, of at most 4 of them, is
		// not forgotten yet.
		if gone < viewers-20 || gone > viewers-16 {
			t.Errorf("%d of %d viewers had to go", gone, viewers)
		}
	})
}

// secure returns the two ends of a TLS connection over loopback, and its
// sockets.
func secure(t *testing.T) (server, client net.Conn) {
	t.Helper()
	h := httptest.NewUnstartedServer(nil) // for its certificate
	h.StartTLS()
	h.Close()
	a, b := pair(t)
	server = tls.Server(a, h.TLS)
	trust := h.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.ServerName = "example.com"
	return server, tls.Client(b, trust)
}

func TestAViewerOverTLSGetsEveryByteAndACleanEnd(t *testing.T) {
	l := newLog(t)
	server, client := secure(t)
	v := fanout.NewViewer(server, l)
	v.First = [][]byte{[]byte("head|"), make([]byte, 1<<20)}
	v.Begin = l.Append(true, make([]byte, 3<<20))
	v.Farewell = func(error) []byte { return []byte("|bye") }
	reason := serve(newSweeper(t, time.Minute), v)
	l.End(errOver)
	got, err := io.ReadAll(client)
	if err != nil || len(got) != 5+4<<20+4 || !bytes.HasSuffix(got, []byte("|bye")) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := <-reason; !errors.Is(err, errOver) {
		t.Errorf("the reason is %v", err)
	}
}

func TestAViewerOverTLSThatTakesNothingIsClosed(t *testing.T) {
	l := newLog(t)
	server, client := secure(t)
	v := fanout.NewViewer(server, l)
	v.Begin = l.Append(true, []byte{0})
	reason := serve(newSweeper(t, time.Second), v)
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.Append(false, make([]byte, 100<<10))
	}
	if err := <-reason; !errors.Is(err, fanout.ErrStalled) {
		t.Errorf("the reason is %v", err)
	}
	if _, err := io.ReadAll(client); err == nil {
		t.Error("the client sees a clean end")
	}
}

func TestAViewerOverTLSThatHangsUpIsNoticed(t *testing.T) {
	l := newLog(t)
	server, client := secure(t)
	v := fanout.NewViewer(server, l)
	v.Begin = l.Append(true, []byte{0})
	reason := serve(newSweeper(t, time.Minute), v)
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := <-reason; !errors.Is(err, fanout.ErrGone) {
		t.Errorf("the reason is %v", err)
	}
}

func TestManyViewersWithALargeBeginningShareIt(t *testing.T) {
	l := newLog(t)
	s := newSweeper(t, time.Hour)
	first := [][]byte{[]byte("head"), make([]byte, 8<<20)}
	const viewers = 50
	before := heap()
	for range viewers {
		conn := newMeter()
		v := fanout.NewViewer(conn, l)
		v.First = first
		reason := serve(s, v)
		conn.take <- struct{}{} // it is at it
		t.Cleanup(func() {
			conn.end()
			if err := <-reason; !errors.Is(err, fanout.ErrGone) {
				t.Errorf("the reason is %v", err)
			}
		})
	}
	if grown := heap() - before; grown > viewers*3*maxWrite {
		t.Errorf("%d viewers hold %d bytes", viewers, grown)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // it fits
}
