package stream

import (
	"time"

	"sluice/media"
)

// What the timeline takes for a jump of a publisher's clock, in milliseconds.
// Encoders stamp the frames of one track at most some hundred milliseconds
// apart; a longer step is believed when as much time has really passed, or
// when another track is there already.
const (
	maxGap  = 3000 // forwards within one track
	maxBack = 250  // backwards within one track: smaller steps are held still
	maxSkew = 5000 // between the first packets of two tracks
	slack   = 1000 // what a real pause may differ from the clock on the wall
)

// maxStep bounds the frame duration with which a track goes on after a jump.
const maxStep = 1000

// timeline turns the clocks of a publisher, one for each of its tracks, into
// the stream's: milliseconds from about 0 that never step back within a track,
// whatever the publisher's clocks do. It survives wraps at 2^32 and 2^24 and
// jumps both ways, after which audio and video keep their distance.
type timeline struct {
	clocks map[trackKey]*clock
	newest *clock // the one that moved last
	ready  bool   // false: begins may still be negative, until shift
}

type trackKey struct {
	kind media.Kind
	id   uint8
}

// clock is the state of one track.
type clock struct {
	in   int64 // the newest publisher's time, unwrapped
	off  int64 // out = in + off
	out  int64 // the newest time given out
	step int64 // between the newest two frames
	at   time.Time
}

func newTimeline() *timeline { return &timeline{clocks: make(map[trackKey]*clock)} }

// place returns the time on the timeline of a packet that the publisher
// stamped raw and that came in at that moment.
func (t *timeline) place(k trackKey, raw uint32, at time.Time) int64 {
	c := t.clocks[k]
	if c == nil {
		c = t.begin(raw)
		t.clocks[k] = c
	} else {
		t.advance(c, raw, at)
	}
	if t.ready {
		c.out = max(c.out, 0)
	}
	c.at = at
	t.newest = c
	return c.out
}

// begin returns the clock of a new track, set by that of the others unless
// the two have nothing to do with each other.
func (t *timeline) begin(raw uint32) *clock {
	ref := t.newest
	if ref == nil {
		return &clock{in: int64(raw), off: -int64(raw)}
	}
	in := unwrap(ref.in, raw)
	off := ref.off
	if d := in + off - ref.out; d > maxSkew || d < -maxSkew {
		off = ref.out - in
	}
	return &clock{in: in, off: off, out: in + off}
}

func (t *timeline) advance(c *clock, raw uint32, at time.Time) {
	in := unwrap(c.in, raw)
	if t.jumps(c, in+c.off, at) {
		c.off = t.rebase(c, in)
	}
	out := max(in+c.off, c.out)
	if d := out - c.out; d > 0 {
		c.step = min(d, maxStep)
	}
	c.in, c.out = in, out
}

// jumps tells whether a step to out is a fault of the publisher's clock and
// not a pause.
func (t *timeline) jumps(c *clock, out int64, at time.Time) bool {
	d := out - c.out
	switch {
	case d < -maxBack:
		return true
	case d <= maxGap, d <= at.Sub(c.at).Milliseconds()+slack:
		return false
	}
	for _, o := range t.clocks {
		if o != c && out <= o.out+slack {
			return false
		}
	}
	return true
}

// rebase returns the offset with which c goes on after a jump to in: that of a
// track which has made the same jump already, so that they stay together, or
// one that puts the packet a frame behind the one before.
func (t *timeline) rebase(c *clock, in int64) int64 {
	for _, o := range t.clocks {
		if d := in + o.off - c.out; o != c && o.off != c.off && d >= -maxBack && d <= maxGap {
			return o.off
		}
	}
	return c.out + c.step - in
}

// placeData returns the time of script data, which follows the clock of the
// media around it and never sets it.
func (t *timeline) placeData(raw uint32) int64 {
	if t.newest == nil {
		return 0
	}
	out := unwrap(t.newest.in, raw) + t.newest.off
	if d := out - t.newest.out; d < -slack || d > slack {
		out = t.newest.out
	}
	return max(out, 0)
}

// start moves all clocks by d and forbids negative times from now on.
func (t *timeline) start(d int64) {
	for _, c := range t.clocks {
		c.off += d
		c.out += d
	}
	t.ready = true
}

// unwrap returns the time nearest to ref that is raw modulo 2^32.
func unwrap(ref int64, raw uint32) int64 {
	return ref + int64(int32(raw-uint32(ref))) //nolint:gosec // modular on purpose
}
