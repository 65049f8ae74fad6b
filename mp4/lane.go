package mp4

import (
	"math"
	"time"
)

// lane is a track that is being written.
type lane struct {
	Track

	scale   uint32
	samples []Sample
	seen    bool
	first   time.Duration // the DTS of the first sample
	early   time.Duration // what decoding times are set back by, so that no composition time is negative
	origin  time.Duration // the DTS, set back, at which media time is 0

	placed bool   // the first of the samples is placed at time
	time   uint64 // its media time
	last   uint32 // the last duration
	next   uint64 // where the next frame of sound follows without a gap
}

// take returns the samples whose durations are known, or all, and keeps the
// others.
func (l *lane) take(all bool) (Run, []Sample) {
	n := len(l.samples)
	if n == 0 || n == 1 && !all {
		return Run{}, nil
	}
	if !l.placed {
		l.time, l.placed = l.place(l.samples[0]), true
	}
	r := Run{Time: l.time, Samples: make([]Entry, 0, n)}
	for i, s := range l.samples {
		if i == n-1 && !all {
			break
		}
		e := Entry{Offset: l.offset(s.CTS + l.early), Size: uint32(len(s.Data)), Key: s.Key || !l.isVideo()} //nolint:gosec // up to MaxSample
		at := l.time
		if i == n-1 {
			l.time += uint64(l.nominal(s))
		} else {
			l.time = max(l.place(l.samples[i+1]), at)
		}
		e.Duration = uint32(min(l.time-at, math.MaxUint32)) //nolint:gosec // bounded here
		l.last = e.Duration
		r.Samples = append(r.Samples, e)
	}
	done := l.samples[:len(r.Samples)]
	l.samples = append([]Sample(nil), l.samples[len(r.Samples):]...)
	return r, done
}

// place returns the media time of the sample behind those that were placed.
func (l *lane) place(s Sample) uint64 {
	at := ticks(s.DTS-l.early-l.origin, l.scale)
	length := l.Samples(s.Data)
	if l.isVideo() || length == 0 {
		return at
	}
	slack := ticks(jitter, l.scale)
	if l.next > 0 && at+slack >= l.next && at <= l.next+slack {
		at = l.next
	}
	l.next = at + uint64(length)
	return at
}

// nominal returns the duration of the last sample of all.
func (l *lane) nominal(s Sample) uint32 {
	if n := l.Samples(s.Data); n > 0 && !l.isVideo() {
		return n
	}
	const unknown = 25 // a second
	if l.last == 0 || l.last > l.scale {
		return l.scale / unknown
	}
	return l.last
}

// offset returns a composition time in units of the timescale.
func (l *lane) offset(cts time.Duration) int32 {
	v := ticks(cts.Abs(), l.scale)
	if v > math.MaxInt32 {
		return 0
	}
	if cts < 0 {
		return -int32(v) //nolint:gosec // bounded above
	}
	return int32(v) //nolint:gosec // bounded above
}
