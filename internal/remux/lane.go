package remux

import (
	"bytes"
	"fmt"
	"time"

	"sluice/flv"
	"sluice/internal/sound"
	"sluice/media"
	"sluice/mp4"
)

// lane makes the samples of one track.
type lane struct {
	in     media.Track // as it stands in the file
	out    media.Track // as it is carried
	encode func(*media.Packet, func(*media.Packet))
	index  int // of the track in the result
	begun  bool
}

func newLane(t media.Track) *lane {
	l := &lane{in: t, out: t}
	if out, encode := sound.FLAC(t); encode != nil {
		l.out, l.encode = out, encode
	}
	return l
}

// describe returns the track for the head of the file. Where that cannot be
// carried, its Check says so.
func (l *lane) describe(m metadata) mp4.Track {
	i := flv.DescribeTrack(l.out)
	t := mp4.Track{Codec: l.out.Codec, SampleRate: i.SampleRate, Channels: i.Channels}
	if l.out.Config != nil {
		t.Config = l.out.Config.Bytes()
	}
	switch t.Codec {
	case media.FLAC:
		t.Config, _ = flv.StreamInfo(t.Config)
	case media.Opus:
		t.Config = flv.OpusHead(t.Config)
	default:
	}
	if l.in.Kind == media.Video {
		l.describePicture(&t, m)
	}
	return t
}

func (l *lane) describePicture(t *mp4.Track, m metadata) {
	p := flv.DescribePicture(t.Codec, t.Config)
	t.Width, t.Height, t.Aspect = p.Width, p.Height, p.Aspect
	if t.Width == 0 || t.Height == 0 {
		t.Width, t.Height = m.width, m.height
	}
	c := mp4.Colour{Primaries: uint16(p.Primaries), Transfer: uint16(p.Transfer), Matrix: uint16(p.Matrix), FullRange: p.FullRange}
	if c.Primaries == 0 {
		c.Primaries, c.Transfer, c.Matrix = m.colour[0], m.colour[1], m.colour[2]
	}
	if c.Primaries != 0 {
		t.Colour = &c
	}
}

// write puts a packet of the track into the file, if it is a frame from before
// end.
func (l *lane) write(out *mp4.Writer, p *media.Packet, end time.Duration) error {
	switch {
	case p.Type == media.Config && l.begun && !l.same(p):
		return fmt.Errorf("%w: %v %v at %v", ErrChanged, p.Kind, p.Codec, p.DTS)
	case p.Type == media.Frame && p.Codec != l.in.Codec:
		return fmt.Errorf("%w: %v is %v at %v", ErrChanged, p.Kind, p.Codec, p.DTS)
	case p.Type != media.Frame, end > 0 && p.DTS >= end:
		return nil
	case !l.begun && p.Kind == media.Video && !p.Key:
		return nil // nobody could decode it
	}
	l.begun = true
	if l.encode == nil {
		return l.sample(out, p)
	}
	var err error
	l.encode(p, func(q *media.Packet) {
		if err == nil {
			err = l.sample(out, q)
		}
	})
	return err
}

// same tells whether a configuration is the one that the track began with.
func (l *lane) same(p *media.Packet) bool {
	return p.Codec == l.in.Codec && l.in.Config != nil && bytes.Equal(p.Bytes(), l.in.Config.Bytes())
}

func (l *lane) sample(out *mp4.Writer, p *media.Packet) error {
	s := mp4.Sample{DTS: p.DTS, CTS: p.CTS + p.Nano, Key: p.Key, Data: p.Bytes()}
	if err := out.Write(l.index, s); err != nil {
		return fmt.Errorf("writing MP4: %w", err)
	}
	return nil
}
