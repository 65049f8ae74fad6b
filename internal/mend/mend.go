// Package mend puts in order what encoders get wrong in H.264 and H.265: a
// decoder configuration that never comes although the frames have what belongs
// into it, start codes in place of lengths, and pictures that are marked as key
// frames or not as if at random. Empty messages of video and command frames,
// which are for nobody, end here.
//
//	flv.AppendPackets ──▶ Mender.Mend ──▶ stream.Publisher.Write
package mend

import (
	"bytes"
	"iter"

	"sluice/flv"
	"sluice/media"
)

// Event is something that was put in order.
type Event uint8

// The events.
const (
	// Derived says that a decoder configuration was made of the parameter sets
	// in the frames, since the publisher sends none.
	Derived Event = iota + 1
	// StartCodes says that start codes were replaced by lengths.
	StartCodes
	// Broken says that frames or a configuration with start codes were left
	// out, since nothing can be made of them.
	Broken
	// Unmarked says that key frames were found that are not marked as such.
	Unmarked
	// Mismarked says that frames are marked as key frames at which nobody can
	// begin.
	Mismarked
	// Resized says that a decoder configuration was made of the parameter sets
	// in the frames, since they are of another size than the publisher says.
	Resized
)

// maxTracks is how many tracks are looked at.
const maxTracks = 16

// lengthSize is that of what is made here.
const lengthSize = 4

// Mender puts the packets of one publisher in order. It belongs to one
// goroutine.
type Mender struct {
	notify func(e Event)
	told   [Resized + 1]bool
	tracks []track
	out    []media.Packet
}

// track is what is known of one track of video.
type track struct {
	id      uint8
	codec   media.Codec
	size    int    // of the lengths, 0 before the configuration
	own     []byte // the publisher's configuration, nil where it sends none that can be read
	record  []byte // that was derived, nil where the publisher's own is right
	sets    flv.ParameterSets
	marked  bool // the publisher marks key frames
	lastKey bool // the frame before was marked as a key frame
	anyKey  bool // a real one has come
}

// New returns a mender that tells each kind of event once; notify may be nil.
func New(notify func(e Event)) *Mender { return &Mender{notify: notify} }

func (m *Mender) tell(e Event) {
	if !m.told[e] && m.notify != nil {
		m.notify(e)
	}
	m.told[e] = true
}

// Mend returns what p, whose body it may write to, comes to: itself in most
// cases, nothing, or its configuration and itself. The slice is valid until the
// next call.
func (m *Mender) Mend(p media.Packet) []media.Packet {
	m.out = m.out[:0]
	t := m.track(&p)
	switch {
	case isForNobody(&p):
		return nil
	case t == nil:
	case p.Type == media.Config && !m.configure(t, &p):
		return nil
	case p.Type == media.Frame && !m.frame(t, &p):
		return nil
	}
	m.out = append(m.out, p)
	return m.out
}

// isForNobody tells whether a message of video has neither a picture nor
// anything else for a decoder.
func isForNobody(p *media.Packet) bool {
	const frameCommand = 5
	return p.Kind == media.Video && p.Type == media.Other &&
		(len(p.Bytes()) == 0 || p.Body[0]>>4&7 == frameCommand)
}

// track returns the track of a packet, nil for one of no interest.
func (m *Mender) track(p *media.Packet) *track {
	if p.Kind != media.Video || p.Codec != media.H264 && p.Codec != media.H265 {
		return nil
	}
	for i := range m.tracks {
		if t := &m.tracks[i]; t.id == p.Track {
			if t.codec != p.Codec {
				*t = track{id: p.Track, codec: p.Codec}
			}
			return t
		}
	}
	if len(m.tracks) == maxTracks {
		return nil
	}
	m.tracks = append(m.tracks, track{id: p.Track, codec: p.Codec})
	return &m.tracks[len(m.tracks)-1]
}

// configure takes a configuration. It returns false for one of which nothing
// can be made, and for one that is out of date.
func (m *Mender) configure(t *track, p *media.Packet) bool {
	record := p.Bytes()
	if flv.HasStartCode(record) {
		var sets flv.ParameterSets
		for nal := range flv.StartCodeUnits(record) {
			sets.Add(p.Codec, nal)
		}
		made, ok := sets.Record(p.Codec)
		body, fits := flv.ConfigBody(p, made)
		if !ok || !fits {
			m.tell(Broken)
			return false
		}
		m.tell(StartCodes)
		p.Payload = len(body) - len(made)
		p.Body, record = body, made
	}
	if t.record != nil && bytes.Equal(record, t.own) {
		return false // the frames have said otherwise since
	}
	t.own, t.record, t.size = nil, nil, flv.LengthSize(p.Codec, record)
	if t.size > 0 {
		t.own = bytes.Clone(record)
	}
	return true
}

// frame takes a frame. It returns false for one that nobody can decode.
func (m *Mender) frame(t *track, p *media.Packet) bool {
	size := t.size
	if size == 0 {
		size = lengthSize
	}
	if b := p.Bytes(); flv.HasStartCode(b) && !flv.HasUnits(b, size) {
		if !replaceStartCodes(p, size) {
			m.tell(Broken)
			return false
		}
		m.tell(StartCodes)
	}
	units := flv.Units(p.Bytes(), size)
	if t.size == 0 || p.Key && (t.record != nil || t.size == lengthSize && t.isResized(p.Codec, units)) {
		m.derive(t, p, units)
	}
	m.checkKey(t, p, units)
	return true
}

// replaceStartCodes puts a length of that size before each unit, and tells
// whether they fit.
func replaceStartCodes(p *media.Packet, size int) bool {
	total := p.Payload
	for nal := range flv.StartCodeUnits(p.Bytes()) {
		if len(nal) >= 1<<(8*size) {
			return false
		}
		total += size + len(nal)
	}
	if total == p.Payload || total > flv.MaxTagBody {
		return false
	}
	body := append(make([]byte, 0, total), p.Body[:p.Payload]...)
	for nal := range flv.StartCodeUnits(p.Bytes()) {
		for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
			body = append(body, byte(len(nal)>>shift))
		}
		body = append(body, nal...)
	}
	p.Body = body
	return true
}

// isResized tells whether a key frame has a sequence parameter set of another
// picture size than the publisher's configuration, which does not know it: the
// encoder has switched, and sent no other configuration.
func (t *track) isResized(codec media.Codec, units iter.Seq[[]byte]) bool {
	for nal := range units {
		if flv.DescribeUnit(codec, nal) != flv.UnitSPS || bytes.Contains(t.own, nal) {
			continue
		}
		was := flv.DescribePicture(codec, t.own)
		width, height := flv.SPSSize(codec, nal)
		return width > 0 && was.Width > 0 && (width != was.Width || height != was.Height)
	}
	return false
}

// derive makes a configuration of the parameter sets that have come, and puts
// it before the frame when it is a new one. Later frames count if they have
// all of the sets.
func (m *Mender) derive(t *track, p *media.Packet, units iter.Seq[[]byte]) {
	why := Derived
	if t.own != nil {
		why = Resized
	}
	if t.record != nil {
		t.sets = flv.ParameterSets{}
	}
	for nal := range units {
		t.sets.Add(p.Codec, nal)
	}
	record, ok := t.sets.Record(p.Codec)
	if !ok || bytes.Equal(record, t.record) {
		return
	}
	body, ok := flv.ConfigBody(p, record)
	if !ok {
		return
	}
	t.record, t.size = record, lengthSize
	m.tell(why)
	m.out = append(m.out, media.Packet{
		Kind: media.Video, Type: media.Config, Codec: p.Codec, Track: p.Track, DTS: p.DTS,
		Body: body, Payload: len(body) - len(record),
	})
}

// checkKey corrects the mark of a frame: as long as the publisher marks none,
// key frames are looked for, and a marked one has to be decodable by itself.
func (m *Mender) checkKey(t *track, p *media.Packet, units iter.Seq[[]byte]) {
	if !p.Key && t.marked {
		t.lastKey = false
		return
	}
	var key, inter, slices, recovery bool
	for nal := range units {
		switch flv.DescribeUnit(p.Codec, nal) {
		case flv.UnitKey:
			key = true
		case flv.UnitInter:
			inter = true
		case flv.UnitSlice:
			slices = true
		case flv.UnitRecovery:
			recovery = true
		default:
		}
	}
	was := p.Key
	switch {
	case !was && key:
		flv.SetKey(p, true)
		m.tell(Unmarked)
	case was && !key && !recovery && (inter || slices && p.Codec == media.H265 && t.lastKey && t.anyKey):
		flv.SetKey(p, false)
		m.tell(Mismarked)
	case was:
		t.marked = true
	}
	t.lastKey, t.anyKey = was, t.anyKey || key
}
