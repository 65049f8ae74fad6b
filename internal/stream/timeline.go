package stream

import (
	"time"

	"sluice/media"
)

// What the timeline takes for a jump of a publisher's clock, in milliseconds.
// Encoders stamp the frames of one track at most some hundred milliseconds
// apart; a longer step is believed when as much time has really passed, or
// when another track is about there already.
const (
	maxGap  = 3000 // forwards of the newest time of all tracks
	maxBack = 250  // backwards within one track: smaller steps are held still
	maxSkew = 5000 // between the first packets of two tracks
	slack   = 1000 // what a real pause may differ from the clock on the wall
)

// maxStep is the longest step that may be the duration of a frame, with which
// a track goes on after a jump.
const maxStep = 1000

// maxWait is how long a track is held still at most behind a jump, so that it
// keeps its distance to one that has jumped before it.
const maxWait = 1000

// Players in browsers count the milliseconds of FLV in 31 bits: beyond that the
// sound is gone. A timeline ends before, at a key frame if one comes in time.
const (
	timelineEnd = 1 << 31
	endAtKey    = timelineEnd - 10*60_000
	endAnyway   = timelineEnd - 60_000
)

// timeline turns the clocks of a publisher, one for each of its tracks, into
// the stream's: milliseconds from about 0 that never step back within a track,
// whatever the publisher's clocks do. It survives wraps at 2^32 and 2^24 and
// jumps both ways, after which audio and video keep their distance.
type timeline struct {
	clocks []*clock
	newest *clock // the one that moved last
	data   int64  // the newest time given out to what has no clock
	ready  bool   // false: begins may still be negative, until start
}

type trackKey struct {
	kind media.Kind
	id   uint8
}

// clock is the state of one track.
type clock struct {
	track trackKey
	in    int64 // the newest publisher's time, unwrapped
	off   int64 // out = in + off
	out   int64 // the newest time given out
	last  int64 // the newest step that may be the duration of a frame
	step  int64 // the shorter of the newest two: what a frame lasts, even behind a lost one
	at    time.Time
}

// longAgo is before any time, but far enough from the least number to be moved.
const longAgo = -1 << 62

func newTimeline() *timeline { return &timeline{data: longAgo} }

// place returns the time on the timeline of a packet that the publisher
// stamped raw and that came in at that moment.
func (t *timeline) place(k trackKey, raw uint32, at time.Time) int64 {
	c := t.find(k)
	if c == nil {
		c = t.begin(k, raw)
		t.clocks = append(t.clocks, c)
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

func (t *timeline) find(k trackKey) *clock {
	for _, c := range t.clocks {
		if c.track == k {
			return c
		}
	}
	return nil
}

// begin returns the clock of a new track, set by that of the others unless
// the two have nothing to do with each other.
func (t *timeline) begin(k trackKey, raw uint32) *clock {
	ref := t.newest
	if ref == nil {
		return &clock{track: k, in: int64(raw), off: -int64(raw)}
	}
	in := unwrap(ref.in, raw)
	off := ref.off
	if d := in + off - ref.out; d > maxSkew || d < -maxSkew {
		off = ref.out - in
	}
	return &clock{track: k, in: in, off: off, out: in + off}
}

func (t *timeline) advance(c *clock, raw uint32, at time.Time) {
	in := unwrap(c.in, raw)
	c.off = t.offset(c, in, at)
	out := max(in+c.off, c.out)
	if d := out - c.out; d > 0 && d <= maxStep {
		c.step = d
		if c.last > 0 {
			c.step = min(d, c.last)
		}
		c.last = d
	}
	c.in, c.out = in, out
}

// offset returns the offset with which c goes on at in. Where another track
// has one with which the packet lies closer to where it was due, that track
// has made a jump already and c makes the same: whether each of them would
// have called it a jump does not matter, so that they stay together.
func (t *timeline) offset(c *clock, in int64, at time.Time) int64 {
	off, miss := c.off, distance(in+c.off, c.out+c.step)
	if t.jumps(c, in+c.off, at) {
		off, miss = c.out+c.step-in, maxGap
	}
	for _, o := range t.clocks {
		d, m := in+o.off-c.out, distance(in+o.off, c.out+c.step)
		if o.off != c.off && m < miss && d >= -maxWait && d <= maxGap {
			off, miss = o.off, m
		}
	}
	return off
}

// jumps tells whether a step to out is a fault of the publisher's clock and
// not a pause.
func (t *timeline) jumps(c *clock, out int64, at time.Time) bool {
	if out < c.out-maxBack {
		return true
	}
	front := c.out
	for _, o := range t.clocks {
		front = max(front, o.out)
	}
	return out > front+maxGap && out-c.out > at.Sub(c.at).Milliseconds()+slack
}

// follow returns the time of a packet that has no clock of its own, such as
// script data: it goes by that of the media around it and never sets it.
func (t *timeline) follow(raw uint32) int64 {
	if t.newest == nil {
		return 0
	}
	out := unwrap(t.newest.in, raw) + t.newest.off
	if d := out - t.newest.out; d < -slack || d > slack {
		out = t.newest.out
	}
	if t.ready {
		out = max(out, 0)
	}
	t.data = max(t.data, out)
	return t.data
}

// start moves all clocks by d and forbids negative times from now on.
func (t *timeline) start(d int64) {
	for _, c := range t.clocks {
		c.off += d
		c.out += d
	}
	t.data += d
	t.ready = true
}

// unwrap returns the time nearest to ref that is raw modulo 2^32.
func unwrap(ref int64, raw uint32) int64 {
	return ref + int64(int32(raw-uint32(ref))) //nolint:gosec // modular on purpose
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// isFull tells whether the timeline has to end with the next frame, at which a
// stream may begin or not.
func (t *timeline) isFull(mayBegin bool) bool {
	return t.newest != nil && (t.newest.out >= endAnyway || mayBegin && t.newest.out >= endAtKey)
}
