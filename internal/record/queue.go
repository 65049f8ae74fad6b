package record

import (
	"sync"
	"time"

	"sluice/internal/session"
	"sluice/media"
)

const (
	// maxQueue is how many bytes of media may wait for the disk: 64 s of
	// 4 Mbit/s. A recording whose disk is further behind has failed.
	maxQueue = 32 << 20
	// maxQueued is how many packets may wait.
	maxQueued = 1 << 17
	// batchSize is how many waiting bytes wake the writer before its time.
	batchSize = 512 << 10
)

// errSlow ends a recording whose disk does not keep up.
var errSlow error = session.NewReason("disk_slow", "the disk is too slow: too much was waiting to be written")

// queue takes the packets of a stream for the goroutine that writes them. The
// publisher only ever appends to it, and never waits.
type queue struct {
	some chan struct{} // holds a token while packets wait
	due  chan struct{} // holds a token while a batch waits or the end has come

	mu      sync.Mutex // guards all below
	packets []*media.Packet
	bytes   int
	ended   bool
	reason  error // why it ended; nil is an end without one
}

func newQueue() *queue {
	return &queue{some: make(chan struct{}, 1), due: make(chan struct{}, 1)}
}

// Packet implements [stream.Tap].
func (q *queue) Packet(p *media.Packet) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return
	}
	if q.bytes+len(p.Body) > maxQueue || len(q.packets) == maxQueued {
		q.endLocked(errSlow)
		return
	}
	q.packets = append(q.packets, p)
	q.bytes += len(p.Body)
	put(q.some)
	if q.bytes >= batchSize {
		put(q.due)
	}
}

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

// take returns what waits and whether nothing follows it. spare, which the
// caller no longer needs, becomes the queue's next slice.
func (q *queue) take(spare []*media.Packet) (batch []*media.Packet, ended bool) {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	drain(q.some)
	drain(q.due)
	batch, q.packets, q.bytes = q.packets, spare[:0], 0
	return batch, q.ended
}
