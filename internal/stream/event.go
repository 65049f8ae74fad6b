package stream

import "slices"

// Event is something about a publisher that its operator should know.
type Event uint8

// The events.
const (
	// Resumed says that the publisher goes on with the stream of one that was
	// lost.
	Resumed Event = iota + 1
	// Undecodable says that the frames of a track are left out, since its
	// decoder configuration has not come.
	Undecodable
)

// events are those that happened and nobody was told of yet. Each kind is told
// once.
type events struct{ known, due []Event }

func (e *events) add(what Event) {
	if slices.Contains(e.known, what) {
		return
	}
	e.known = append(e.known, what)
	e.due = append(e.due, what)
}

// unlock unlocks p.mu and tells what happened under it.
func (p *Publisher) unlock() {
	due := p.events.due
	p.events.due = nil
	p.mu.Unlock()
	if p.claim.Notify == nil {
		return
	}
	for _, e := range due {
		p.claim.Notify(e)
	}
}
