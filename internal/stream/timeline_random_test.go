package stream_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sluice/media"
)

// encoder is a publisher whose clock jumps. Its packets come in as the media
// passes, the sound a constant while earlier or later than the picture.
type encoder struct {
	rand  *rand.Rand
	clock uint32 // added to the time of the media
	lag   int64  // of the sound, in arrival
	burst bool   // no time passes on the wall
	drop  int    // one frame of so many begins a pause of up to a second; 0: none

	video, audio int64 // the media time of the next packets
	paused       int64 // the media time at which the newest pause ends
	settled      int64 // the media time at which both tracks have gone on for a while
}

const (
	videoStep = 40
	audioStep = 23
)

func newEncoder(seed uint64) *encoder {
	r := rand.New(rand.NewPCG(seed, 1))
	e := &encoder{rand: r, clock: r.Uint32(), lag: r.Int64N(800) - 400, burst: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		e.drop = 30
	}
	return e
}

// next returns the next packet and its time in the media.
func (e *encoder) next() (media.Packet, int64) {
	if e.audio+e.lag < e.video {
		at := e.audio
		e.audio = e.pause(e.audio + audioStep)
		return aac(e.clock + uint32(at)), at
	}
	at := e.video
	e.video = e.pause(e.video + videoStep)
	if at == 0 || e.rand.IntN(50) == 0 {
		return key(e.clock + uint32(at)), at
	}
	return inter(e.clock + uint32(at)), at
}

// pause returns when the frame that is due comes, after those that were lost.
func (e *encoder) pause(due int64) int64 {
	if e.drop > 0 && e.rand.IntN(e.drop) == 0 && due > e.settled {
		due += e.rand.Int64N(1000)
		e.paused = max(e.paused, due)
	}
	return due
}

// jump moves the clock, by anything from a little to half a turn.
// Nothing tells what belongs together when it does so twice within a frame, or
// back by a little just when one track has lost that much, so that it does
// neither.
func (e *encoder) jump() {
	e.settled = max(e.video, e.audio) + 2000
	switch e.rand.IntN(6) {
	case 0: // by a little, either way
		e.clock += e.rand.Uint32N(1000) - 500
	case 1: // by about the length that makes a jump
		e.clock += 2900 + e.rand.Uint32N(200)
	case 2:
		e.clock -= 200 + e.rand.Uint32N(100)
	case 3: // by a minute
		e.clock += e.rand.Uint32N(120_000) - 60_000
	case 4: // to zero
		e.clock = -uint32(e.video)
	default:
		e.clock = e.rand.Uint32()
	}
}

func TestWhateverThePublishersClockDoesTheTimelineRunsOn(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runEncoder(t, newEncoder(seed)) })
		})
	}
}

// runEncoder publishes three minutes and compares what a viewer gets with the
// true times of the media.
func runEncoder(t *testing.T, e *encoder) {
	t.Helper()
	r := newRegistry()
	p := publish(t, r)
	write(t, p, avcConfig(1), aacConfig(1))
	v := &viewer{}
	last := map[media.Kind]int64{}
	offset := map[media.Kind]int64{}
	for e.video < 180_000 {
		if s := r.Find(path); s != nil && v.detach == nil {
			v = tap(t, s)
			for _, p := range v.packets {
				last[p.Kind] = p.DTS.Milliseconds()
			}
		}
		calm := e.video > e.settled-1000 && min(e.video, e.audio) > e.paused
		if calm && v.detach != nil && e.rand.IntN(100) == 0 {
			e.jump()
		}
		pkt, at := e.next()
		if !e.burst && pkt.Kind == media.Video {
			pass(videoStep * time.Millisecond)
		}
		write(t, p, pkt)
		if v.detach == nil {
			continue
		}
		out := v.packets[len(v.packets)-1].DTS.Milliseconds()
		was, begun := last[pkt.Kind]
		if front := max(last[media.Video], last[media.Audio]); out < was || begun && out > front+3000 {
			t.Fatalf("the %v at %d ms goes from %d to %d", pkt.Kind, at, was, out)
		}
		last[pkt.Kind] = out
		offset[pkt.Kind] = out - at
		if apart := offset[media.Video] - offset[media.Audio]; at > e.settled && (apart > videoStep || apart < -videoStep) {
			t.Fatalf("at %d ms, clock %d: the picture is %d ms later than the sound (lag %d)", at, e.clock, apart, e.lag)
		}
		v.packets = v.packets[:0]
	}
	if s := r.Find(path); s == nil || s.Err() != nil {
		t.Error("the stream ended")
	}
}

func TestGarbageTimesNeverStepBack(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			p, s := live(t, newRegistry(), r.Uint32())
			v := tap(t, s)
			last := map[string]time.Duration{}
			at := map[string]time.Time{}
			newest := time.Duration(0)
			base := r.Uint32()
			for range 2000 {
				if r.IntN(10) == 0 {
					base = r.Uint32()
				}
				if r.IntN(100) == 0 {
					pass(time.Duration(r.Int64N(int64(time.Minute))))
				}
				raw := base + r.Uint32N(10_000)
				pkt := []media.Packet{inter(raw), aac(raw), script(raw)}[r.IntN(3)]
				write(t, p, pkt)
				out := v.packets[len(v.packets)-1].DTS
				kind := pkt.Kind.String()
				step, since := out-last[kind], time.Since(at[kind])
				// A track goes on where another one is already.
				limit := max(newest+3*time.Second-last[kind], since+time.Second)
				if step < 0 || last[kind] > 0 && pkt.Kind != media.Data && step > limit {
					t.Fatalf("seed %d: %s goes from %v to %v after %v", seed, kind, last[kind], out, since)
				}
				last[kind], at[kind] = out, time.Now()
				if pkt.Kind != media.Data {
					newest = max(newest, out)
				}
				v.packets = v.packets[:0]
			}
		})
	}
}
