// Package demo plays Flash Video files in real time, as an encoder would send
// them: the engine behind `sluice demo` and `sluice publish`.
//
//	file ──▶ flv.Reader ──▶ loop without a seam ──▶ wait until it is due ──▶ Sink
package demo

import (
	"context"
	_ "embed" // for the picture
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/flv"
	"sluice/media"
)

// picture is made by make-picture.sh. An embedded file has to be a variable of
// the package; as a string it cannot be changed.
//
//go:embed picture.flv
var picture string

// Picture returns the built-in test picture: 24 s of H.264 and AAC that end
// where they begin.
func Picture() io.ReadSeeker { return strings.NewReader(picture) }

// ErrNothing reports a file to be looped in which there is nothing to play.
var ErrNothing = errors.New("demo: the file has no audio or video")

// Sink takes what is played. The body belongs to it. The time is that of a
// publisher: whole milliseconds that wrap at 2^32. When WriteTag blocks, what
// comes due meanwhile follows at once, but nothing before its time.
type Sink interface {
	WriteTag(typ uint8, dts time.Duration, body []byte) error
}

// Options says how to play.
type Options struct {
	// Loop plays the file again and again until the context is done. The
	// times go on as if it were one long file, in which configurations and
	// metadata stand once.
	Loop bool
}

// Play sends the tags of src to sink, each when it is due. It returns nil at
// the end of the file, [io.ErrUnexpectedEOF] at the end of one that is cut
// off, the error of sink as it is, and the cause of ctx when that is done.
// A file to be looped is read from its beginning each time.
func Play(ctx context.Context, src io.ReadSeeker, sink Sink, o Options) error {
	p := player{sink: sink, loop: o.Loop, sent: make(map[part]string)}
	for {
		err := p.pass(ctx, src)
		switch {
		case !o.Loop || err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			return err
		case !p.timeline.begun:
			return ErrNothing
		}
		p.timeline.again()
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("demo: going back to the beginning: %w", err)
		}
	}
}

// part names what a later pass sends again only if it has changed.
type part struct {
	kind  media.Kind
	track uint8
	typ   media.Type
}

// player is the state of [Play].
type player struct {
	sink     Sink
	loop     bool
	sent     map[part]string // the newest configurations
	timeline timeline
	pace     pace
}

// pass plays the file once.
func (p *player) pass(ctx context.Context, src io.Reader) error {
	r := flv.NewReader(src)
	for {
		tag, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("demo: reading the file: %w", err)
		}
		packet := flv.ParseBody(tag.Type, tag.Body)
		if p.skip(&packet) {
			continue
		}
		dts, timed := p.timeline.place(tag.DTS, &packet)
		if timed {
			if err := p.pace.wait(ctx, dts); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.sink.WriteTag(tag.Type, wrap(dts), tag.Body); err != nil {
			return err
		}
	}
}

// skip tells whether a packet has no place in a loop: the end of a sequence,
// since it goes on, and what the receiver has already.
func (p *player) skip(packet *media.Packet) bool {
	if !p.loop {
		return false
	}
	switch packet.Type {
	case media.Sequence:
		return true
	case media.Config, media.Metadata:
		key := part{packet.Kind, packet.Track, packet.Type}
		known := p.timeline.passes > 0 && p.sent[key] == string(packet.Body)
		p.sent[key] = string(packet.Body)
		return known
	default:
		return false
	}
}

// wrap returns t as a publisher says it, on a clock of 32 bits.
func wrap(t time.Duration) time.Duration {
	return time.Duration(uint32(t.Milliseconds())) * time.Millisecond
}
