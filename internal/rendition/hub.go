package rendition

import (
	"log/slog"
	"sync"
	"time"

	"sluice/internal/fanout"
	"sluice/internal/socket"
	"sluice/internal/stream"
)

// lingerFor is how long a rendition goes on after its last viewer has left: a
// player that reconnects finds it.
const lingerFor = 10 * time.Second

// Options are the settings of all renditions.
type Options struct {
	Pace   fanout.Pace
	MaxLag time.Duration
	// Memory bounds the bytes in the logs of one stream, over all its
	// renditions.
	Memory int64
}

// Hub makes renditions, one for each form that is asked for. It is safe for
// concurrent use.
type Hub struct {
	opts  Options
	log   *slog.Logger
	rings *socket.Rings

	mu      sync.Mutex // guards below; locked before the streams' locks
	streams map[*stream.Stream]*forms
	closed  bool
}

// forms are the renditions of one stream.
type forms struct {
	budget *fanout.Budget
	all    map[Spec]*Rendition
}

// NewHub returns a hub without renditions.
func NewHub(o Options, log *slog.Logger) *Hub {
	return &Hub{opts: o, log: log, rings: socket.NewRings(), streams: make(map[*stream.Stream]*forms)}
}

// Acquire returns the rendition of s in that form, which the caller gives back
// with [Rendition.Release]. It returns [ErrNoTrack] when nothing is left of
// the stream, and the reason of its end when that has come.
func (h *Hub) Acquire(s *stream.Stream, spec Spec) (*Rendition, error) {
	r, budget := h.find(s, spec)
	r.begin.Do(func() {
		r.err = r.start(fanout.Options{Pace: h.opts.Pace, MaxLag: h.opts.MaxLag, Budget: budget, Rings: h.rings})
	})
	if r.err != nil {
		h.drop(r)
		return nil, r.err
	}
	return r, nil
}

func (h *Hub) find(s *stream.Stream, spec Spec) (*Rendition, *fanout.Budget) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.streams[s]
	if f == nil {
		f = &forms{budget: fanout.NewBudget(h.opts.Memory), all: make(map[Spec]*Rendition)}
		h.streams[s] = f
	}
	r := f.all[spec]
	if r == nil {
		r = &Rendition{hub: h, stream: s, spec: spec}
		f.all[spec] = r
	}
	r.refs++
	if r.linger != nil {
		r.linger.Stop()
		r.linger = nil
	}
	return r, f.budget
}

func (h *Hub) release(r *Rendition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.refs--; r.refs > 0 {
		return
	}
	if h.closed || r.stream.Err() != nil {
		h.forget(r)
		return
	}
	var t *time.Timer
	t = time.AfterFunc(lingerFor, func() { h.expire(r, &t) })
	r.linger = t
}

// expire takes the address of the timer, which is set under h.mu.
func (h *Hub) expire(r *Rendition, t **time.Timer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.linger == *t {
		h.forget(r)
	}
}

// drop gives a rendition back that could not begin.
func (h *Hub) drop(r *Rendition) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.refs--
	h.forget(r)
}

// forget ends a rendition. The caller holds h.mu.
func (h *Hub) forget(r *Rendition) {
	f := h.streams[r.stream]
	if f == nil || f.all[r.spec] != r {
		return
	}
	delete(f.all, r.spec)
	if len(f.all) == 0 {
		delete(h.streams, r.stream)
	}
	if r.detach != nil {
		r.detach()
	}
	if r.log != nil {
		r.log.End(stream.ErrEnded)
	}
}

// Close drops all renditions; those that are taken end. It returns when
// nothing of them is running any more.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	var all []*Rendition
	for _, f := range h.streams {
		for _, r := range f.all {
			all = append(all, r)
		}
	}
	for _, r := range all {
		if r.linger != nil {
			r.linger.Stop()
		}
		h.forget(r)
	}
	h.mu.Unlock()
	for _, r := range all {
		if r.log != nil {
			r.log.Wait()
		}
	}
	h.rings.Close()
}
