// Package rendition turns the packets of a stream into the bytes that viewers
// take: once per stream and form, however many viewers there are, and only
// while somebody takes them.
//
//	stream.Stream ──Tap──▶ Rendition ──Append──▶ fanout.Log ──▶ viewers
package rendition

import (
	"errors"
	"slices"
	"sync"
	"time"

	"sluice/flv"
	"sluice/internal/fanout"
	"sluice/internal/stream"
	"sluice/media"
)

// Profile says for whom a rendition is made.
type Profile uint8

// The profiles.
const (
	Raw Profile = iota // what was published
	Web                // what players in browsers can play of it, in the form that they take
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
	// Track is which track of each kind is sent, the default one where there
	// is no other: as an ordinary stream of single tracks. [AllTracks], for
	// [Raw] alone, sends all of them as they were published.
	Track int
	// LegacyHEVC gives [Web] H.265 by codec id 12, for old players.
	LegacyHEVC bool
	Format     Format
	Framing    fanout.Framing
	Stream     uint8 // the message stream of [RTMP]; players hardly ever name another one than 1
}

// AllTracks stands for every track of a stream.
const AllTracks = -1

// Takes tells whether tracks of a kind are in renditions of that form.
func (s Spec) Takes(k media.Kind) bool {
	return (k != media.Audio || !s.NoAudio) && (k != media.Video || !s.NoVideo)
}

// ErrNoTrack is wrapped by every report that nothing of a stream is left in a
// rendition.
var ErrNoTrack = errors.New("rendition: no track of the stream is left")

// audioKeyEvery is how often a viewer can begin in a rendition without video.
const audioKeyEvery = 500 * time.Millisecond

// Rendition is one form of a stream. It is safe for concurrent use.
type Rendition struct {
	hub    *Hub
	stream *stream.Stream
	spec   Spec
	view   View // its lanes are guarded by mu
	encode func(*media.Packet)
	video  bool // begins at the key frames of track 0
	log    *fanout.Log
	detach func()

	begin sync.Once
	err   error // of begin

	refs   int         // guarded by Hub.mu
	linger *time.Timer // guarded by Hub.mu

	mu      sync.Mutex      // guards below; locked after the stream's and before the log's lock
	meta    *media.Packet   // the publisher's newest onMetaData
	extra   []*media.Packet // codec metadata
	last    time.Duration   // the newest time
	key     keyPoint
	prefix  [][]byte // for key, made by the first viewer that begins there
	backlog backlog
	edge    edge
	chunks  pieces // of the newest packet
	failed  bool   // a packet did not fit a tag
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
func (r *Rendition) Tracks() []media.Track { return r.view.Tracks }

// LeftOut names the tracks that the profile cannot carry; the slice is shared.
func (r *Rendition) LeftOut() []string { return r.view.LeftOut }

// start begins to encode, with the GOP window first.
func (r *Rendition) start(l fanout.Options) error {
	tracks := r.stream.Tracks()
	if r.spec.Profile == Web && r.spec.Track != AllTracks { // it leaves them out, and says so
		tracks = slices.Concat(tracks, r.stream.Unread())
	}
	view, err := NewView(tracks, r.spec)
	if err != nil {
		return err
	}
	r.view, r.encode = view, r.encodePacket
	r.video = slices.ContainsFunc(view.Tracks, func(t media.Track) bool { return t.Kind == media.Video && t.ID == 0 })
	l.Framing = r.spec.Framing
	r.log = fanout.NewLog(l)

	// From the moment of Tap on, packets come in on the publisher's goroutine:
	// they have to wait until those of the window are in the log.
	meta, extra := r.stream.Metadata(), r.stream.CodecMetadata()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meta = meta
	for _, p := range extra {
		r.view.apply(p, func(p *media.Packet) { r.extra = media.UpdateMetadata(r.extra, p) })
	}
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

// append encodes what a packet of the stream becomes. The caller holds r.mu.
func (r *Rendition) append(p *media.Packet) {
	if p.Kind == media.Data && p.Type == media.Metadata {
		r.meta, r.prefix, r.edge = p, nil, edge{}
	}
	r.view.apply(p, r.encode)
}

// encodePacket encodes a packet of the rendition. The caller holds r.mu.
func (r *Rendition) encodePacket(p *media.Packet) {
	body := p.Body
	switch {
	case p.Kind == media.Data && p.Type == media.Metadata:
		body = r.metadata()
	case p.Type == media.Metadata, p.Type == media.Reset:
		r.extra, r.prefix = media.UpdateMetadata(r.extra, p), nil
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
	key := r.isKey(p)
	var pos int64
	if r.spec.Format == RTMP {
		pos = r.appendMessage(key, p, body)
	} else {
		tag := newTagFrame(p, len(body))
		pos = r.log.Append(key, tag.head[:], body, tag.tail[:])
	}
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

// ParseJoin returns the join of a name in a URL; what is no such name is Auto, and
// not ok.
func ParseJoin(name string) (j Join, ok bool) {
	for _, j := range []Join{GOP, Edge, Next} {
		if j.String() == name {
			return j, true
		}
	}
	return Auto, false
}

// maxBehind is how old the newest key frame may be for a viewer to begin at it
// with true times, unless it asks for that.
const maxBehind = 2 * time.Second

// Begin returns where a viewer starts in the log and what it is sent before:
// the FLV header where there is one, onMetaData and configurations, and with
// [Edge] the squeezed frames; whole frames of the log's framing, shared with
// other viewers. joined is the join that it really gets, never Auto: without a
// key frame in the log it is the next one.
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
	for _, t := range r.view.Tracks {
		audio = audio || t.Kind == media.Audio
		video = video || t.Kind == media.Video
	}
	var b []byte
	if r.spec.Format == FLV {
		b = flv.AppendHeader(b, audio, video)
	}
	b = r.spec.appendWhole(b, media.Data, 0, r.metadata())
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for _, t := range ofKind(r.view.Tracks, kind) {
			if t.Config != nil {
				b = r.spec.appendWhole(b, kind, dts, t.Config.Body)
			}
			for _, p := range r.extra {
				if p.Kind == kind && p.Track == t.ID {
					b = r.spec.appendWhole(b, kind, dts, p.Body)
				}
			}
		}
	}
	return r.spec.Framing.Frame(b)
}

// metadata returns the body of the rendition's onMetaData.
func (r *Rendition) metadata() []byte {
	if r.spec.Profile == Web {
		return flv.WebMetadata(r.meta, r.view.Tracks)
	}
	return flv.LiveMetadata(r.meta, r.view.Tracks)
}

// Release gives the rendition back. It is dropped when nobody took it for a
// while.
func (r *Rendition) Release() { r.hub.release(r) }
