// Package fanout sends one log of bytes to many connections. It knows nothing
// of media: whoever appends says where a reader may begin.
//
//	Append ──▶ Log ──▶ waker ──▶ Viewer ──▶ one write of all that is due
//	           blocks   (one       Viewer ──▶ …
//	                  a log)       Viewer ──▶ …
//
// Appending costs the same whatever the number of viewers: it signals the
// waker and is done. A viewer costs a goroutine, a cursor and its writes.
package fanout

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/socket"
)

// How a log grows: its first blocks are small, so that a thousand quiet
// streams weigh little, and double while they are full too soon. At the end of
// each block every viewer needs two writes instead of one.
const (
	minBlock  = 64 << 10
	maxBlock  = 1 << 20
	blockTime = 4 * time.Second
)

// How exactly a log knows when its bytes were appended: to 100 ms, or to a
// part of the lag that it allows.
const (
	markEvery  = 100 * time.Millisecond
	marksInLag = 10
)

// Budget bounds the bytes of all logs that share it. It is safe for
// concurrent use.
type Budget struct {
	max  int64
	logs atomic.Int64
	used atomic.Int64 // by blocks, those included that a viewer still holds
}

// NewBudget returns a budget of that many bytes. It is kept but for one block
// of each log, and what viewers hold on to of forgotten blocks for half a
// second.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// exceeded tells whether a log that holds that many bytes has to give some up:
// when all is used, and it has more than its share.
func (b *Budget) exceeded(held int64) bool {
	return b.used.Load() > b.max && held > b.max/max(1, b.logs.Load())
}

// Options are the settings of a log.
type Options struct {
	Framing Framing
	// Pace says how often viewers are written to.
	Pace Pace
	// MaxLag is how far a viewer may be behind before it is moved to the
	// newest key position.
	MaxLag time.Duration
	// Budget bounds the memory of the log, together with others.
	Budget *Budget
	// Rings send for many viewers at a time; nil sends for one after the
	// other.
	Rings *socket.Rings
}

// Log is an append-only sequence of bytes in one framing, read by any number
// of viewers. Positions count from 0 and never change; old bytes are forgotten.
// One goroutine appends, everything else is safe for concurrent use.
type Log struct {
	opts  Options
	start time.Time
	dirty chan struct{} // there is something to send
	done  chan struct{} // closed by End
	idle  chan struct{} // closed when the waker has returned

	mu       sync.Mutex // guards all below
	blocks   []*block   // oldest first, the last one open
	held     int64      // bytes of memory in blocks
	ghosts   []*block   // forgotten blocks to which stuck viewers hold on, oldest first
	head     int64      // behind the newest byte
	released int64      // viewers may have all before
	key      int64      // the newest position at which a viewer can begin
	hasKey   bool
	horizon  int64 // where a viewer that is MaxLag behind would stand
	marks    []mark
	due      queue // wait for bytes
	keyless  queue // wait for a key position
	round    int   // viewers of this round that have not written yet
	finished chan struct{}
	err      error
	stats    Stats
}

// Stats counts what a log has done.
type Stats struct {
	Bytes  int64         // appended, frames included
	Rounds int64         // of waking the viewers
	Moved  int64         // viewers that lagged and were moved to a key position
	Gap    time.Duration // the newest time between two rounds
}

// block is a run of whole appends. Its bytes are never written again, so that
// viewers share them without a copy.
type block struct {
	base int64
	buf  []byte
	ends []uint32 // where each append ends in buf

	began time.Duration // since the log's start

	pins   int  // viewers that are stuck in it
	ghost  bool // it is forgotten but for those
	doomed bool // they have to go
}

func (b *block) end() int64 { return b.base + int64(len(b.buf)) }

// mark remembers when a position was reached.
type mark struct {
	pos int64
	at  time.Duration // since the log's start
}

// NewLog returns an empty log and starts its waker, which ends some time after
// [Log.End]; [Log.Wait] waits for it.
func NewLog(o Options) *Log {
	l := &Log{
		opts: o, start: time.Now(),
		dirty: make(chan struct{}, 1), done: make(chan struct{}), idle: make(chan struct{}),
		finished: make(chan struct{}, 1),
	}
	o.Budget.logs.Add(1)
	go l.wake()
	return l
}

// Framing returns the log's framing.
func (l *Log) Framing() Framing { return l.opts.Framing }

// Stats returns what the log has done so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Append appends one frame that holds parts end to end. key says that a viewer
// can begin with it. The parts are copied. It returns the position of the
// frame.
func (l *Log) Append(key bool, parts ...[]byte) int64 {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	at := time.Since(l.start)

	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.head
	}
	b := l.room(n+maxFrameHead, at)
	was := len(b.buf)
	b.buf = l.opts.Framing.AppendHead(b.buf, n)
	for _, p := range parts {
		b.buf = append(b.buf, p...)
	}
	b.buf = l.opts.Framing.AppendTail(b.buf)
	b.ends = append(b.ends, uint32(len(b.buf))) //nolint:gosec // a block is at most a tag long, or 1 MiB
	pos := l.head
	if key {
		l.key, l.hasKey = pos, true
	}
	l.head += int64(len(b.buf) - was)
	l.stats.Bytes = l.head
	l.remember(at)
	l.mu.Unlock()
	l.signal()
	return pos
}

func (l *Log) signal() {
	select {
	case l.dirty <- struct{}{}:
	default: // signalled already
	}
}

// room returns the open block with room for n bytes more, which its buffer
// then takes without being moved.
func (l *Log) room(n int, now time.Duration) *block {
	size := minBlock
	if len(l.blocks) > 0 {
		b := l.blocks[len(l.blocks)-1]
		if cap(b.buf)-len(b.buf) >= n {
			return b
		}
		size = min(cap(b.buf), maxBlock)
		if now-b.began < blockTime {
			size = min(2*size, maxBlock)
		}
		l.trim()
	}
	b := &block{base: l.head, buf: make([]byte, 0, max(size, n)), began: now}
	l.blocks = append(l.blocks, b)
	l.held += int64(cap(b.buf))
	l.opts.Budget.used.Add(int64(cap(b.buf)))
	return b
}

// remember notes the time of the head and moves the horizon.
func (l *Log) remember(at time.Duration) {
	if n := len(l.marks); n > 0 && at-l.marks[n-1].at < min(markEvery, l.opts.MaxLag/marksInLag) {
		return
	}
	l.marks = append(l.marks, mark{l.head, at})
	n := 0
	for n < len(l.marks) && l.marks[n].at < at-l.opts.MaxLag {
		l.horizon = l.marks[n].pos
		n++
	}
	if n > 0 {
		l.marks = l.marks[:copy(l.marks, l.marks[n:])]
	}
}

// trim forgets blocks that nobody needs any more: that end before the newest
// key position and before the horizon, or for which there is no room.
func (l *Log) trim() {
	need := l.horizon
	if l.hasKey {
		need = min(need, l.key)
	}
	n := 0
	for n < len(l.blocks)-1 && (l.blocks[n].end() <= need || l.opts.Budget.exceeded(l.held)) {
		l.forget(l.blocks[n])
		n++
	}
	l.blocks = slices.Delete(l.blocks, 0, n)
	if l.hasKey && l.key < l.blocks[0].base {
		l.hasKey = false
	}
}

// maxGhosts bounds the memory of a log's forgotten blocks.
const maxGhosts = 4 << 20

// forget gives a block up. While viewers are stuck in it, it stays as a ghost;
// when there are too many of those, the viewers of the oldest have to go.
func (l *Log) forget(b *block) {
	l.held -= int64(cap(b.buf))
	if b.pins == 0 {
		l.opts.Budget.used.Add(-int64(cap(b.buf)))
		return
	}
	b.ghost = true
	l.ghosts = append(l.ghosts, b)
	sum := 0
	for _, g := range slices.Backward(l.ghosts) {
		sum += cap(g.buf)
		g.doomed = sum > maxGhosts
	}
}

// pin says that a viewer is stuck in the block that it writes from.
func (l *Log) pin(v *Viewer) {
	if v.block != nil && v.pinned == nil {
		v.pinned = v.block
		v.pinned.pins++
	}
}

// unpin says that it is stuck no more.
func (l *Log) unpin(v *Viewer) {
	b := v.pinned
	if b == nil {
		return
	}
	v.pinned = nil
	if b.pins--; b.pins == 0 && b.ghost {
		l.opts.Budget.used.Add(-int64(cap(b.buf)))
		l.ghosts = slices.DeleteFunc(l.ghosts, func(g *block) bool { return g == b })
	}
}

// since returns what follows a position up to the end of its block, as far as
// it was released, and the block. The position must be in the log.
func (l *Log) since(pos int64) ([]byte, *block) {
	i, found := slices.BinarySearchFunc(l.blocks, pos, func(b *block, p int64) int {
		return cmp.Compare(b.base, p)
	})
	if !found {
		i--
	}
	for ; i >= 0 && i < len(l.blocks); i++ {
		b := l.blocks[i]
		if pos < b.end() {
			end := min(b.end(), l.released) - b.base
			from := pos - b.base
			if from >= end {
				return nil, nil
			}
			return b.buf[from:end:end], b
		}
	}
	return nil, nil
}

// oldest returns the first position that is still there.
func (l *Log) oldest() int64 {
	if len(l.blocks) == 0 {
		return l.head
	}
	return l.blocks[0].base
}

// Position returns the position behind the newest byte.
func (l *Log) Position() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Holds tells whether the bytes at a position are still there.
func (l *Log) Holds(pos int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return pos >= l.oldest()
}

// End says that nothing more is appended. Viewers get what is there and then
// end with that reason. Only the first call counts.
func (l *Log) End(reason error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = reason
	l.released = l.head
	l.mu.Unlock()
	l.opts.Budget.logs.Add(-1)
	l.opts.Budget.used.Add(-l.held) // nothing is added to it any more
	close(l.done)
	l.signal()
}

// Wait blocks until the log's waker has returned, some time after [Log.End].
func (l *Log) Wait() { <-l.idle }
