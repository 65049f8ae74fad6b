package stream

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"sluice/media"
)

// State tells whether a stream has a publisher.
type State string

// The states of a stream.
const (
	Live         State = "live"
	Reconnecting State = "reconnecting" // its publisher was lost and may come back
	Over         State = "over"
)

// hold is a stream whose publisher was lost, and what another one needs to go
// on with it.
//
//	live ──Lose──▶ held ──Claim──▶ held, its new publisher probing ──same tracks──▶ live
//	                │                      │ other tracks, or it ends
//	                └──── the window ──────┴──▶ over
type hold struct {
	stream *Stream
	clock  *timeline // of the publisher that was lost
	window time.Duration

	// Guarded by Registry.mu.
	reason error      // why the publisher was lost
	owner  *Publisher // that may go on with the stream; nil while nobody has come
	until  time.Time
	timer  *time.Timer
}

// adopt gives the stream to a publisher, which has a window of its own until
// its tracks are known. The caller holds Registry.mu.
func (h *hold) adopt(p *Publisher) {
	h.owner = p
	h.until = time.Now().Add(h.window)
	h.timer.Reset(h.window)
}

// Lose ends the publisher like [Publisher.End], but as one that may come back:
// its stream is held for the window that its [Claim] names, and goes on
// without a seam when a publisher with the same tracks and configurations
// comes. It tells whether the stream is held.
func (p *Publisher) Lose(reason error) (held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err == nil && p.lose(reason)
}

// lose is Lose of a publisher that has not ended. The caller holds p.mu.
func (p *Publisher) lose(reason error) (held bool) {
	p.err = reason
	h := p.held
	switch {
	case h != nil: // lost again before it could go on
		p.held = nil
	case p.stream != nil && p.claim.Window > 0:
		h = &hold{stream: p.stream, clock: p.clock, window: p.claim.Window}
		p.stream.pause(true)
		p.stream = nil
	}
	p.endStream(reason)
	p.registry.hold(p, h, reason)
	return h != nil
}

// hold frees the path of p, and keeps its stream if there is one.
func (r *Registry) hold(p *Publisher, h *hold, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishers[p.path] == p {
		delete(r.publishers, p.path)
	}
	if h == nil {
		return
	}
	h.owner, h.reason = nil, reason
	if h.timer == nil {
		delete(r.ready, p.path)
		r.held[p.path] = h
		h.until = time.Now().Add(h.window)
		h.timer = time.AfterFunc(h.window, func() { r.expire(h) })
		return
	}
	// The timer may have found p as the owner, and p nothing to end.
	h.timer.Reset(max(time.Until(h.until), 0))
}

// expire ends a stream that was held for long enough.
func (r *Registry) expire(h *hold) {
	r.mu.Lock()
	owner, reason := h.owner, h.reason
	if r.held[h.stream.path] != h || time.Now().Before(h.until) {
		r.mu.Unlock()
		return // it went on, or the timer was set anew
	}
	if owner == nil {
		delete(r.held, h.stream.path)
	}
	r.mu.Unlock()
	if owner != nil {
		owner.giveUp(h)
		return
	}
	h.stream.end(lost(reason))
}

// lost returns the reason of the end of a stream whose publisher was lost for
// that reason.
func lost(reason error) error { return fmt.Errorf("%w: %w", ErrLost, reason) }

// giveUp ends the stream that p was to go on with.
func (p *Publisher) giveUp(h *hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == h {
		p.endHeld(ErrLost)
	}
}

// endHeld ends the stream that was held for p, if there is one. The caller
// holds p.mu.
func (p *Publisher) endHeld(reason error) {
	if p.held == nil {
		return
	}
	p.registry.unhold(p.held)
	p.held.stream.end(reason)
	p.held = nil
}

// unhold forgets a hold.
func (r *Registry) unhold(h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(h.stream)
}

// resume goes on with the stream that was held, from its next key frame on,
// and returns which packets have to follow. The caller holds p.mu, and
// announces the stream.
func (p *Publisher) resume(packets []*media.Packet) []*media.Packet {
	h := p.held
	p.held = nil
	if h.stream.HasVideo() {
		i := slices.IndexFunc(packets, func(pkt *media.Packet) bool { return pkt.Kind == media.Video && pkt.Key && pkt.Track == 0 })
		packets = packets[max(i, 0):]
	}
	p.clock.resume(h.clock, packets)
	p.stream = h.stream
	p.stream.pause(false)
	if p.meta != nil && !sameBody(p.meta, p.stream.Metadata()) {
		p.stream.write(p.meta)
	}
	p.events.add(Resumed)
	return append(p.otherMetadata(packets[0].DTS), packets...)
}

// otherMetadata returns the codec metadata that the stream does not have yet,
// at that time.
func (p *Publisher) otherMetadata(at time.Duration) (other []*media.Packet) {
	known := p.stream.CodecMetadata()
	for _, pkt := range p.tracks.metadata() {
		if !slices.ContainsFunc(known, func(k *media.Packet) bool { return k.Track == pkt.Track && sameBody(k, pkt) }) {
			moved := *pkt
			moved.DTS = at
			other = append(other, &moved)
		}
	}
	return other
}

func sameBody(a, b *media.Packet) bool {
	return a == b || a != nil && b != nil && bytes.Equal(a.Body, b.Body)
}

// sameTracks tells whether two publishers have the same tracks with the same
// configurations.
func sameTracks(a, b []media.Track) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(t media.Track) bool {
		return !slices.ContainsFunc(b, func(o media.Track) bool {
			return t.Kind == o.Kind && t.ID == o.ID && t.Codec == o.Codec && sameBody(t.Config, o.Config)
		})
	})
}

// resume moves the clocks, which have just begun, behind those of the publisher
// before: the first packet of each track is due a frame after the last one, and
// none of them before that. Packets are those that follow; their times are
// moved too.
func (t *timeline) resume(before *timeline, packets []*media.Packet) {
	shift := int64(longAgo)
	for _, c := range t.clocks {
		old := before.find(c.track)
		if old == nil {
			continue
		}
		next := c.out + max(c.step, old.step) // where none of its packets follows yet
		for _, pkt := range packets {
			if pkt.Kind == c.track.kind && pkt.Track == c.track.id {
				next = pkt.DTS.Milliseconds()
				break
			}
		}
		shift = max(shift, old.out+max(old.step, 1)-next)
	}
	for _, pkt := range packets {
		pkt.DTS += time.Duration(shift) * time.Millisecond
	}
	t.start(shift)
	for _, c := range t.clocks {
		if old := before.find(c.track); old != nil {
			c.out = max(c.out, old.out)
		}
	}
	t.data = max(t.data, before.data)
}
