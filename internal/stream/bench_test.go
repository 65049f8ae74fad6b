package stream_test

import (
	"fmt"
	"testing"

	"sluice/internal/stream"
	"sluice/media"
)

// nobody is a viewer that costs nothing.
type nobody struct{}

func (nobody) Packet(*media.Packet) {}
func (nobody) End(error)            {}

// endless is a publisher of audio and video that never ends: a key frame each
// second, sound between the frames.
type endless struct {
	p       *stream.Publisher
	packets [3]media.Packet
	n       uint32
}

func newEndless(tb testing.TB, viewers int) *endless {
	tb.Helper()
	r := newRegistry()
	p, err := r.Publish(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.End(nil) })
	for _, pkt := range []media.Packet{avcConfig(1), aacConfig(1), key(0), aac(0)} {
		if err := p.Write(pkt); err != nil {
			tb.Fatal(err)
		}
	}
	s := r.Find(path)
	for range viewers {
		if _, _, err := s.Tap(nobody{}); err != nil {
			tb.Fatal(err)
		}
	}
	return &endless{p: p, packets: [...]media.Packet{sized(key(0), 50_000), sized(inter(0), 8000), sized(aac(0), 300)}}
}

func (e *endless) write(tb testing.TB) {
	tb.Helper()
	e.n++
	pkt := e.packets[1+e.n%2]
	if e.n%50 == 0 {
		pkt = e.packets[0]
	}
	pkt.DTS = ms(e.n * 20)
	if err := e.p.Write(pkt); err != nil {
		tb.Fatal(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, viewers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("taps=%d", viewers), func(b *testing.B) {
			e := newEndless(b, viewers)
			b.ReportAllocs()
			for b.Loop() {
				e.write(b)
			}
		})
	}
}

func TestAWriteAllocatesThePacketAndNothingElse(t *testing.T) {
	e := newEndless(t, 10)
	for range 100 { // the window has its size
		e.write(t)
	}
	if n := testing.AllocsPerRun(1000, func() { e.write(t) }); n > 1 {
		t.Errorf("a write allocates %v times, want once", n)
	}
}
