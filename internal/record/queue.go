package record

import (
	"sync"
	"time"

	"sluice/media"
)

const (
	// maxQueue is how many bytes of media may wait for the disk, what is being
	// written included: 64 s of 4 Mbit/s. A recording whose disk is further
	// behind has a gap.
	maxQueue = 32 << 20
	// maxQueued is how many packets may wait.
	maxQueued = 1 << 17
	// batchSize is how many waiting bytes wake the writer before its time.
	batchSize = 512 << 10
)

// queue takes the packets of a stream for the goroutine that writes them. The
// publisher only ever appends to it, and never waits. When too much waits,
// what follows is left out until all of that has been written and, where there
// is video, the next key frame comes.
type queue struct {
	some chan struct{} // holds a token while packets wait
	due  chan struct{} // holds a token while a batch waits or the end has come
	over chan struct{} // closed when the end has come

	mu      sync.Mutex // guards all below
	packets []*media.Packet
	bytes   int
	writing int // bytes that were taken and are not written yet
	ended   bool
	reason  error // why it ended; nil is an end without one
	video   bool  // there are key frames to wait for
	gap     bool  // packets are left out
	from    time.Duration
	gaps    gaps
}

// gaps is what was left out.
type gaps struct {
	n    int
	lost time.Duration // of media
}

func newQueue() *queue {
	return &queue{some: make(chan struct{}, 1), due: make(chan struct{}, 1), over: make(chan struct{})}
}

// Packet implements [stream.Tap].
func (q *queue) Packet(p *media.Packet) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return
	}
	if !q.fits(p) {
		return
	}
	q.packets = append(q.packets, p)
	q.bytes += len(p.Body)
	put(q.some)
	if q.bytes >= batchSize {
		put(q.due)
	}
}

// fits tells whether a packet is taken, and counts what is not. mu is held.
func (q *queue) fits(p *media.Packet) bool {
	switch {
	case q.gap:
		q.gap = len(q.packets) > 0 || q.writing > 0 || p.Kind == media.Data || q.video && !isKey(p)
		q.gaps.lost += max(p.DTS-q.from, 0)
		q.from = max(p.DTS, q.from)
	case q.bytes+q.writing+len(p.Body) > maxQueue || len(q.packets) == maxQueued:
		q.gap, q.from = true, p.DTS
		q.gaps.n++
	}
	return !q.gap
}

// missing returns what was left out since that was last taken, and takes it if
// take is set.
func (q *queue) missing(take bool) gaps {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := q.gaps
	if take {
		q.gaps = gaps{}
	}
	return g
}

// isKey tells whether a file can begin with a packet if there is video.
func isKey(p *media.Packet) bool { return p.Kind == media.Video && p.Key && p.Track == 0 }

// End implements [stream.Tap]. It also ends the recording for any other
// reason. Only the first call counts.
func (q *queue) End(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endLocked(reason)
}

func (q *queue) endLocked(reason error) {
	if q.ended {
		return
	}
	q.ended, q.reason = true, reason
	close(q.over)
	put(q.due)
}

func put(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is there
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default: // it was taken
	}
}

// wait returns when packets have waited for that time, when a batch waits, or
// when the end has come. While nothing comes it costs nothing.
func (q *queue) wait(most time.Duration) {
	select {
	case <-q.due:
		return
	case <-q.some:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-q.due:
	case <-timer.C:
	}
}

// state tells whether the end has come, and why.
func (q *queue) state() (ended bool, reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended, q.reason
}

// take returns what waits and whether nothing follows it. spare, a batch that
// was written, becomes the queue's next slice.
func (q *queue) take(spare []*media.Packet) (batch []*media.Packet, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	drain(q.some)
	drain(q.due)
	batch, q.packets = q.packets, spare[:0]
	q.bytes, q.writing = 0, q.bytes
	return batch, q.ended
}

// written says that what was taken is written, and needed no more.
func (q *queue) written(batch []*media.Packet) {
	clear(batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = 0
}
