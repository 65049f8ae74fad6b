package rtmpd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/conf"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/rtmp"
)

// source is a publisher within the process, of pictures alone.
type source struct {
	*stream.Publisher
	at time.Duration
}

func newSource(t *testing.T, h *house) *source {
	t.Helper()
	pub, err := h.deps.Streams.Publish("live/cam1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pub.End(stream.ErrUnpublished) })
	s := &source{Publisher: pub}
	s.write(t, videoConfig())
	s.write(t, picture(true, 0))
	for h.deps.Streams.Find("live/cam1") == nil { // until the time for other tracks is over
		<-time.After(10 * time.Millisecond)
		s.write(t, picture(false, 0))
	}
	return s
}

func (s *source) write(t *testing.T, body []byte) {
	t.Helper()
	p := flv.ParseVideo(body)
	p.DTS = s.at
	s.at += 10 * time.Millisecond
	if err := s.Write(p); err != nil {
		t.Fatal(err)
	}
}

// dialPlayer connects to a server on TCP and plays live/cam1.
func dialPlayer(t *testing.T, addr string) (*rtmp.Client, net.Conn) {
	t.Helper()
	u := rtmp.URL{Host: addr, App: "live", Name: "cam1"}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c, err := rtmp.NewClient(t.Context(), conn, u)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, conn
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestCase072PlayerThatNeverReadsIsClosedAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	cfg := rtmpd.DefaultConfig()
	cfg.Play.WriteTimeout = conf.Duration(time.Second)
	cfg.Play.MaxLag, cfg.Play.StreamMemory = conf.Duration(time.Minute), 512<<20 // a slow machine is no slow player
	ln := listenTCP(t)
	h := open(t, cfg, ln)
	s := newSource(t, h)
	_, stuck := dialPlayer(t, ln.Addr().String())
	if err := stuck.(*net.TCPConn).SetReadBuffer(4096); err != nil { //nolint:forcetypeassert // it was dialled as one
		t.Fatal(err)
	}
	reader, _ := dialPlayer(t, ln.Addr().String())

	const frame = 50_000
	got := make(chan int, 1) // frames that the other one read
	go func() {
		n := 0
		for {
			_, _, body, err := reader.ReadTag()
			if errors.Is(err, io.EOF) {
				got <- n
				return
			}
			if err != nil {
				got <- -1
				return
			}
			if len(body) == frame {
				n++
			}
		}
	}()
	sent := 0
	body := append(picture(false, 1), make([]byte, frame-len(picture(false, 1)))...)
	start := time.Now()
	for h.deps.Sessions.Count(session.Viewer, "live/cam1") == 2 {
		if sent%50 == 0 {
			s.write(t, picture(true, sent))
		}
		s.write(t, body)
		sent++
		<-time.After(10 * time.Millisecond)
		if time.Since(start) > time.Minute {
			t.Fatal("it is still there after a minute")
		}
	}
	s.End(stream.ErrUnpublished)
	if n := <-got; n != sent {
		t.Errorf("the player that reads got %d of %d pictures", n, sent)
	}
	if reasons := h.log.reasons(t, "session ended"); !slices.Contains(reasons, "stalled") && !slices.Contains(reasons, "lagged") {
		t.Errorf("sessions ended with %q", reasons)
	}
}

// ears read whatever players are sent, and tell when all have read a packet
// that ends with a given byte.
type ears struct {
	wg   sync.WaitGroup
	want atomic.Int32
	left atomic.Int32
	all  chan struct{}
}

func (e *ears) listen(conn net.Conn) {
	buf := make([]byte, 4096)
	heard := int32(-1)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			if want := e.want.Load(); int32(buf[n-1]) == want && heard != want {
				heard = want
				if e.left.Add(-1) == 0 {
					e.all <- struct{}{}
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// It counts allocations, and so runs alone.
func TestSendingAPacketToAHundredPlayersAllocatesNothing(t *testing.T) {
	const players = 100
	ln := listenTCP(t)
	h := open(t, rtmpd.DefaultConfig(), ln)
	s := newSource(t, h)
	e := &ears{all: make(chan struct{}, 1)}
	for range players {
		_, conn := dialPlayer(t, ln.Addr().String())
		e.wg.Go(func() { e.listen(conn) })
	}
	t.Cleanup(func() {
		s.End(stream.ErrUnpublished)
		e.wg.Wait()
	})
	mark := 0
	perPacket := testing.AllocsPerRun(100, func() {
		mark = (mark + 1) % 100
		e.left.Store(players)
		e.want.Store(int32(mark))
		s.write(t, append(picture(false, 0), bytes.Repeat([]byte{byte(mark)}, 1000)...))
		<-e.all // the time limit is that of all tests
	})
	// What is left is the packet itself and the log's growth; one allocation
	// for each player would make a hundred.
	if perPacket/players >= 0.25 {
		t.Errorf("%v allocations per packet for %d players", perPacket, players)
	}
}
