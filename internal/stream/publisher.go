package stream

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"sluice/media"
)

// Publisher is the writing end of a path. What it writes becomes a [Stream] as
// soon as its tracks are known, and another one whenever they change.
//
//	first packet ──▶ probing ──▶ live ──▶ ended, or its stream held
//	                    ▲          │ a track or its configuration changes
//	                    └──────────┘
type Publisher struct {
	registry *Registry
	path     string
	claim    Claim

	takeovers []time.Time // when those with its key replaced each other; set before anybody knows it

	mu     sync.Mutex // guards all below; locked before Stream.mu and Registry.mu
	stream *Stream    // nil while probing
	held   *hold      // that it may go on with, while probing
	heard  time.Time  // when it has sent audio or video, or came
	blank  time.Time  // since when audio or video comes without a stream
	clock  *timeline
	tracks lineup
	meta   *media.Packet
	probe  probe
	events events
	err    error
}

func newPublisher(r *Registry, path string, c Claim) *Publisher {
	return &Publisher{registry: r, path: path, claim: c, heard: time.Now(), clock: newTimeline()}
}

// Path returns the path that is published.
func (p *Publisher) Path() string { return p.path }

// Write takes one packet, stamped by the publisher's own clock in whole
// milliseconds modulo 2^32, and owns its body from then on. It is called from
// one goroutine. After [Publisher.End] it returns the reason given there.
func (p *Publisher) Write(pkt media.Packet) error {
	now := time.Now()
	p.mu.Lock()
	defer p.unlock()
	if p.err != nil {
		return p.err
	}
	if pkt.Kind != media.Data {
		p.heard = now
	}
	switch {
	case pkt.Kind == media.Data:
		p.writeData(&pkt)
	case pkt.Kind != media.Audio && pkt.Kind != media.Video:
	case pkt.Type == media.Config:
		if p.tracks.configure(&pkt) {
			p.restart(ErrChanged)
		}
	default:
		p.writeMedia(&pkt, now)
	}
	return p.check(&pkt, now)
}

// How long a publisher may send what cannot be decoded, until somebody is told
// and until it is not taken any more.
const (
	complainAfter = 2 * time.Second
	decodeWithin  = 10 * time.Second
)

// check returns an error when the publisher has sent nothing for too long that
// can be decoded.
func (p *Publisher) check(pkt *media.Packet, now time.Time) error {
	switch {
	case p.stream != nil:
		p.blank = time.Time{}
	case pkt.Kind == media.Data, pkt.Type == media.Config: // that may help
	case p.blank.IsZero():
		p.blank = now
	case now.Sub(p.blank) >= decodeWithin && p.tracks.hopeless():
		return ErrUndecodable
	}
	return nil
}

// Err returns why the publisher has ended, nil before.
func (p *Publisher) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// End ends what is live, for that reason, and frees the path. Only the first
// end of a publisher counts; any goroutine may make it. A nil reason means
// [ErrEnded].
func (p *Publisher) End(reason error) {
	if reason == nil {
		reason = ErrEnded
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = reason
	p.endHeld(reason)
	p.endStream(reason)
	p.registry.hold(p, nil, reason)
}

func (p *Publisher) endStream(reason error) {
	p.probe.stop()
	p.probe = probe{}
	if p.stream != nil {
		p.registry.withdraw(p.stream)
		p.stream.end(reason)
		p.stream = nil
	}
}

// restart ends the stream, for that reason, and probes for the next.
func (p *Publisher) restart(reason error) {
	p.endStream(reason)
	p.clock = newTimeline()
	p.tracks.forget()
}

func (p *Publisher) writeData(pkt *media.Packet) {
	switch pkt.Type {
	case media.Metadata:
		if p.meta != nil && bytes.Equal(p.meta.Body, pkt.Body) {
			return
		}
		pkt.DTS = 0 // anywhere else, players take it for a track of its own
		p.meta = pkt
		if p.stream != nil {
			p.stream.write(pkt)
		}
	case media.Frame:
		p.follow(pkt)
		p.pass(pkt)
	default: // for nobody
	}
}

func (p *Publisher) writeMedia(pkt *media.Packet, now time.Time) {
	if pkt.Type == media.Metadata || pkt.Type == media.Reset {
		p.tracks.note(pkt)
	}
	switch {
	case pkt.Type == media.Frame && !p.admit(pkt):
		if p.tracks.lacks(pkt, now, complainAfter) {
			p.events.add(Undecodable)
		}
		return
	case pkt.Type == media.Frame, p.tracks.counts(pkt):
		at := p.clock.place(trackKey{pkt.Kind, pkt.Track}, millis(pkt.DTS), now)
		pkt.DTS = time.Duration(at) * time.Millisecond
	case pkt.Codec == media.Unknown && len(pkt.Body) > 0:
		if p.tracks.strange(pkt) && p.stream != nil {
			p.stream.setUnread(p.tracks.unread)
		}
		p.follow(pkt)
	default:
		return // players would wait for the track it announces
	}
	p.pass(pkt)
}

// admit tells whether a frame can be decoded. One that changes the tracks ends
// the stream.
func (p *Publisher) admit(pkt *media.Packet) bool {
	if p.stream != nil && p.clock.isFull(!p.stream.HasVideo() || pkt.Key && pkt.Track == 0) {
		p.restart(ErrTimeline)
	}
	if p.tracks.recode(pkt) {
		p.restart(ErrChanged)
	}
	ok, first := p.tracks.admit(pkt)
	if first && p.stream != nil {
		p.restart(ErrChanged)
		ok, _ = p.tracks.admit(pkt)
	}
	return ok
}

// follow puts a packet that has no clock of its own on the timeline.
func (p *Publisher) follow(pkt *media.Packet) {
	pkt.DTS = time.Duration(p.clock.follow(millis(pkt.DTS))) * time.Millisecond
}

// pass hands on a packet on the timeline, or holds it back while probing,
// which the first frame of audio or video begins.
func (p *Publisher) pass(pkt *media.Packet) {
	if p.stream != nil {
		p.stream.write(pkt)
		return
	}
	if !p.probe.started {
		if pkt.Kind == media.Data || pkt.Type != media.Frame {
			return
		}
		p.startProbe()
	}
	p.probe.hold(pkt)
	p.tryLive()
}

// startProbe gives the tracks time to show up, by the wall clock for a
// publisher that stops after its first packets; hold watches the timeline.
func (p *Publisher) startProbe() {
	p.probe.started = true
	p.probe.limits = p.registry.limits
	var timer *time.Timer
	timer = time.AfterFunc(p.registry.limits.Probe, func() { p.probeTimeout(&timer) })
	p.probe.timer = timer
}

// probeTimeout takes the address of its timer, which is set under p.mu. A fault
// that the packets meet here costs this publisher alone, as one in Write does.
func (p *Publisher) probeTimeout(timer **time.Timer) {
	defer func() {
		if v := recover(); v != nil {
			p.End(fmt.Errorf("%w: %v\n%s", ErrInternal, v, debug.Stack()))
		}
	}()
	p.mu.Lock()
	defer p.unlock()
	if p.err != nil || p.stream != nil || *timer != p.probe.timer {
		return
	}
	p.probe.elapsed = true
	p.tryLive()
}

// tryLive makes a stream of what was held back if its tracks are known, or
// goes on with the one before if they are the same.
func (p *Publisher) tryLive() {
	known := p.tracks.complete() || p.probe.over() && p.tracks.playable(p.probe.waitedForKey())
	same := p.held != nil && sameTracks(p.tracks.list(), p.held.stream.tracks)
	if !known && (!same || !p.tracks.settled()) {
		return
	}
	p.probe.stop()
	packets := p.probe.held
	p.probe.held = nil
	if same {
		packets = p.resume(packets)
	} else {
		p.endHeld(ErrChanged)
		p.begin(packets)
	}
	for _, pkt := range packets {
		p.stream.write(pkt)
	}
	p.registry.announce(p.stream)
}

// begin makes a stream that begins with the earliest of the packets.
func (p *Publisher) begin(packets []*media.Packet) {
	shift := time.Duration(0)
	for i, pkt := range packets {
		if i == 0 || pkt.DTS < -shift {
			shift = -pkt.DTS
		}
	}
	for _, pkt := range packets {
		pkt.DTS += shift
	}
	p.clock.start(shift.Milliseconds())
	p.stream = newStream(p.path, p.tracks.list(), p.meta, p.registry.limits, *p.registry.keep.Load())
	p.stream.extra, p.stream.unread = p.tracks.metadata(), p.tracks.unread
}

// millis returns a publisher's time stamp as it was on the wire.
func millis(d time.Duration) uint32 {
	return uint32(d.Milliseconds()) //nolint:gosec // modulo 2^32, as RTMP counts
}
