package remux

import (
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/media"
)

// prober finds the default tracks of a file.
type prober struct {
	wants        flv.Header // which kinds the file promises
	audio, video media.Track
	heard, seen  bool                  // there were frames
	strange      [media.Video + 1]bool // there is something that nobody here can read, by kind
	bytes        int
	begun        bool
	first, last  time.Duration // of the frames so far
}

// take looks at a packet.
func (p *prober) take(q *media.Packet) {
	p.bytes += flv.TagHeaderLen + len(q.Body)
	if q.Track != 0 || q.Kind == media.Data {
		return
	}
	if q.Codec == media.Unknown {
		p.strange[q.Kind] = p.strange[q.Kind] || q.Payload > 0
		return
	}
	if q.Type != media.Frame && q.Type != media.Config {
		return
	}
	t, frames := &p.video, &p.seen
	if q.Kind == media.Audio {
		t, frames = &p.audio, &p.heard
	}
	if *frames {
		p.pass(q)
		return
	}
	if t.Kind == 0 || t.Codec != q.Codec {
		*t = media.Track{Kind: q.Kind, Codec: q.Codec}
	}
	switch {
	case q.Type == media.Config:
		t.Config = kept(q)
	case t.Config != nil || !q.Codec.NeedsConfig():
		*frames = true
		if q.Kind == media.Audio {
			t.First = kept(q)
		}
		p.pass(q)
	}
}

// kept returns a copy of a packet that the next tag does not overwrite.
func kept(q *media.Packet) *media.Packet {
	p := *q
	return &p
}

// pass notes the time of a frame.
func (p *prober) pass(q *media.Packet) {
	if q.Type != media.Frame {
		return
	}
	if !p.begun {
		p.begun, p.first = true, q.DTS
	}
	p.last = max(p.last, q.DTS)
}

// done tells whether there is nothing more to wait for.
func (p *prober) done() bool {
	known := (p.heard || !p.wants.Audio) && (p.seen || !p.wants.Video)
	switch passed := p.last - p.first; {
	case p.heard && p.seen, p.bytes >= probeBytes, passed >= probePromised:
		return true
	default:
		return known && passed >= probeTime // flags are often wrong
	}
}

// tracks returns the tracks of which there was a frame, or a configuration, or at
// least something that nobody here can read.
func (p *prober) tracks() []media.Track {
	var out []media.Track
	switch {
	case p.seen, p.video.Config != nil:
		out = append(out, p.video)
	case p.strange[media.Video]:
		out = append(out, media.Track{Kind: media.Video})
	}
	switch {
	case p.heard, p.audio.Config != nil:
		out = append(out, p.audio)
	case p.strange[media.Audio]:
		out = append(out, media.Track{Kind: media.Audio})
	}
	return out
}

// metadata is what a file says of itself, as far as it is of use.
type metadata struct {
	duration      time.Duration
	width, height int
	colour        [3]uint16 // primaries, transfer, matrix
}

// take reads onMetaData, or the colours of the default track.
func (m *metadata) take(p *media.Packet) {
	body := p.Body
	if p.Kind == media.Video {
		if p.Track != 0 {
			return
		}
		body = p.Bytes()
	}
	values, err := amf0.DecodeAll(body)
	if err != nil || len(values) < 2 {
		return
	}
	props := amf0.Properties(values[1])
	if p.Kind == media.Video {
		config, _ := props.Get("colorConfig")
		for i, key := range [...]string{"colorPrimaries", "transferCharacteristics", "matrixCoefficients"} {
			m.colour[i] = uint16(number(amf0.Properties(config), key, 255))
		}
		return
	}
	const longest = 1 << 32 / 1000
	m.duration = time.Duration(number(props, "duration", longest) * float64(time.Second))
	m.width, m.height = int(number(props, "width", 1<<14)), int(number(props, "height", 1<<14))
}

// number returns a property that is a number from 0 to largest, else 0.
func number(o amf0.Object, key string, largest float64) float64 {
	v, _ := o.Get(key)
	if n, ok := v.(float64); ok && n >= 0 && n <= largest {
		return n
	}
	return 0
}
