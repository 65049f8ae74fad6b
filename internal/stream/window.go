package stream

import (
	"time"

	"sluice/media"
)

// window holds the packets since the newest key frame, or the newest second
// of a stream without video, so that a viewer can begin there.
type window struct {
	limits  Limits
	video   bool // the stream has video: it begins at its key frames
	packets []*media.Packet
	bytes   int
	past    past
}

// add appends p. A key frame begins the window anew; a window that outgrows
// its limits is emptied and stays so until the next key frame.
func (w *window) add(p *media.Packet) {
	switch {
	case w.video && p.Key && p.Track == 0:
		w.past.add(w.packets, p.DTS)
		w.clear()
	case w.video && len(w.packets) == 0:
		return // behind an overflow: no key frame to begin at
	}
	w.packets = append(w.packets, p)
	w.bytes += len(p.Body)
	if !w.video {
		w.trim(p.DTS - w.limits.AudioWindow)
	}
	first := w.packets[0]
	if w.bytes > w.limits.WindowBytes || len(w.packets) > w.limits.WindowPackets ||
		p.DTS-first.DTS > w.limits.WindowTime {
		w.reset()
	}
}

// trim forgets packets before that time.
func (w *window) trim(before time.Duration) {
	n := 0
	for n < len(w.packets)-1 && w.packets[n].DTS < before {
		w.bytes -= len(w.packets[n].Body)
		n++
	}
	if n == 0 {
		return
	}
	w.past.add(w.packets[:n], w.packets[n].DTS)
	// Snapshots are copies, so that moving the rest down disturbs nobody.
	w.packets = w.packets[:copy(w.packets, w.packets[n:])]
}

// reset forgets everything.
func (w *window) reset() {
	w.clear()
	w.past = past{keep: w.past.keep}
}

// clear forgets the packets since the newest key frame.
func (w *window) clear() {
	clear(w.packets)
	w.packets = w.packets[:0]
	w.bytes = 0
}
