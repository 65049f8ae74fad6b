package stream_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
	"sluice/media"
)

func TestATapGetsEverythingBehindTheWindowInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		first := tap(t, s)
		write(t, p, inter(40))
		second := tap(t, s)
		write(t, p, aac(23), script(30), onMetaData("new"))
		want := []string{"key 0", "audio 0", "video 40", "audio 23", "data 30", "metadata 0"}
		for i, v := range []*viewer{first, second} {
			if diff := cmp.Diff(want, v.names()); diff != "" {
				t.Errorf("viewer %d (-want +got):\n%s", i, diff)
			}
		}
		if first.packets[3] != second.packets[3] {
			t.Error("the viewers got copies, not the packet")
		}
	})
}

func TestATapThatIsDetachedIsNotCalledAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		gone, stays := tap(t, s), tap(t, s)
		gone.detach()
		gone.detach()
		write(t, p, inter(40))
		p.End(nil)
		gone.detach()
		if len(gone.packets) != gone.window || len(gone.reasons) != 0 {
			t.Errorf("the detached viewer got %v and was ended with %v", gone.names(), gone.reasons)
		}
		if len(stays.packets) != stays.window+1 || len(stays.reasons) != 1 {
			t.Errorf("the other viewer got %v and was ended with %v", stays.names(), stays.reasons)
		}
	})
}

func TestEveryTapIsEndedOnceWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		reason := errors.New("kicked by an operator")
		p.End(reason)
		p.End(nil)
		if len(v.reasons) != 1 || !errors.Is(v.reasons[0], reason) || !errors.Is(s.Err(), reason) {
			t.Errorf("the viewer was ended with %v, the stream with %v", v.reasons, s.Err())
		}
	})
}

func TestTapAfterTheEndReturnsItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		p.End(stream.ErrUnpublished)
		window, detach, err := s.Tap(&viewer{})
		if window != nil || detach != nil || !errors.Is(err, stream.ErrUnpublished) {
			t.Errorf("Tap() = %v, error %v", names(window), err)
		}
	})
}

// tapFunc is a Tap that cannot be compared.
type tapFunc func(*media.Packet)

func (f tapFunc) Packet(p *media.Packet) { f(p) }
func (f tapFunc) End(error)              {}

func TestATapNeedNotBeComparable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		n := 0
		_, detach, err := s.Tap(tapFunc(func(*media.Packet) { n++ }))
		if err != nil {
			t.Fatal(err)
		}
		write(t, p, inter(40))
		detach()
		write(t, p, inter(80))
		if n != 1 {
			t.Errorf("it got %d packets, want 1", n)
		}
	})
}

func TestATapThatIsThereTwiceIsDetachedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := &viewer{}
		_, first, err := s.Tap(v)
		if err != nil {
			t.Fatal(err)
		}
		_, second, err := s.Tap(v)
		if err != nil {
			t.Fatal(err)
		}
		first()
		first()
		write(t, p, inter(40))
		second()
		write(t, p, inter(80))
		if diff := cmp.Diff([]string{"video 40"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

// tally checks what a Tap gets while others come and go: each packet behind
// its window once and in order.
type tally struct {
	mu      sync.Mutex
	next    int64
	reasons int
	err     error
}

func (c *tally) Packet(p *media.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := p.DTS.Milliseconds(); c.next >= 0 && at != c.next && c.err == nil {
		c.err = fmt.Errorf("got packet %d, want %d", at, c.next)
	}
	c.next = p.DTS.Milliseconds() + 1
}

func (c *tally) End(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reasons++
}

// begin takes the window. It holds the lock from before Tap on, since packets
// come in from that moment.
func (c *tally) begin(s *stream.Stream) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = -1
	window, detach, err := s.Tap(c)
	if err != nil {
		return nil, err
	}
	for i, p := range window {
		at := p.DTS.Milliseconds()
		if i == 0 && !p.Key || i > 0 && at != c.next {
			return detach, fmt.Errorf("packet %d of the window is %s, want %d", i, name(p), c.next)
		}
		c.next = at + 1
	}
	return detach, nil
}

func (c *tally) check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func TestTapsComeAndGoWhileThePublisherWrites(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	p, s := live(t, r, 0)
	write(t, p, key(1))
	var stop atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		defer p.End(stream.ErrUnpublished)
		for at := uint32(2); !stop.Load() || at < 5000; at++ {
			pkt := inter(at)
			switch {
			case at%50 == 0:
				pkt = key(at)
			case at%3 == 0:
				pkt = aac(at)
			}
			if err := p.Write(pkt); err != nil {
				t.Errorf("Write() error = %v", err)
				return
			}
		}
	})
	var viewers sync.WaitGroup
	for range 4 {
		viewers.Go(func() {
			for range 300 {
				c := &tally{}
				detach, err := c.begin(s)
				for range 5 {
					runtime.Gosched()
				}
				if err == nil {
					detach()
					err = c.check()
				}
				if err != nil || c.reasons != 0 {
					t.Errorf("a viewer: %v, ended %d times", err, c.reasons)
					return
				}
			}
		})
	}
	stays := &tally{}
	if _, err := stays.begin(s); err != nil {
		t.Error(err)
	}
	viewers.Wait()
	stop.Store(true)
	work.Wait()
	if err := stays.check(); err != nil || stays.reasons != 1 {
		t.Errorf("the viewer that stays: %v, ended %d times", err, stays.reasons)
	}
}

func TestAPublisherIsEndedFromAnotherGoroutineWhileItWrites(t *testing.T) {
	t.Parallel()
	for range 200 {
		r := newRegistry()
		p, s := live(t, r, 0)
		v := tap(t, s)
		reason := errors.New("kicked by an operator")
		var work sync.WaitGroup
		work.Go(func() {
			for at := uint32(40); ; at += 40 {
				pkts := []media.Packet{inter(at), aac(at), avcConfig(byte(at)), key(at), onMetaData(fmt.Sprint(at))}
				for _, pkt := range pkts {
					if err := p.Write(pkt); err != nil {
						if !errors.Is(err, reason) {
							t.Errorf("Write() error = %v, want the reason of the end", err)
						}
						return
					}
				}
			}
		})
		for range 3 {
			work.Go(func() { p.End(reason) })
		}
		work.Go(func() {
			for range 10 {
				_, _ = r.Find(path), slices.Collect(slices.Values(r.Streams()))
				_, _ = s.Metadata(), s.Bytes()
			}
		})
		work.Wait()
		<-s.Done()
		if len(v.reasons) != 1 {
			t.Errorf("the viewer was ended %d times", len(v.reasons))
		}
		if s := r.Find(path); s != nil {
			t.Error("a stream is still live")
		}
	}
}
