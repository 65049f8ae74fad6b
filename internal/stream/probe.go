package stream

import (
	"bytes"
	"slices"
	"time"

	"sluice/media"
)

// keyWait is how many times longer than the probe a stream is held back whose
// video frames come in, but no key frame yet.
const keyWait = 7

// What a publisher can make the server keep, whatever it sends.
const (
	maxTracks  = 16
	maxConfig  = 256 << 10 // the configurations of real codecs are a few KiB at most
	heldPacket = 128       // what a held packet costs besides its body
)

// probe holds the first packets of a stream back while its tracks show up.
type probe struct {
	limits  Limits
	started bool
	elapsed bool // by the clock on the wall
	timer   *time.Timer
	held    []*media.Packet
	bytes   int
	first   time.Duration
	last    time.Duration
}

func (b *probe) hold(pkt *media.Packet) {
	if len(b.held) == 0 {
		b.first = pkt.DTS
	}
	b.held = append(b.held, pkt)
	b.bytes += len(pkt.Body) + heldPacket
	b.last = max(b.last, pkt.DTS)
}

// over tells whether the tracks have had their time.
func (b *probe) over() bool {
	return b.started && (b.elapsed || b.last-b.first >= b.limits.Probe || b.bytes >= b.limits.Pending)
}

// waitedForKey tells whether even video without a key frame had its time.
func (b *probe) waitedForKey() bool {
	return b.last-b.first >= keyWait*b.limits.Probe || b.bytes >= b.limits.Pending
}

func (b *probe) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// lineup is what a publisher has shown of its tracks.
type lineup struct {
	tracks []candidate
	unread []media.Track // of codecs that nobody here knows; never written to again
}

// candidate is a track from its first configuration or frame on. It counts
// when it has a frame: encoders announce audio that never comes.
type candidate struct {
	media.Track
	meta   *media.Packet // the newest codec metadata, nil where there is none
	frames bool          // decodable frames have come
	noKey  bool          // frames have come, but none to begin at
	misfit time.Time     // when the first frame came whose configuration is missing
}

// find returns the track of a packet, nil where there is none yet.
func (l *lineup) find(pkt *media.Packet) *candidate {
	for i := range l.tracks {
		if c := &l.tracks[i]; c.Kind == pkt.Kind && c.ID == pkt.Track {
			return c
		}
	}
	return nil
}

// enter returns the track of a packet, a new one if need be, and nil when
// there are too many.
func (l *lineup) enter(pkt *media.Packet) *candidate {
	if c := l.find(pkt); c != nil || len(l.tracks) == maxTracks {
		return c
	}
	l.tracks = append(l.tracks, candidate{Track: media.Track{Kind: pkt.Kind, Codec: pkt.Codec, ID: pkt.Track}})
	return &l.tracks[len(l.tracks)-1]
}

// configure takes a configuration and tells whether it changes a track whose
// frames are under way.
func (l *lineup) configure(pkt *media.Packet) (changed bool) {
	if len(pkt.Body) > maxConfig {
		return false
	}
	c := l.enter(pkt)
	if c == nil || c.Config != nil && c.Codec == pkt.Codec && bytes.Equal(c.Config.Body, pkt.Body) {
		return false
	}
	if c.Codec != pkt.Codec {
		c.meta = nil
	}
	c.Config, c.Codec = pkt, pkt.Codec
	return c.frames
}

// note takes codec metadata, which may come before the configuration, or takes
// it back.
func (l *lineup) note(pkt *media.Packet) {
	switch c := l.find(pkt); {
	case pkt.Type == media.Reset && c != nil:
		c.meta = nil
	case pkt.Type == media.Metadata && len(pkt.Body) <= maxConfig:
		if c = l.enter(pkt); c != nil && c.Codec == pkt.Codec {
			c.meta = pkt
		}
	}
}

// recode takes the codec of a frame that needs no configuration, and tells
// whether frames of another codec are under way in its track.
func (l *lineup) recode(pkt *media.Packet) (changed bool) {
	c := l.find(pkt)
	if c == nil || c.Codec == pkt.Codec || pkt.Codec.NeedsConfig() {
		return false
	}
	c.Codec, c.Config, c.meta = pkt.Codec, nil, nil
	return c.frames
}

// admit tells whether a frame can be decoded, and whether it is the first one
// of its track.
func (l *lineup) admit(pkt *media.Packet) (ok, first bool) {
	c := l.enter(pkt)
	switch {
	case c == nil, c.Codec != pkt.Codec, c.Config == nil && c.Codec.NeedsConfig():
		return false, false
	case c.frames:
		return true, false
	case c.Kind == media.Video && !pkt.Key:
		c.noKey = true
		return false, false
	}
	c.frames, c.noKey = true, false
	if c.Kind == media.Audio {
		c.First = pkt
	}
	return true, true
}

// strange notes the track of a packet of a codec that nobody here knows, and tells
// whether it is new. Video without a payload, a command for the player, is of none.
func (l *lineup) strange(pkt *media.Packet) bool {
	t := media.Track{Kind: pkt.Kind, ID: pkt.Track}
	known := slices.ContainsFunc(l.unread, func(o media.Track) bool { return o.Kind == t.Kind && o.ID == t.ID })
	if pkt.Kind == media.Video && pkt.Payload == 0 || known || len(l.unread) == maxTracks {
		return false
	}
	l.unread = append(slices.Clip(l.unread), t)
	return true
}

// lacks tells whether the frames of a track have come without their
// configuration for that long.
func (l *lineup) lacks(pkt *media.Packet, now time.Time, d time.Duration) bool {
	c := l.find(pkt)
	if c == nil || c.Config != nil && c.Codec == pkt.Codec {
		return false
	}
	if c.misfit.IsZero() {
		c.misfit = now
	}
	return now.Sub(c.misfit) >= d
}

// hopeless tells whether nothing has come that can be decoded, or could be
// from the next key frame on.
func (l *lineup) hopeless() bool {
	for _, c := range l.tracks {
		if c.frames || c.noKey {
			return false
		}
	}
	return true
}

// counts tells whether the track of a packet has frames.
func (l *lineup) counts(pkt *media.Packet) bool {
	c := l.find(pkt)
	return c != nil && c.frames
}

// complete tells whether the default audio and video tracks are both there,
// and every other one that was announced.
func (l *lineup) complete() bool {
	var audio, video bool
	for _, c := range l.tracks {
		if c.frames && c.ID == 0 {
			audio = audio || c.Kind == media.Audio
			video = video || c.Kind == media.Video
		}
	}
	return audio && video && l.settled()
}

// settled tells whether every track that was announced is there.
func (l *lineup) settled() bool {
	for _, c := range l.tracks {
		if !c.frames && (c.Config != nil || c.noKey) {
			return false
		}
	}
	return true
}

// playable tells whether there is something to play. Video that still lacks
// its key frame is waited for, unless it has had its time.
func (l *lineup) playable(keyWaitOver bool) bool {
	some := false
	for _, c := range l.tracks {
		if c.noKey && !keyWaitOver {
			return false
		}
		some = some || c.frames
	}
	return some
}

// list returns the tracks that have frames.
func (l *lineup) list() []media.Track {
	var out []media.Track
	for _, c := range l.tracks {
		if c.frames {
			out = append(out, c.Track)
		}
	}
	return out
}

// metadata returns the codec metadata of the tracks that have frames.
func (l *lineup) metadata() []*media.Packet {
	var out []*media.Packet
	for _, c := range l.tracks {
		if c.frames && c.meta != nil {
			out = append(out, c.meta)
		}
	}
	return out
}

// forget makes every track prove anew that it has frames.
func (l *lineup) forget() {
	l.unread = nil
	for i := range l.tracks {
		l.tracks[i].frames = false
	}
}
