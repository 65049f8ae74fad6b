// Package remux makes MP4 files of FLV files, while they are read, without
// encoding pictures or sound anew; G.711 and PCM become FLAC.
package remux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/mp4"
)

// ErrNothing reports that a file has no track that MP4 can carry.
var ErrNothing = errors.New("remux: no track that can be carried in MP4")

// ErrChanged reports a file in which the configuration of a track changes,
// which one MP4 file cannot have. What was written up to there is good.
var ErrChanged = errors.New("remux: the configuration of a track changes")

// How much of a file is looked at until its tracks are known.
const (
	probeTime     = 5 * time.Second
	probePromised = 30 * time.Second // for a track that the file's header promises
	probeBytes    = 4 << 20
)

// Options says what of a file is wanted.
type Options struct {
	// Start is where to begin: at the newest key frame that is not behind it.
	Start time.Duration
	// End is where to end, 0 for the end of the file.
	End time.Duration
	// Growing says that the file is not finished: what it says of its duration
	// is not believed.
	Growing bool
}

// Source is an FLV file that is to become MP4. It is not safe for concurrent
// use.
type Source struct {
	open     func() io.Reader // the file, from where the result begins
	tags     *flv.Reader
	packets  []media.Packet // of the newest tag
	end      time.Duration
	meta     metadata
	duration time.Duration // of the result, 0 where nobody knows

	lanes   []*lane
	tracks  []mp4.Track
	leftOut []string
}

// Open looks at the beginning of a file of that size. It returns an error that
// is [ErrNothing] where nothing of it can be carried, and reads the file, which
// must stay open, only as far as its tracks are known.
func Open(r io.ReaderAt, size int64, o Options) (*Source, error) {
	s := &Source{end: o.End, open: func() io.Reader { return io.NewSectionReader(r, 0, size) }}
	begin := time.Duration(0)
	if o.Start > 0 {
		start, err := flv.SeekFile(r, size, o.Start)
		if err != nil {
			return nil, fmt.Errorf("looking for the place to begin: %w", err)
		}
		begin = start.DTS
		s.open = func() io.Reader {
			return io.MultiReader(bytes.NewReader(start.Head), io.NewSectionReader(r, start.Offset, size-start.Offset))
		}
	}
	if err := s.probe(); err != nil {
		return nil, err
	}
	if total := s.meta.duration; total > 0 && !o.Growing || o.End > 0 {
		if o.End > 0 && (o.End < total || total == 0 || o.Growing) {
			total = o.End
		}
		s.duration = max(total-begin, 0)
	}
	return s, nil
}

// HasVideo tells whether there are pictures in the result.
func (s *Source) HasVideo() bool {
	for _, l := range s.lanes {
		if l.in.Kind == media.Video {
			return true
		}
	}
	return false
}

// LeftOut names what MP4 does not carry, "audio:Speex".
func (s *Source) LeftOut() []string { return s.leftOut }

// probe reads until the tracks are known.
func (s *Source) probe() error {
	s.tags = flv.NewReader(s.open())
	h, err := s.tags.Header()
	if err != nil {
		return fmt.Errorf("reading an FLV file: %w", err)
	}
	p := prober{wants: h}
	for !p.done() {
		all, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i := range all {
			p.take(&all[i])
			if all[i].Type == media.Metadata && all[i].Kind != media.Audio {
				s.meta.take(&all[i])
			}
		}
	}
	for _, t := range p.tracks() {
		s.add(t)
	}
	switch {
	case len(s.tracks) > 0:
		return nil
	case len(s.leftOut) > 0:
		return fmt.Errorf("%w: %s", ErrNothing, strings.Join(s.leftOut, ", "))
	}
	return ErrNothing
}

// add makes room for a track, or notes that it is left out.
func (s *Source) add(t media.Track) {
	l := newLane(t)
	track := l.describe(s.meta)
	if track.Check() != nil {
		s.leftOut = append(s.leftOut, t.Kind.String()+":"+t.Codec.String())
		return
	}
	l.index = len(s.tracks)
	s.lanes = append(s.lanes, l)
	s.tracks = append(s.tracks, track)
}

// next returns the packets of the next tag, which are good until it is called
// again. Its error is [io.EOF] at the end, and where the file is cut off.
func (s *Source) next() ([]media.Packet, error) {
	tag, err := s.tags.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("reading an FLV file: %w", err)
	}
	s.packets = flv.AppendPackets(s.packets[:0], tag.Type, tag.Body)
	for i := range s.packets {
		s.packets[i].DTS = tag.DTS
	}
	return s.packets, nil
}

// WriteTo writes the MP4 file, once. It implements [io.WriterTo].
func (s *Source) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	err := s.write(count)
	return count.n, err
}

func (s *Source) write(w io.Writer) error {
	out, err := mp4.NewWriter(w, s.tracks, s.duration)
	if err != nil {
		return fmt.Errorf("beginning an MP4 file: %w", err)
	}
	s.tags = flv.NewReader(s.open())
	for ended := false; err == nil && !ended; {
		ended, err = s.writeTag(out)
	}
	if err != nil && !errors.Is(err, ErrChanged) {
		return err
	}
	return errors.Join(err, out.Close())
}

// writeTag writes what the next tag has, and tells whether it was the last.
func (s *Source) writeTag(out *mp4.Writer) (ended bool, err error) {
	all, err := s.next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		return false, err
	}
	for i := range all {
		if err := s.take(out, &all[i]); err != nil {
			return false, err
		}
		ended = ended || s.end > 0 && all[i].DTS >= s.end && all[i].Kind != media.Data
	}
	return ended, nil
}

// take writes a packet, if it is of a track that is carried.
func (s *Source) take(out *mp4.Writer, p *media.Packet) error {
	for _, l := range s.lanes {
		if l.in.Kind == p.Kind && l.in.ID == p.Track {
			return l.write(out, p, s.end)
		}
	}
	return nil
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // as it is
}
