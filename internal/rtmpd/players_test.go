package rtmpd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	return claimSource(t, h, stream.Claim{})
}

// claimSource is newSource by somebody who may replace another one.
func claimSource(t *testing.T, h *house, c stream.Claim) *source {
	t.Helper()
	pub, err := h.deps.Streams.Claim("live/cam1", c)
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

// gop is a second of pictures, of 50 kB each.
const gop = 25

func largePicture(key bool) []byte { return append(picture(key, 1), make([]byte, 50_000)...) }

// second publishes a second of large pictures.
func (s *source) second(t *testing.T) {
	t.Helper()
	for i := range gop {
		s.write(t, largePicture(i == 0))
	}
}

// readLarge reads tags up to the n-th large picture from here on.
func readLarge(c *rtmp.Client, n int) error {
	for n > 0 {
		_, _, body, err := c.ReadTag()
		if err != nil {
			return err
		}
		if len(body) == len(largePicture(false)) {
			n--
		}
	}
	return nil
}

// It is not parallel, for it measures.
func TestCase072PlayerThatNeverReadsIsClosedAndDisturbsNobody(t *testing.T) {
	t.Run("its queue is capped", func(t *testing.T) {
		const most = 8 << 20
		cfg := rtmpd.DefaultConfig()
		cfg.Play.WriteTimeout, cfg.Play.MaxLag, cfg.Play.StreamMemory = conf.Duration(time.Minute), conf.Duration(time.Minute), most
		ln := listenTCP(t)
		h := open(t, cfg, ln)
		s := newSource(t, h)
		_, stuck := dialPlayer(t, ln.Addr().String())
		if err := stuck.(*net.TCPConn).SetReadBuffer(4096); err != nil { //nolint:forcetypeassert // it was dialled as one
			t.Fatal(err)
		}
		reader, _ := dialPlayer(t, ln.Addr().String())
		before, peak := heap(), uint64(0)
		for sent := 0; sent < 8*most; sent += gop * len(largePicture(false)) {
			s.second(t)
			if err := readLarge(reader, gop); err != nil { // all of them, before there are more
				t.Fatalf("the player that reads: %v", err)
			}
			peak = max(peak, heap())
		}
		if n := h.deps.Sessions.Count(session.Viewer, "live/cam1"); n != 2 {
			t.Errorf("%d players are left of 2: it did not take as long as that", n)
		}
		// Besides the queue there are the stream's own window and the pieces that buffers are made of.
		if peak > before+3*most {
			t.Errorf("%d bytes in use, %d before", peak, before)
		}
	})
	t.Run("it is closed in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cfg := rtmpd.DefaultConfig()
			cfg.Play.MaxLag, cfg.Play.StreamMemory = conf.Duration(time.Minute), 512<<20
			h := open(t, cfg, nil)
			s := newSource(t, h)
			stuck, reader := playPipe(t, h), playPipe(t, h)
			go func() { _ = readLarge(stuck, 1) }() // and no more
			start := time.Now()
			for h.deps.Sessions.Count(session.Viewer, "live/cam1") == 2 {
				s.second(t)
				if err := readLarge(reader, gop); err != nil {
					t.Fatalf("the player that reads: %v", err)
				}
				<-time.After(time.Second)
			}
			took, most := time.Since(start), cfg.Play.WriteTimeout.D()
			if took < most || took > most+2*time.Second { // it is looked at every half second, here every second
				t.Errorf("it is closed after %v, want %v", took, most)
			}
			if reasons := h.log.reasons(t, "session ended"); !slices.Equal(reasons, []string{"stalled"}) {
				t.Errorf("sessions ended with %q, want stalled", reasons)
			}
		})
	})
}

// A player that was away for longer than max_lag misses pictures, but no part of one.
func TestPlayerThatLagsGoesOnAtAKeyFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		s := newSource(t, h)
		slow, reader := playPipe(t, h), playPipe(t, h)
		const seconds = 8 // in each of them as many pictures as a second has, and it is away behind the first
		for i := range seconds {
			s.second(t)
			if err := readLarge(reader, gop); err != nil {
				t.Fatalf("the player that reads: %v", err)
			}
			if i > 0 {
				<-time.After(time.Second)
			} else if err := readLarge(slow, gop); err != nil {
				t.Fatal(err)
			}
		}
		s.End(stream.ErrUnpublished)
		end := uint32(s.at.Milliseconds()) - 20 //nolint:gosec // seconds, from the first picture on, which is the second packet
		last := end - (seconds-1)*gop*10
		gaps, pictures := 0, 0
		for {
			_, at, body, err := slow.ReadTag()
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				t.Fatalf("behind %d pictures: %v", pictures, err)
			}
			if len(body) != len(largePicture(false)) {
				continue // of before
			}
			if pictures++; at != last+10 {
				gaps++
				if !flv.ParseVideo(body).Key {
					t.Errorf("behind %d ms it goes on at %d ms, which is no key frame", last, at)
				}
			}
			last = at
		}
		if gaps != 1 || pictures > 3*gop || last != end {
			t.Errorf("%d pictures up to %d ms of %d with %d gaps", pictures, last, end, gaps)
		}
		if reasons := h.log.reasons(t, "session ended"); slices.Contains(reasons, "lagged") {
			t.Errorf("sessions ended with %q", reasons)
		}
	})
}

// heap returns what is in use of the heap.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// playPipe plays live/cam1 within the process, where nothing is buffered on the way.
func playPipe(t *testing.T, h *house) *rtmp.Client {
	t.Helper()
	conn := h.dial("127.0.0.1:50001")
	t.Cleanup(func() { conn.Close() })
	c, err := rtmp.NewClient(t.Context(), conn, rtmp.URL{Host: "h:1935", App: "live", Name: "cam1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
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
