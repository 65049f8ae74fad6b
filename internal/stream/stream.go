// Package stream is the middle of the server: what is live, under which path,
// on which timeline, and where a viewer can begin.
//
//	Publisher.Write ─▶ timeline ─▶ Stream ─▶ GOP window
//	                                 └─▶ Tap, Tap, …   (renditions, recordings, relays)
//
// A [Stream] has tracks and configurations that never change. When those of
// the publisher do, the stream ends and the next one begins under the same
// path; so nobody downstream has to cope with a change. A stream outlives its
// publisher for a while: when that one is lost, the next with the same tracks
// goes on with it, and a [Tap] sees one sequence of packets without a seam.
package stream

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/media"
)

// Limits bounds what a stream keeps.
type Limits struct {
	// The GOP window: a longer or larger one is given up until the next key
	// frame.
	WindowBytes   int
	WindowPackets int
	WindowTime    time.Duration
	// AudioWindow is how much of a stream without video is kept.
	AudioWindow time.Duration
	// Probe is how long a publisher's first packets are watched for the
	// tracks it has, unless audio and video are both there before.
	Probe time.Duration
	// Pending bounds the bytes held while probing.
	Pending int
}

// DefaultLimits returns the limits that fit everything from cameras to 4K.
func DefaultLimits() Limits {
	return Limits{
		WindowBytes:   32 << 20,
		WindowPackets: 8192,
		WindowTime:    30 * time.Second,
		AudioWindow:   time.Second,
		Probe:         1500 * time.Millisecond,
		Pending:       32 << 20,
	}
}

// Tap takes the packets of a stream, in order and on its timeline. Its methods
// run on the publisher's goroutine under the stream's lock: they must return
// at once and must not call the stream.
type Tap interface {
	// Packet takes one packet, which is shared and immutable.
	Packet(p *media.Packet)
	// End says that no packet follows, and why.
	End(reason error)
}

// place is where a Tap is attached: the same one may be so more than once, and
// need not be comparable.
type place struct{ Tap }

// Stream is what is live under a path. It is safe for concurrent use.
type Stream struct {
	path    string
	started time.Time
	tracks  []media.Track
	bytes   atomic.Int64
	done    chan struct{}
	paused  atomic.Bool // its publisher is lost

	mu     sync.Mutex // guards all below
	window window
	meta   *media.Packet
	extra  []*media.Packet // codec metadata, in a slice that is never written to again
	unread []media.Track   // likewise
	taps   []*place
	err    error
}

func newStream(path string, tracks []media.Track, meta *media.Packet, l Limits, k Keep) *Stream {
	s := &Stream{path: path, started: time.Now(), tracks: tracks, meta: meta, done: make(chan struct{})}
	s.window.limits = l
	s.window.past.keep = k
	s.window.video = slices.ContainsFunc(tracks, func(t media.Track) bool {
		return t.Kind == media.Video && t.ID == 0
	})
	return s
}

// Path returns the stream path.
func (s *Stream) Path() string { return s.path }

// Started returns when the stream began.
func (s *Stream) Started() time.Time { return s.started }

// Tracks returns the tracks with their configurations. They never change; the
// slice is shared and must not be changed either.
func (s *Stream) Tracks() []media.Track { return s.tracks }

// HasVideo tells whether the default video track exists.
func (s *Stream) HasVideo() bool { return s.window.video }

// Bytes returns how many bytes of media have come in.
func (s *Stream) Bytes() int64 { return s.bytes.Load() }

// Metadata returns the publisher's newest onMetaData, or nil.
func (s *Stream) Metadata() *media.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta
}

// CodecMetadata returns the newest codec metadata of each track that has some,
// such as colour information and channel layouts: what a viewer is told beside
// the configurations. The slice is shared.
func (s *Stream) CodecMetadata() []*media.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extra
}

// Unread returns the tracks so far whose codec nobody here knows, and of which there is
// no more than kind and number: their packets are passed on as they came. The slice is
// shared.
func (s *Stream) Unread() []media.Track {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unread
}

func (s *Stream) setUnread(tracks []media.Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread = tracks
}

// Done is closed when the stream has ended.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err returns why the stream ended, nil while it is live.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// State tells whether the stream has a publisher.
func (s *Stream) State() State {
	select {
	case <-s.done:
		return Over
	default:
	}
	if s.paused.Load() {
		return Reconnecting
	}
	return Live
}

// pause says that the publisher is lost, or back.
func (s *Stream) pause(lost bool) { s.paused.Store(lost) }

// Tap returns the GOP window and, from the packet after its last, hands every
// packet to t. The window begins at a key frame if there is video, and is
// empty while none can be offered; configurations are not in it, see
// [Stream.Tracks]. detach may be called any number of times; when it returns,
// t is not called any more. After the end of the stream Tap returns its
// reason.
func (s *Stream) Tap(t Tap) (window []*media.Packet, detach func(), err error) {
	return s.TapFrom(t, 0)
}

// TapFrom is [Stream.Tap] with a window that begins at the key frame at or
// before that long ago, or as far back as the stream has kept its packets
// ([Registry.Keep]); it is never shorter than that of Tap.
func (s *Stream) TapFrom(t Tap, before time.Duration) (window []*media.Packet, detach func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	at := &place{t}
	s.taps = append(s.taps, at)
	return s.window.from(before), func() { s.detach(at) }, nil
}

func (s *Stream) detach(at *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.taps, at); i >= 0 {
		s.taps = slices.Delete(s.taps, i, i+1)
	}
}

// write hands p, which is on the timeline, to everybody.
func (s *Stream) write(p *media.Packet) {
	s.bytes.Add(int64(len(p.Body)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if p.Kind == media.Data && p.Type == media.Metadata {
		s.meta = p
	} else {
		if len(p.Body) <= maxConfig {
			s.extra = media.UpdateMetadata(s.extra, p)
		}
		s.window.add(p)
	}
	for _, t := range s.taps {
		t.Packet(p)
	}
}

// end hands the reason to everybody. Only the first call counts.
func (s *Stream) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = reason
	s.window.reset()
	for _, t := range s.taps {
		t.End(reason)
	}
	s.taps = nil
	close(s.done)
}
