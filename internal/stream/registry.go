package stream

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Registry knows which streams are live. It is safe for concurrent use.
type Registry struct {
	limits Limits
	keep   atomic.Pointer[Keep]

	mu         sync.Mutex // guards all below
	publishers map[string]*Publisher
	ready      map[string]*Stream
	held       map[string]*hold
	waiting    map[string]map[chan *Stream]struct{}
	watching   map[chan<- struct{}]struct{}
}

// NewRegistry returns an empty registry, whose streams obey l.
func NewRegistry(l Limits) *Registry {
	r := &Registry{
		limits:     l,
		publishers: make(map[string]*Publisher),
		ready:      make(map[string]*Stream),
		held:       make(map[string]*hold),
		waiting:    make(map[string]map[chan *Stream]struct{}),
		watching:   make(map[chan<- struct{}]struct{}),
	}
	r.Keep(Keep{})
	return r
}

// Find returns the stream that is live under a path, or nil. A stream is live
// from the moment that its tracks are known, and not while its publisher is
// lost.
func (r *Registry) Find(path string) *Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready[path]
}

// Wait returns the stream under a path as soon as it is live, or the cause for
// which ctx is done.
func (r *Registry) Wait(ctx context.Context, path string) (*Stream, error) {
	r.mu.Lock()
	if s := r.ready[path]; s != nil {
		r.mu.Unlock()
		return s, nil
	}
	ch := make(chan *Stream, 1)
	if r.waiting[path] == nil {
		r.waiting[path] = make(map[chan *Stream]struct{})
	}
	r.waiting[path][ch] = struct{}{}
	r.mu.Unlock()

	select {
	case s := <-ch:
		return s, nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting[path], ch)
	if len(r.waiting[path]) == 0 {
		delete(r.waiting, path)
	}
	return nil, context.Cause(ctx)
}

// Watch puts a token into c, if there is room for one, whenever a stream goes
// live, until stop is called. Give it a channel with room, and look at the
// streams anew for each token.
func (r *Registry) Watch(c chan<- struct{}) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watching[c] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watching, c)
	}
}

// Streams returns what is live or held for its publisher, in the order of the
// paths.
func (r *Registry) Streams() []*Stream {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.ready))
	for _, h := range r.held {
		all = append(all, h.stream)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *Stream) int { return strings.Compare(a.path, b.path) })
	return all
}

// announce puts s in place, where it may have been held, and wakes those who
// wait for it.
func (r *Registry) announce(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready[s.path] = s
	r.release(s)
	for ch := range r.waiting[s.path] {
		ch <- s
	}
	delete(r.waiting, s.path)
	for c := range r.watching {
		select {
		case c <- struct{}{}:
		default: // it has one
		}
	}
}

// withdraw takes s out, if it is there. Where a fault came between its going on
// and [Registry.announce] it is among those that are held.
func (r *Registry) withdraw(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready[s.path] == s {
		delete(r.ready, s.path)
	}
	r.release(s)
}

// release ends the hold of s, if there is one. The caller holds r.mu.
func (r *Registry) release(s *Stream) {
	if h := r.held[s.path]; h != nil && h.stream == s {
		h.timer.Stop()
		delete(r.held, s.path)
	}
}
