package fanout_test

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/fanout"
)

// crowd is n viewers of a log on real sockets, whose clients count what they
// read.
type crowd struct {
	read    atomic.Int64
	want    atomic.Int64 // so many bytes are waited for
	reached chan struct{}
	wg      sync.WaitGroup
}

func newCrowd(tb testing.TB, l *fanout.Log, n int) *crowd {
	tb.Helper()
	s := newSweeper(tb, time.Minute)
	c := &crowd{reached: make(chan struct{}, 1)}
	for range n {
		server, client := pair(tb)
		v := fanout.NewViewer(server, l)
		v.Begin = l.Append(true, nil)
		c.wg.Go(func() { _ = s.Serve(v) })
		c.wg.Go(func() { c.count(client) })
	}
	tb.Cleanup(func() {
		l.End(errOver)
		c.wg.Wait()
	})
	return c
}

func (c *crowd) count(conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if c.read.Add(int64(n)) >= c.want.Load() {
			select {
			case c.reached <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

// await waits until that many bytes were read in all.
func (c *crowd) await(tb testing.TB, want int64) {
	tb.Helper()
	c.want.Store(want)
	for c.read.Load() < want {
		<-c.reached // the time limit is that of all tests
	}
}

func TestSendingAPacketToAHundredViewersAllocatesNothing(t *testing.T) {
	const viewers = 100
	l := newLog(t)
	c := newCrowd(t, l, viewers)
	packet := make([]byte, 1000)
	sent := int64(0)
	perPacket := testing.AllocsPerRun(100, func() {
		l.Append(false, packet)
		sent += viewers * int64(len(packet))
		c.await(t, sent)
	})
	// What is left is the log's own growth and what the runtime keeps for
	// goroutines that wait for a lock; one allocation for each viewer would
	// make a hundred.
	if perPacket/viewers >= 0.25 {
		t.Errorf("%v allocations per packet for %d viewers", perPacket, viewers)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, parked := range []int{0, 10, 10_000} {
		b.Run(fmt.Sprintf("parked=%d", parked), func(b *testing.B) {
			l := newLog(b)
			s := newSweeper(b, time.Hour)
			var wg sync.WaitGroup
			for range parked {
				// They wait for a key position that never comes.
				server, client := net.Pipe()
				b.Cleanup(func() { client.Close() })
				wg.Go(func() { _ = s.Serve(fanout.NewViewer(server, l)) })
			}
			packet := make([]byte, 1000)
			b.ReportAllocs()
			for b.Loop() {
				l.Append(false, packet)
			}
			b.StopTimer()
			l.End(errors.New("over"))
			wg.Wait()
		})
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, viewers := range []int{1, 100} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			l := newLog(b)
			c := newCrowd(b, l, viewers)
			packet := make([]byte, 1000)
			sent := int64(0)
			b.SetBytes(int64(viewers * len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				l.Append(false, packet)
				sent += int64(viewers * len(packet))
				c.await(b, sent)
			}
		})
	}
}

func TestFramesOfOneRoundBeginNoFurtherRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gap = 50 * time.Millisecond
		l := fanout.NewLog(fanout.Options{Pace: fanout.Pace{Gap: gap}, MaxLag: time.Second, Budget: fanout.NewBudget(1 << 20)})
		defer func() {
			l.End(errors.New("over"))
			l.Wait()
		}()
		l.Append(true, []byte("at once"))
		synctest.Wait()
		for range 3 {
			l.Append(false, []byte("later"))
			synctest.Wait()
		}
		<-time.After(3 * gap) // in the time of the test
		if got := l.Stats().Rounds; got != 2 {
			t.Fatalf("%d rounds, want one for the first frame and one for the others", got)
		}
		l.Append(false, []byte("at once, since nothing was sent lately"))
		synctest.Wait()
		if got := l.Stats().Rounds; got != 3 {
			t.Errorf("%d rounds, want one more", got)
		}
	})
}
