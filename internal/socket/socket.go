// Package socket makes the system calls of those who send to thousands of
// sockets that do not block: without telling the scheduler of goroutines, and
// many with one call. All of it goes without a wait; where the system has less
// to offer, the same works with more calls.
package socket

import (
	"errors"
	"runtime"
	"sync"
)

// RingSize is how many sends a [Ring] makes with one call. One of 64 sends
// costs two thirds of a send of its own where the system guards its entry with
// page tables of its own; larger rings gain nothing more, and keep others from
// the processor for longer.
const RingSize = 64

// Small is what one send may copy, in bytes, while everything else on its
// processor waits.
const Small = 64 << 10

// errNoRing reports that the system has no rings for this process. Containers
// often forbid them.
var errNoRing = errors.New("socket: io_uring is not to be had")

// Result is how one send of a ring went.
type Result struct {
	N   int   // bytes that were sent
	Err error // a system error number, or [ErrUnknown]
}

// ErrUnknown is the result of a send of which it is not known whether it was
// made: the kernel has refused to say.
var ErrUnknown = errors.New("socket: the kernel does not say what it has sent")

// Rings is a set of rings that any number of goroutines share. It is safe for
// concurrent use; nil has no rings.
type Rings struct {
	mu   sync.Mutex // guards all below
	free []*Ring
	made int
	off  bool // there are none, or no more
}

// NewRings returns an empty set: its rings are made when they are needed, one
// for each processor.
func NewRings() *Rings { return &Rings{} }

// Take returns a ring that is the caller's until [Rings.Put], and nil when
// there is none: then one sends without.
func (s *Rings) Take() *Ring {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		r := s.free[n-1]
		s.free = s.free[:n-1]
		return r
	}
	if s.off || s.made >= runtime.GOMAXPROCS(0) {
		return nil
	}
	r, err := NewRing()
	if err != nil {
		s.off = true
		return nil
	}
	s.made++
	return r
}

// Put gives a ring back. One that failed is not used again.
func (s *Rings) Put(r *Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off || r.failed {
		s.off = true
		r.Close()
		return
	}
	s.free = append(s.free, r)
}

// Close gives up the rings. Those that are taken go when they are given back.
func (s *Rings) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = true
	for _, r := range s.free {
		r.Close()
	}
	s.free = nil
}
