package socket

import (
	"io"
	"runtime"
	"sync"
	"time"
)

// How a [Clock] spreads reading.
const (
	// readRate is how often the readers of a clock read in all, in a second and
	// for each processor. To take in 200 streams of 300 kbit/s packet by packet
	// took 26 % of a processor, most of it to notice each; with what gathers in
	// 50 ms it takes 11 %.
	readRate = 4000
	// leastGap is the gap below which gathering is not worth its delay.
	leastGap = 8 * time.Millisecond
	// slots is over how many beats in a gap the readers are spread.
	slots = 4
)

// Clock lets many readers take turns: while there are more of them than are
// worth a wake-up for each packet, each reads only once in a gap that grows
// with their number, all that has come meanwhile, and the system does not
// report single packets at all. With few readers it does nothing. It is safe
// for concurrent use.
type Clock struct {
	most time.Duration
	rate int // reads in a second

	mu      sync.Mutex // guards all below
	readers int
	given   int           // slots that were given to readers
	quit    chan struct{} // ends the beats, nil when there are none
	at      int           // the slot of the next beat
	beats   [slots]chan struct{}
}

// NewClock returns a clock whose gap is at most that long; 0 never makes
// readers wait.
func NewClock(most time.Duration) *Clock {
	return &Clock{most: most, rate: readRate * runtime.GOMAXPROCS(0)}
}

// Add makes in, if it is of [NewReader] and reads a socket, keep to the clock
// until leave is called. The goroutine that reads calls both.
func (c *Clock) Add(in io.Reader) (leave func()) {
	r, ok := in.(*reader)
	if !ok || r.clock != nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.clock, r.slot = c, c.given%slots
	c.given++
	c.readers++
	if pause := c.pause(); c.quit == nil && pause > 0 {
		c.start(pause)
	}
	return func() { c.remove(r) }
}

func (c *Clock) remove(r *reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.clock = nil
	c.readers--
	if c.quit != nil && c.pause() == 0 {
		close(c.quit)
		c.quit = nil
		for _, b := range c.beats {
			close(b)
		}
	}
}

// pause returns the time between two beats, 0 when readers need not wait. The
// caller holds c.mu.
func (c *Clock) pause() time.Duration {
	gap := time.Duration(c.readers) * time.Second / time.Duration(c.rate)
	if gap = min(gap, c.most); gap < leastGap {
		return 0
	}
	return gap / slots
}

// start starts the beats. The caller holds c.mu.
func (c *Clock) start(pause time.Duration) {
	quit := make(chan struct{})
	c.quit = quit
	for i := range c.beats {
		c.beats[i] = make(chan struct{})
	}
	go func() {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				timer.Reset(c.beat(quit))
			case <-quit:
				return
			}
		}
	}()
}

// beat lets the readers of one slot read, unless the beats are over, and
// returns the time to the next.
func (c *Clock) beat(quit chan struct{}) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quit != quit {
		return 0
	}
	close(c.beats[c.at])
	c.beats[c.at] = make(chan struct{})
	c.at = (c.at + 1) % slots
	return c.pause()
}

// next returns what is closed with the next beat of a slot, nil when readers
// need not wait.
func (c *Clock) next(slot int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quit == nil {
		return nil
	}
	return c.beats[slot]
}
