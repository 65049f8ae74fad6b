package fanout

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// How often the sweep looks at a viewer: the whole turn is long enough to cost
// nothing, short enough that a client which closed is noticed at once.
const (
	sweepEvery = 100 * time.Millisecond
	sweepSlots = 5
)

// maxFirst is how long a viewer may take to accept its beginning, which is kept
// in memory for it.
const maxFirst = 20 * time.Second

// maxUnasked bounds what a client may send that nobody reads. Of what a Peer
// hears, each visit forgives unaskedPerVisit: pings and pongs need far less, and a
// client that never pauses would keep the sweep from everybody else.
const (
	maxUnasked      = 64 << 10
	unaskedPerVisit = 8 << 10
)

// Sweeper serves viewers, and looks at each about twice a second: whether its
// client is still there, has said something, or takes nothing any more. So a
// viewer needs neither a goroutine that reads nor a deadline for each write.
// It is safe for concurrent use.
type Sweeper struct {
	timeout time.Duration

	mu    sync.Mutex // guards below
	next  int
	slots [sweepSlots]map[*Viewer]struct{}
}

// NewSweeper returns a sweeper that ends viewers whose connection takes
// nothing for that long. It works while [Sweeper.Run] does.
func NewSweeper(writeTimeout time.Duration) *Sweeper {
	s := &Sweeper{timeout: writeTimeout}
	for i := range s.slots {
		s.slots[i] = make(map[*Viewer]struct{})
	}
	return s
}

// Run sweeps until ctx is done.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	in := newPeeker()
	var batch []*Viewer
	for slot := 0; ; slot = (slot + 1) % sweepSlots {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			batch = s.batch(batch[:0], slot)
			in.ask(batch)
			for _, v := range batch {
				s.visit(v, now, in)
			}
			clear(batch)
		}
	}
}

func (s *Sweeper) batch(b []*Viewer, slot int) []*Viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.slots[slot] {
		b = append(b, v)
	}
	return b
}

// visit looks at one viewer; a fault in its Peer costs that viewer alone.
func (s *Sweeper) visit(v *Viewer, now time.Time, in *peeker) {
	defer v.guard()
	s.look(v, now, in)
}

// guard turns a panic into the end of the viewer.
func (v *Viewer) guard() {
	if p := recover(); p != nil {
		v.Kick(fmt.Errorf("%w: %v\n%s", ErrInternal, p, debug.Stack()))
	}
}

// look does what is to be done for one viewer.
func (s *Sweeper) look(v *Viewer, now time.Time, in *peeker) {
	switch since, first := v.blocked.Load(), v.first.Load(); {
	case since != 0 && now.UnixNano()-since > int64(s.timeout):
		v.throwOut(ErrStalled)
		return
	case since != 0 && v.log.isDoomed(v), first != 0 && now.UnixNano()-first > int64(maxFirst):
		v.throwOut(ErrLagged)
		return
	}
	if v.isKicked() {
		if v.isStuck() {
			v.cut() // it was on its way into the write when it was kicked
		}
		return
	}
	if v.ready {
		for {
			b, err := in.peek(v.raw)
			if err != nil {
				v.Kick(gone(err))
				return
			}
			if len(b) == 0 {
				break
			}
			if !v.input(b) {
				return
			}
		}
	}
	if v.Peer != nil {
		v.flooded.Add(-min(v.flooded.Load(), unaskedPerVisit)) // nobody else takes from it
		v.answer(v.tick(now))
	}
}

// throwOut ends a viewer in the middle of a write.
func (v *Viewer) throwOut(reason error) {
	v.Kick(reason)
	v.cut()
}

// input takes what the client sent, and tells whether it may go on.
func (v *Viewer) input(b []byte) bool {
	if v.flooded.Add(int64(len(b))) > maxUnasked {
		v.Kick(ErrFlood)
		return false
	}
	if v.Peer != nil {
		v.answer(v.hear(b))
	}
	return true
}

func (v *Viewer) hear(b []byte) (reply []byte, err error) {
	v.peer.Lock()
	defer v.peer.Unlock()
	return v.Peer.Input(b)
}

func (v *Viewer) tick(now time.Time) (send []byte, err error) {
	v.peer.Lock()
	defer v.peer.Unlock()
	return v.Peer.Tick(now)
}

// answer sends what the Peer has to say, and kicks the viewer if that was its
// last word.
func (v *Viewer) answer(out []byte, err error) {
	v.send(out)
	if err != nil {
		v.Kick(err)
	}
}

// Serve sends v its log until one of the two ends, then closes the connection
// and returns the reason. It owns the connection.
func (s *Sweeper) Serve(v *Viewer) error {
	if v.needKey = v.Begin == Next; !v.needKey {
		v.cursor = v.Begin
	}
	s.Tune(v.conn)
	if !v.prepare() {
		v.heard = make(chan struct{})
		defer func() { <-v.heard }()
		go v.read()
	}
	defer v.conn.Close()

	s.mu.Lock()
	slot := s.slots[s.next]
	s.next = (s.next + 1) % sweepSlots
	slot[v] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(slot, v)
		s.mu.Unlock()
	}()
	reason := v.serve()
	if v.said && v.Linger > 0 {
		v.linger()
	}
	return reason
}

// read is the portable way to hear from the client: a goroutine.
func (v *Viewer) read() {
	defer close(v.heard)
	defer v.guard()
	buf := make([]byte, 512)
	for {
		n, err := v.conn.Read(buf)
		if n > 0 && !v.input(buf[:n]) {
			return
		}
		if err != nil {
			v.Kick(gone(err))
			return
		}
	}
}
