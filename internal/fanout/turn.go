package fanout

import (
	"runtime"
	"sync"
)

// perWorker is how many viewers of a round are worth another processor.
const perWorker = 128

// turns gives each viewer of a round its turn, on all processors.
func (l *Log) turns(woken []*Viewer) {
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
	if v.raw == nil || v.urgent.Load() || !v.own.TryLock() {
		return false
	}
	defer v.own.Unlock()
	for {
		b, ended := v.log.next(v)
		if len(b) == 0 {
			return !ended
		}
		v.buf, v.fail, v.done = b, nil, 0
		err := v.raw.Write(v.try)
		v.buf = nil
		v.cursor += int64(v.done)
		if v.Count != nil {
			v.Count.AddBytes(int64(v.done))
		}
		if err != nil || v.fail != nil || v.done < len(b) {
			v.left = b[v.done:] // the goroutine sees to it, also to the fault
			return false
		}
	}
}
