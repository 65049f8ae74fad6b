package stream

import "time"

// Who publishes a path may be replaced.
const (
	// silentFor is after how long without audio or video a publisher counts
	// as dead for another one that wants its path.
	silentFor = 5 * time.Second
	// maxTakeovers is how often the holders of one key may replace each other
	// within takeoverSpan: beyond that two encoders are fighting.
	maxTakeovers = 3
	takeoverSpan = 30 * time.Second
)

// Claim says who wants to publish, and how it is told what becomes of it. The
// zero value is somebody without a key, whose stream ends with the connection.
type Claim struct {
	// Key is the secret that let the publisher in. Whoever has the same one
	// may replace it at any time; without one nobody may, unless it is silent.
	Key string
	// Window is how long the stream is held when its publisher is lost, see
	// [Publisher.Lose]. 0 means not at all.
	Window time.Duration
	// Replaced ends the connection of a publisher that another one has
	// replaced, from that one's goroutine: it must not block. nil does nothing.
	Replaced func(reason error)
	// Notify takes what happens to the stream, each kind of event once. It is
	// called without a lock, on whatever goroutine. nil does nothing.
	Notify func(e Event)
}

// Claim makes the caller the publisher of a path, which obeys [CheckPath],
// until [Publisher.End], [Publisher.Lose], or until another one replaces it:
// one with the same key at once, any other after five seconds of silence. It
// returns [ErrBusy] while somebody else is publishing, and [ErrShared] when
// the holders of one key keep replacing each other.
func (r *Registry) Claim(path string, c Claim) (*Publisher, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	var takeovers []time.Time
	for {
		p, old := r.seat(path, c, takeovers)
		if old == nil {
			return p, nil
		}
		var err error
		if takeovers, err = old.giveWay(c.Key, time.Now()); err != nil {
			return nil, err
		}
	}
}

// Publish is [Registry.Claim] by somebody without a key, whose stream is not
// held.
func (r *Registry) Publish(path string) (*Publisher, error) { return r.Claim(path, Claim{}) }

// seat returns a new publisher for a path, or the one that has it.
func (r *Registry) seat(path string, c Claim, takeovers []time.Time) (p, old *Publisher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old = r.publishers[path]; old != nil {
		return nil, old
	}
	p = newPublisher(r, path, c)
	p.takeovers = takeovers
	r.publishers[path] = p
	if h := r.held[path]; h != nil {
		h.adopt(p)
		p.held = h
	}
	return p, nil
}

// giveWay ends a publisher for another one with that key, if it has to make
// room, and returns when it and those before it were replaced by the key.
func (p *Publisher) giveWay(key string, now time.Time) ([]time.Time, error) {
	p.mu.Lock()
	if p.err != nil { // it has left just now
		defer p.mu.Unlock()
		return p.takeovers, nil
	}
	takeovers, err := p.mayReplace(key, now)
	if err == nil {
		p.lose(ErrReplaced)
	}
	p.mu.Unlock()
	if err == nil && p.claim.Replaced != nil {
		p.claim.Replaced(ErrReplaced)
	}
	return takeovers, err
}

func (p *Publisher) mayReplace(key string, now time.Time) ([]time.Time, error) {
	if key == "" || key != p.claim.Key {
		if now.Sub(p.heard) < silentFor {
			return nil, ErrBusy
		}
		return nil, nil
	}
	var recent []time.Time
	for _, at := range p.takeovers {
		if now.Sub(at) < takeoverSpan {
			recent = append(recent, at)
		}
	}
	if len(recent) >= maxTakeovers {
		return nil, ErrShared
	}
	return append(recent, now), nil
}
