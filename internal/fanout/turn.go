package fanout

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"sluice/internal/socket"
)

// perWorker is how many viewers of a round are worth another processor.
const perWorker = 128

// turns gives each viewer of a round its turn, on all processors. Each round
// of more than one batch begins a third further on, so that nobody is always
// the last.
func (l *Log) turns(woken []*Viewer) {
	if len(woken) <= socket.RingSize {
		l.serveAll(woken)
		return
	}
	third := len(woken) / 3
	l.share(woken[third:])
	l.share(woken[:third])
}

// share divides viewers among the processors.
func (l *Log) share(woken []*Viewer) {
	workers := min(runtime.GOMAXPROCS(0), 1+len(woken)/perWorker)
	if workers == 1 {
		l.serveAll(woken)
		return
	}
	var wg sync.WaitGroup
	size := (len(woken) + workers - 1) / workers
	for at := 0; at < len(woken); at += size {
		part := woken[at:min(at+size, len(woken))]
		wg.Go(func() { l.serveAll(part) })
	}
	wg.Wait()
}

// minBatch is for how many viewers it is worth to send with one call.
const minBatch = 4

func (l *Log) serveAll(viewers []*Viewer) {
	if len(viewers) >= minBatch {
		if r := l.opts.Rings.Take(); r != nil {
			defer l.opts.Rings.Put(r)
			b := batch{ring: r}
			for len(viewers) > 0 {
				n := min(len(viewers), socket.RingSize)
				b.serve(viewers[:n])
				viewers = viewers[n:]
			}
			return
		}
	}
	for _, v := range viewers {
		if !v.fast() {
			v.signal()
		}
	}
}

// batch is viewers that are written to with one call of the system.
type batch struct {
	ring *socket.Ring
	due  [socket.RingSize]*Viewer
	n    int
}

// serve gives up to [socket.RingSize] viewers their turn.
func (b *batch) serve(viewers []*Viewer) {
	b.n = 0
	for _, v := range viewers {
		if !v.claim() {
			v.signal()
			continue
		}
		part, ended := v.log.next(v)
		if len(part) > socket.Small { // of a viewer that joined just now, or of a stream that few can watch
			v.left = part
			v.own.Unlock()
			v.signal()
			continue
		}
		if len(part) > 0 {
			b.due[b.n], v.left = v, part
			b.n++
			b.ring.Add(v.fd, part)
			continue
		}
		v.own.Unlock()
		if ended {
			v.signal()
		}
	}
	if b.n == 0 {
		return
	}
	for i, r := range b.ring.Send() {
		v := b.due[i]
		b.due[i] = nil
		part := v.left
		v.left = nil
		if errors.Is(r.Err, socket.ErrUnknown) {
			v.throwOut(fmt.Errorf("%w: %w", ErrInternal, r.Err))
		}
		done := v.took(part, r.N) && v.goOn()
		v.own.Unlock()
		if !done {
			v.signal()
		}
	}
}

// claim makes the caller the one that writes to v, on behalf of its goroutine,
// which sleeps on: waking a goroutine for each write of each viewer would make
// the write a sixth dearer. It is not done when the goroutine has to go on,
// because something else is to be sent, or because it is not asleep at all.
// The caller unlocks v.own.
func (v *Viewer) claim() bool {
	if !v.direct || v.urgent.Load() || !v.own.TryLock() {
		return false
	}
	if v.over {
		v.own.Unlock()
		return false
	}
	return true
}

// fast writes to a viewer what is due, if it can be claimed, and tells whether
// its goroutine may sleep on.
func (v *Viewer) fast() (done bool) {
	if !v.claim() {
		return false
	}
	defer v.own.Unlock()
	return v.goOn()
}

// goOn writes what is due until nothing is, or the connection takes no more.
// The caller has claimed v.
func (v *Viewer) goOn() (done bool) {
	for {
		b, ended := v.log.next(v)
		if len(b) == 0 {
			return !ended
		}
		if !v.took(b, v.writeNow(b)) {
			return false
		}
	}
}

// took notes that n bytes of b were sent and tells whether that was all. The
// goroutine sees to the rest, also to a fault.
func (v *Viewer) took(b []byte, n int) (all bool) {
	v.cursor += int64(n)
	if v.uncounted += int64(n); v.uncounted > countEvery {
		v.count(0)
	}
	if n < len(b) {
		v.left = b[n:]
		return false
	}
	return true
}

// countEvery bounds the bytes that a viewer has sent and not counted: a
// counter that is touched for each write costs a hundredth of it.
const countEvery = 64 << 10
