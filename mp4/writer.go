package mp4

import (
	"fmt"
	"io"
	"math"
	"time"
)

// When a fragment ends: at a key frame, or at any frame where there is no key
// frame for long; and before it takes much memory.
const (
	minFragment  = 500 * time.Millisecond
	soundAlone   = time.Second
	maxFragment  = 2500 * time.Millisecond
	maxBuffered  = 4 << 20
	sampleCost   = 64        // what a sample takes beside its bytes
	longDuration = time.Hour // from which on the next fragment says when it begins
)

// jitter is how far the times of sound may be from those that its samples
// count, before they are believed: times in milliseconds are rounded.
const jitter = 5 * time.Millisecond

// Sample is a frame of a track. DTS is the decoding time on a clock that all
// tracks share, which may begin anywhere, CTS is presentation minus decoding.
// The Writer keeps Data until the fragment is written.
type Sample struct {
	DTS, CTS time.Duration
	Key      bool // of a picture, that decoding can begin here
	Data     []byte
}

// Writer writes a file to where nothing can be changed any more. The movie
// begins with the first sample that is to be seen or heard, whatever its time;
// the tracks keep their distance. It buffers a fragment, about a second, and is
// not safe for concurrent use.
type Writer struct {
	w        io.Writer
	duration time.Duration
	lanes    []*lane
	video    bool // there is a track of pictures
	begun    bool // the head is written
	number   uint32
	size     int // of what is buffered
	since    time.Duration
	buf      []byte
}

// NewWriter returns a Writer of a file with those tracks. The duration is the
// whole movie's, 0 where nobody knows. The error is [ErrTrack].
func NewWriter(w io.Writer, tracks []Track, duration time.Duration) (*Writer, error) {
	if err := check(tracks); err != nil {
		return nil, err
	}
	m := &Writer{w: w, duration: duration}
	for _, t := range tracks {
		m.lanes = append(m.lanes, &lane{Track: t, scale: t.Timescale()})
		m.video = m.video || t.isVideo()
	}
	return m, nil
}

// Write adds a sample to a track, behind those that it has. Times that run
// backwards in a track stand still. The error is [ErrTooLong], or the writer's.
func (m *Writer) Write(track int, s Sample) error {
	if len(s.Data) > MaxSample {
		return fmt.Errorf("%w: %d bytes", ErrTooLong, len(s.Data))
	}
	l := m.lanes[track]
	if !l.seen {
		l.seen, l.first = true, s.DTS
	}
	gap := false
	if n := len(l.samples); n > 0 {
		last := l.samples[n-1].DTS
		if s.DTS < last {
			s.DTS, s.CTS = last, s.CTS+s.DTS-last
		}
		gap = s.DTS-last > longDuration
	}
	if m.size == 0 {
		m.since = s.DTS
	}
	l.samples = append(l.samples, s)
	m.size += sampleCost + len(s.Data)

	span, key := s.DTS-m.since, l.isVideo() && s.Key
	switch {
	case key && span >= minFragment, !m.video && span >= soundAlone, span >= maxFragment, m.size >= maxBuffered, gap:
		return m.flush(false)
	}
	return nil
}

// Close writes what is buffered, and the head where there was no sample. It
// does not close the writer below.
func (m *Writer) Close() error { return m.flush(true) }

// flush writes a fragment of all samples whose durations are known: all but the
// last one of each track, or really all.
func (m *Writer) flush(all bool) error {
	b := m.buf[:0]
	if !m.begun {
		m.begun = true
		var err error
		if b, err = m.appendHead(b); err != nil {
			return err
		}
	}
	var runs []Run
	var data [][]byte
	m.size, m.since = 0, math.MinInt64
	for i, l := range m.lanes {
		run, samples := l.take(all)
		run.Track = i
		if len(samples) > 0 {
			runs = append(runs, run)
		}
		for _, s := range samples {
			data = append(data, s.Data)
		}
		for _, s := range l.samples {
			m.size += sampleCost + len(s.Data)
			m.since = max(m.since, s.DTS) // a track that has ended shortens no fragment
		}
	}
	if len(runs) > 0 {
		m.number++
		var err error
		if b, err = AppendFragment(b, m.number, runs); err != nil {
			return err
		}
	}
	m.buf = b
	for _, part := range append([][]byte{b}, data...) {
		if _, err := m.w.Write(part); err != nil {
			return fmt.Errorf("writing a fragment: %w", err)
		}
	}
	return nil
}

// appendHead appends the head and settles where the movie begins: with the
// first sample that is presented.
func (m *Writer) appendHead(b []byte) ([]byte, error) {
	begin, tracks := time.Duration(math.MaxInt64), make([]Track, len(m.lanes))
	for _, l := range m.lanes {
		for _, s := range l.samples {
			begin = min(begin, s.DTS+s.CTS)
			l.early = max(l.early, -s.CTS)
		}
	}
	for i, l := range m.lanes {
		l.origin = begin
		if first := l.first - l.early; l.seen && first < begin {
			l.origin = first
			l.Skip = ticks(begin-first, l.scale)
		}
		tracks[i] = l.Track
	}
	return AppendHead(b, tracks, m.duration)
}

// ticks returns a time that is not negative in units of a timescale.
func ticks(d time.Duration, scale uint32) uint64 {
	d = max(d, 0)
	whole, part := uint64(d/time.Second), uint64(d%time.Second) //nolint:gosec // not negative
	return whole*uint64(scale) + (part*uint64(scale)+uint64(time.Second)/2)/uint64(time.Second)
}
