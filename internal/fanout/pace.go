package fanout

import (
	"slices"
	"time"
)

// The bounds of an automatic pace.
const (
	maxGap = 350 * time.Millisecond
	// A round is followed by a pause of restLight times its length, so that
	// sending takes less than a third of the CPU, but only until a frame of
	// sound is due again, which comes every 21 to 23 ms: with a longer gap two
	// of them gather, and packets are 15 ms late instead of 6.
	restLight = 1.6
	soundGap  = 20 * time.Millisecond
	// From there on the pause is restShort times the length of the round, so
	// that sending takes 40 % of the CPU.
	restShort  = 1.5
	shortRound = 20 * time.Millisecond
	// What a round takes longer counts for less, since latency grows with
	// both: sending then takes up to 62 % of the CPU.
	restLong = 0.6
	// maxNews is how long a round waits for one more packet.
	maxNews = 10 * time.Millisecond
)

// Pace says how often the viewers of a log are written to. The zero value is
// a fixed gap of zero: at once.
type Pace struct {
	// Auto lets the gap follow the load; otherwise Gap is kept.
	Auto bool
	// Gap is the least time between two writes to one viewer.
	Gap time.Duration
}

// wake runs the rounds of a log: each releases what was appended since the
// last one and lets the viewers write it.
func (l *Log) wake() {
	defer close(l.idle)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var notBefore time.Time
	for {
		<-l.dirty
		if !l.hasNews() {
			continue
		}
		l.hold(notBefore, timer)
		began := time.Now()
		if ended := l.release(); ended {
			return
		}
		if l.opts.Pace.Auto {
			notBefore = time.Now().Add(l.autoGap(began, timer))
		} else {
			notBefore = began.Add(l.opts.Pace.Gap)
		}
	}
}

// hasNews tells whether there is something to send, or the end. Of the frames
// that are appended together, the first lets the round begin that sends all
// of them; the signal of the others must not begin one more, for which the next
// frames would have to wait.
func (l *Log) hasNews() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head > l.released || l.err != nil
}

// hold waits, with something to send, until a round may begin. A fixed gap
// ends when its time has come. An automatic one ends with the first packet
// after its time, if one comes soon: so most packets do not wait at all, and
// no timer has to wake the process, which on a virtual machine costs as much as
// ten writes.
func (l *Log) hold(notBefore time.Time, timer *time.Timer) {
	wait := time.Until(notBefore)
	if wait <= 0 {
		return
	}
	if !l.opts.Pace.Auto {
		l.rest(wait, timer)
		return
	}
	timer.Reset(wait + min(wait, maxNews))
	for {
		select {
		case <-l.dirty:
			if time.Now().After(notBefore) {
				return
			}
		case <-timer.C:
			return
		case <-l.done:
			return
		}
	}
}

// rest pauses, but not when the log ends.
func (l *Log) rest(d time.Duration, timer *time.Timer) {
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-l.done:
	}
}

// pauseAfter returns how long sending rests after a round that took so long.
func pauseAfter(took time.Duration) time.Duration {
	short := min(took, shortRound)
	heavy := time.Duration(restShort*float64(short) + restLong*float64(took-short))
	light := time.Duration(restLight * float64(took))
	return min(light, max(heavy, soundGap-took), maxGap)
}

// autoGap waits until all viewers of the round have written, and returns for
// how long sending then has to pause so that it takes no more than its part
// of the CPU: so the log clocks itself, and when many logs share the CPU, each
// of their rounds takes longer.
func (l *Log) autoGap(began time.Time, timer *time.Timer) time.Duration {
	timer.Reset(maxGap)
	select {
	case <-l.finished:
	case <-timer.C: // somebody is stuck
	case <-l.done:
		return 0
	}
	took := time.Since(began)
	gap := pauseAfter(took)
	l.mu.Lock()
	l.stats.Gap = took + gap
	l.mu.Unlock()
	return gap
}

// release lets the viewers have all that was appended and wakes those that
// wait for it. It tells whether the log has ended.
func (l *Log) release() (ended bool) {
	select {
	case <-l.finished: // a stale one
	default:
	}
	l.mu.Lock()
	ended = l.err != nil
	newKey := l.hasKey && l.key >= l.released
	l.released = l.head
	woken := l.due.take()
	var begin []*Viewer
	if newKey || ended {
		begin = l.keyless.take()
	}
	l.round = len(woken) + len(begin)
	l.stats.Rounds++
	if l.round == 0 {
		l.roundDone()
	}
	l.mu.Unlock()

	for _, v := range begin {
		v.signal()
	}
	l.turns(woken)
	clear(woken)
	l.mu.Lock()
	l.due.spare = woken
	l.mu.Unlock()
	return ended
}

// queue holds the viewers that wait for one thing.
type queue struct {
	waiting []*Viewer
	spare   []*Viewer // to be used again
	turn    int64     // how often the queue was taken
}

func (q *queue) add(v *Viewer) {
	v.in, v.turn, v.slot = q, q.turn, len(q.waiting)
	q.waiting = append(q.waiting, v)
}

// take empties the queue.
func (q *queue) take() []*Viewer {
	all := q.waiting
	q.waiting, q.spare = q.spare[:0], nil
	q.turn++
	return all
}

// remove takes one viewer out and tells whether it still was in.
func (q *queue) remove(v *Viewer) bool {
	if v.turn != q.turn {
		return false
	}
	last := len(q.waiting) - 1
	q.waiting[v.slot] = q.waiting[last]
	q.waiting[v.slot].slot = v.slot
	q.waiting[last] = nil
	q.waiting = q.waiting[:last]
	return true
}

// roundDone says that all viewers of the round have written. The caller holds
// l.mu.
func (l *Log) roundDone() {
	select {
	case l.finished <- struct{}{}:
	default:
	}
}

// next returns what v has to write now, or nil when it has to wait for its
// signal first; ended tells that there is nothing more to come.
func (l *Log) next(v *Viewer) (b []byte, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(v)
	l.unpin(v)
	if v.cursor < l.horizon || v.cursor < l.oldest() {
		l.move(v)
	}
	if v.needKey && l.hasKey && l.key >= v.cursor {
		v.cursor, v.needKey = l.key, false
	}
	if !v.needKey {
		if b, v.block = l.since(v.cursor); len(b) > 0 {
			if v.raw == nil {
				l.pin(v) // nothing tells whether it will be stuck
			}
			return b, false
		}
	}
	if l.err != nil {
		return nil, true
	}
	l.settle(v) // it was woken in vain: nobody has to wait for its write
	if v.needKey {
		l.keyless.add(v)
	} else {
		l.due.add(v)
	}
	return nil, false
}

// move takes a viewer that lags to the newest key position, if that lies
// ahead. One whose bytes are gone waits for the next.
func (l *Log) move(v *Viewer) {
	switch {
	case v.needKey:
	case l.hasKey && l.key > v.cursor:
		v.cursor = l.key
		l.stats.Moved++
	case v.cursor < l.oldest():
		v.cursor, v.needKey = l.head, true
		l.stats.Moved++
	}
}

// settle takes v out of the round in which it wrote, or into the one that
// woke it. The caller holds l.mu.
func (l *Log) settle(v *Viewer) {
	if v.inRound {
		v.inRound = false
		if l.round--; l.round == 0 {
			l.roundDone()
		}
	}
	if v.in != nil {
		v.inRound = !v.in.remove(v)
		v.in = nil
	}
}

// leave takes v out of everything when it ends.
func (l *Log) leave(v *Viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(v)
	l.settle(v) // a round that it was woken for just now
	l.unpin(v)
}

// stick says that the connection of v takes no more bytes: nobody waits for
// it, and it holds on to its block.
func (l *Log) stick(v *Viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(v)
	l.pin(v)
}

// shorten returns how much of the n bytes at pos a viewer that was stuck shall
// still write: all, or up to the end of the frame that it is in, if it is to
// be moved behind that.
func (l *Log) shorten(v *Viewer, pos int64, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.block == nil || pos >= l.horizon || !l.hasKey || l.key <= pos {
		return n
	}
	at := uint32(pos - v.block.base) //nolint:gosec // within the block
	i, whole := slices.BinarySearch(v.block.ends, at)
	if whole {
		return 0
	}
	return min(n, int(v.block.ends[i]-at))
}

// isDoomed tells whether v holds on to too much.
func (l *Log) isDoomed(v *Viewer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return v.pinned != nil && v.pinned.doomed
}
