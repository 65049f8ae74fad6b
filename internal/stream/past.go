package stream

import (
	"slices"
	"time"

	"sluice/media"
)

// Keep bounds what streams keep from before the GOP window. The zero value
// keeps nothing.
type Keep struct {
	Time  time.Duration // how far back
	Bytes int           // of one stream
	// Opening is for how long a stream keeps all that it has begun with, up to
	// 8 MiB: it goes live when its tracks are known, which can be more than a
	// GOP after its first packet.
	Opening time.Duration
}

// openingBytes bounds what is kept of the beginning of a stream.
const openingBytes = 8 << 20

// Keep makes the streams that begin from now on keep more than the GOP window,
// for those who ask [Stream.TapFrom].
func (r *Registry) Keep(k Keep) { r.keep.Store(&k) }

// past holds the packets that have left the window, whole GOPs of a stream with
// video.
type past struct {
	keep    Keep
	packets []*media.Packet
	starts  []int // where a group of packets begins that can be left out alone
	bytes   int
}

// add appends what leaves the window, and forgets what nobody needs any more
// to begin at that time before now.
func (b *past) add(packets []*media.Packet, now time.Duration) {
	keep := b.keep
	if now < keep.Opening {
		keep.Time, keep.Bytes = max(keep.Time, keep.Opening), max(keep.Bytes, openingBytes)
	}
	switch {
	case len(packets) == 0:
		return
	case keep.Time <= 0:
		*b = past{keep: keep}
		return
	}
	b.starts = append(b.starts, len(b.packets))
	b.packets = append(b.packets, packets...)
	for _, p := range packets {
		b.bytes += len(p.Body)
	}
	groups, n := 0, 0
	for groups < len(b.starts) {
		next, at := len(b.packets), now
		if groups+1 < len(b.starts) {
			next = b.starts[groups+1]
			at = b.packets[next].DTS
		}
		if now-at < keep.Time && b.bytes <= keep.Bytes {
			break
		}
		for ; n < next; n++ {
			b.bytes -= len(b.packets[n].Body)
		}
		groups++
	}
	b.packets = slices.Delete(b.packets, 0, n)
	b.starts = slices.Delete(b.starts, 0, groups)
	for i := range b.starts {
		b.starts[i] -= n
	}
}

// from returns the packets since the last group that begins at or before that
// time, or since the first.
func (b *past) from(at time.Duration) []*media.Packet {
	i := len(b.starts) - 1
	for i > 0 && b.packets[b.starts[i]].DTS > at {
		i--
	}
	if i < 0 {
		return nil
	}
	return b.packets[b.starts[i]:]
}

// from returns a copy of what is kept since the key frame at or before that
// long ago, or since the first. Nothing is kept where the window is empty.
func (w *window) from(before time.Duration) []*media.Packet {
	if len(w.packets) == 0 {
		return nil
	}
	at := w.packets[len(w.packets)-1].DTS - before
	if before <= 0 || w.packets[0].DTS <= at {
		return slices.Clone(w.packets)
	}
	return slices.Concat(w.past.from(at), w.packets)
}
