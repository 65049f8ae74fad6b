package demo

import (
	"context"
	"slices"
	"time"

	"sluice/media"
)

// Steps of a file's clock that are jumps and no time that passes. An encoder
// whose clock jumps does not wait either.
const (
	maxStepBack    = time.Second
	maxStepForward = 10 * time.Second
)

// defaultFrame is how long a frame lasts where the file does not tell.
const defaultFrame = 40 * time.Millisecond

// timeline lays the passes of a loop end to end. Its times do not wrap. The
// zero value is ready for the first pass.
type timeline struct {
	passes int
	shift  time.Duration // from the file's clock to this one
	begun  bool          // there was a frame in this pass
	last   time.Duration // the newest frame, on the file's clock
	placed time.Duration // the newest frame, on this clock
	spans  [2]span       // sound and picture in this pass, on the file's clock
}

// place returns the time of a packet that the file has at dts, and whether it
// is one to wait for: a frame. What stands between frames goes with them.
func (t *timeline) place(dts time.Duration, p *media.Packet) (at time.Duration, timed bool) {
	timed = p.Type == media.Frame && p.Kind != media.Data
	switch {
	case t.begun: // wrapping at 2^32
		step := int32(uint32(dts.Milliseconds()) - uint32(t.last.Milliseconds()))
		dts = t.last + time.Duration(step)*time.Millisecond
	case !timed && t.passes > 0:
		return t.placed, false
	}
	if !timed {
		return dts + t.shift, false
	}
	t.begun, t.last, t.placed = true, dts, dts+t.shift
	if p.Kind == media.Audio {
		t.spans[0].add(dts)
	} else {
		t.spans[1].add(dts)
	}
	return t.placed, true
}

// again begins the next pass where the track that ends last ends. There must
// have been a frame in this one.
func (t *timeline) again() {
	var begins, ends []time.Duration
	for _, s := range t.spans {
		if s.frames > 0 {
			begins, ends = append(begins, s.first), append(ends, s.end())
		}
	}
	t.shift += slices.Max(ends) - slices.Min(begins)
	*t = timeline{passes: t.passes + 1, shift: t.shift, placed: t.placed}
}

// span is the time that one track takes in a pass.
type span struct {
	frames      int
	first, last time.Duration
	steps       int // between frames, without jumps
	sum         time.Duration
}

func (s *span) add(dts time.Duration) {
	if s.frames == 0 {
		s.first = dts
	} else if step := dts - s.last; step > 0 && step < maxStepBack {
		s.steps++
		s.sum += step
	}
	s.frames++
	s.last = dts
}

// end is when the last frame ends, if it lasts as long as the others on
// average: the single steps are rounded to milliseconds.
func (s *span) end() time.Duration {
	frame := defaultFrame
	if s.steps > 0 {
		frame = s.sum / time.Duration(s.steps)
	}
	return (s.last + frame).Round(time.Millisecond)
}

// pace holds frames back until they are due, by the first one and a steady
// clock. The zero value waits for nothing until it has seen a frame.
type pace struct {
	begun  bool
	start  time.Time     // when origin was due
	origin time.Duration // a time on the timeline
	last   time.Duration // what was waited for
}

// wait returns when at is due.
func (p *pace) wait(ctx context.Context, at time.Duration) error {
	if !p.begun {
		*p = pace{begun: true, start: time.Now(), origin: at, last: at}
		return nil
	}
	if step := at - p.last; step > maxStepForward || step < -maxStepBack {
		p.origin += step
	}
	p.last = at
	left := time.Until(p.start.Add(at - p.origin))
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
