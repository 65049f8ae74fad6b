package fanout

import (
	"runtime"
	"sync"
)

// perWorker is how many viewers of a round are worth another processor.
const perWorker = 128

// turns gives each viewer of a round its turn, on all processors. Each round
// begins a third further on, so that nobody is always the last.
func (l *Log) turns(woken []*Viewer) {
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

func (l *Log) serveAll(viewers []*Viewer) {
	for _, v := range viewers {
		if !v.fast() {
			v.signal()
		}
	}
}

// fast writes to a viewer what is due, on behalf of its goroutine, which
// sleeps on: waking a goroutine for each write of each viewer would make the
// write a sixth dearer. It is not done when the goroutine has to go on, because
// the connection takes no more, because something else is to be sent, or
// because it is not asleep at all.
func (v *Viewer) fast() (done bool) {
	if !v.direct || v.urgent.Load() || !v.own.TryLock() {
		return false
	}
	defer v.own.Unlock()
	for !v.over {
		b, ended := v.log.next(v)
		if len(b) == 0 {
			return !ended
		}
		n := v.writeNow(b)
		v.cursor += int64(n)
		if v.uncounted += int64(n); v.uncounted > countEvery {
			v.count(0)
		}
		if n < len(b) {
			v.left = b[n:] // the goroutine sees to it, also to a fault
			return false
		}
	}
	return true
}

// countEvery bounds the bytes that a viewer has sent and not counted: a
// counter that is touched for each write costs a hundredth of it.
const countEvery = 64 << 10
