// Package rendition turns the packets of a stream into the bytes that viewers
// take: once per stream and form, however many viewers there are, and only
// while somebody takes them.
//
//	stream.Stream ──Tap──▶ Rendition ──Append──▶ fanout.Log ──▶ viewers
package rendition

import (
	"errors"
	"sync"
	"time"

	"sluice/flv"
	"sluice/internal/fanout"
	"sluice/internal/stream"
	"sluice/media"
)

// Profile says for whom a rendition is made.
type Profile uint8

// The profiles. Until browsers get a form of their own, both are what was
// published.
const (
	Raw Profile = iota // what was published
	Web                // for the players in browsers
)

// String returns the profile's name in URLs and headers.
func (p Profile) String() string {
	if p == Web {
		return "web"
	}
	return "raw"
}

// Spec says what a rendition holds and in which form.
type Spec struct {
	Profile Profile
	NoAudio bool
	NoVideo bool
	Framing fanout.Framing
}

// Takes tells whether tracks of a kind are in renditions of that form.
func (s Spec) Takes(k media.Kind) bool {
	return (k != media.Audio || !s.NoAudio) && (k != media.Video || !s.NoVideo)
}

// ErrNoTrack reports that nothing of the stream is left in a rendition.
var ErrNoTrack = errors.New("rendition: no track of the stream is left")

// audioKeyEvery is how often a viewer can begin in a rendition without video.
const audioKeyEvery = 500 * time.Millisecond

// Rendition is one form of a stream. It is safe for concurrent use.
type Rendition struct {
	hub    *Hub
	stream *stream.Stream
	spec   Spec
	tracks []media.Track
	video  bool // begins at the key frames of track 0
	log    *fanout.Log
	detach func()

	begin sync.Once
	err   error // of begin

	refs   int         // guarded by Hub.mu
	linger *time.Timer // guarded by Hub.mu

	mu      sync.Mutex    // guards below; locked after the stream's and before the log's lock
	meta    *media.Packet // the publisher's newest onMetaData
	last    time.Duration // the newest time
	key     keyPoint
	prefix  [][]byte // for key, made by the first viewer that begins there
	backlog backlog
	edge    edge
	failed  bool // a packet did not fit a tag
}

// keyPoint is a place where a viewer can begin.
type keyPoint struct {
	pos int64
	dts time.Duration
	ok  bool
}

// Log returns the bytes of the rendition.
func (r *Rendition) Log() *fanout.Log { return r.log }

// Stream returns the stream that the rendition is made of.
func (r *Rendition) Stream() *stream.Stream { return r.stream }

// Tracks returns the tracks that are in the rendition; the slice is shared.
func (r *Rendition) Tracks() []media.Track { return r.tracks }

// start begins to encode, with the GOP window first.
func (r *Rendition) start(l fanout.Options) error {
	for _, t := range r.stream.Tracks() {
		if r.spec.Takes(t.Kind) {
			r.tracks = append(r.tracks, t)
			r.video = r.video || t.Kind == media.Video && t.ID == 0
		}
	}
	if len(r.tracks) == 0 {
		return ErrNoTrack
	}
	l.Framing = r.spec.Framing
	r.log = fanout.NewLog(l)

	// From the moment of Tap on, packets come in on the publisher's goroutine:
	// they have to wait until those of the window are in the log.
	meta := r.stream.Metadata()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meta = meta
	window, detach, err := r.stream.Tap(r)
	if err != nil {
		r.log.End(err)
		return err
	}
	r.detach = detach
	for _, p := range window {
		r.append(p)
	}
	return nil
}

// Packet implements [stream.Tap].
func (r *Rendition) Packet(p *media.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.append(p)
}

// End implements [stream.Tap].
func (r *Rendition) End(reason error) { r.log.End(reason) }

// append encodes one packet. The caller holds r.mu.
func (r *Rendition) append(p *media.Packet) {
	if !r.spec.Takes(p.Kind) {
		return
	}
	body := p.Body
	if p.Kind == media.Data && p.Type == media.Metadata {
		r.meta, r.prefix = p, nil
		body = flv.LiveMetadata(p, r.tracks)
	}
	if len(body) > flv.MaxTagBody {
		r.complain(p)
		return
	}
	if p.Kind != media.Data {
		r.last = max(r.last, p.DTS)
	}
	r.backlog.add(p)
	r.edge = edge{}
	tag := newTagFrame(p, len(body))
	key := r.isKey(p)
	pos := r.log.Append(key, tag.head[:], body, tag.tail[:])
	if key {
		r.key, r.prefix = keyPoint{pos, p.DTS, true}, nil
	}
}

// isKey tells whether a viewer can begin at p: at a key frame, and where
// there is no video about twice a second.
func (r *Rendition) isKey(p *media.Packet) bool {
	if p.Type != media.Frame || p.Track != 0 {
		return false
	}
	if r.video {
		return p.Kind == media.Video && p.Key
	}
	return p.Kind == media.Audio && (!r.key.ok || p.DTS-r.key.dts >= audioKeyEvery)
}

// complain logs, once, that a packet was left out.
func (r *Rendition) complain(p *media.Packet) {
	if !r.failed {
		r.hub.log.Warn("a packet is too large for FLV and was left out",
			"stream", r.stream.Path(), "kind", p.Kind.String(), "bytes", len(p.Body))
	}
	r.failed = true
}

// Join says where a viewer starts.
type Join uint8

// The joins.
const (
	Auto Join = iota // what suits the profile
	GOP              // at the newest key frame, with true times
	Edge             // at the newest key frame, its pictures squeezed up to the live edge
	Next             // at the next key frame
)

// String returns the join's name in URLs and headers.
func (j Join) String() string {
	switch j {
	case GOP:
		return "gop"
	case Edge:
		return "edge"
	case Next:
		return "next"
	case Auto:
	}
	return "auto"
}

// maxBehind is how old the newest key frame may be for a viewer to begin at it
// with true times, unless it asks for that.
const maxBehind = 2 * time.Second

// Begin returns where a viewer starts in the log and what it is sent before:
// the FLV header, onMetaData and configurations, and with [Edge] the squeezed
// frames; whole frames of the log's framing, shared with other viewers. joined
// is the join that it really gets, never Auto: without a key frame in the log
// it is the next one.
func (r *Rendition) Begin(j Join) (pos int64, prefix [][]byte, joined Join) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j = r.choose(j)
	if j == Edge {
		if e, ok := r.squeezedPrefix(); ok {
			return e.pos, e.pieces, Edge
		}
		j = GOP
	}
	if j == Next || !r.key.ok || !r.log.Holds(r.key.pos) {
		return fanout.Next, [][]byte{r.makePrefix(r.last)}, Next
	}
	if r.prefix == nil {
		r.prefix = [][]byte{r.makePrefix(r.key.dts)}
	}
	return r.key.pos, r.prefix, GOP
}

// choose decides what a join comes to. The caller holds r.mu.
func (r *Rendition) choose(j Join) Join {
	if j == Auto {
		j = Edge
		if r.spec.Profile == Raw && r.last-r.key.dts <= maxBehind {
			j = GOP
		}
	}
	switch {
	case j != Edge:
		return j
	case !r.video:
		return GOP
	case r.backlog.overflow:
		if d, known := r.backlog.nextIn(r.last); known && d <= nextIsNear {
			return Next
		}
		return GOP
	}
	return Edge
}

// makePrefix returns what stands before the first tag of a viewer that begins
// at that time: the tracks that really follow, which players go by. The caller
// holds r.mu.
func (r *Rendition) makePrefix(dts time.Duration) []byte {
	var audio, video bool
	for _, t := range r.tracks {
		audio = audio || t.Kind == media.Audio
		video = video || t.Kind == media.Video
	}
	b := flv.AppendHeader(nil, audio, video)
	b = appendTag(b, media.Data, 0, flv.LiveMetadata(r.meta, r.tracks))
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for _, t := range r.tracks {
			if t.Kind == kind && t.Config != nil {
				b = appendTag(b, kind, dts, t.Config.Body)
			}
		}
	}
	return r.spec.Framing.Frame(b)
}

// Release gives the rendition back. It is dropped when nobody took it for a
// while.
func (r *Rendition) Release() { r.hub.release(r) }
