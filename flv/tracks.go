package flv

import (
	"slices"
	"time"

	"sluice/media"
)

// maxMessageTracks is how many tracks of one multitrack message are looked at.
const maxMessageTracks = 16

// AppendPackets appends to ps what the body of a tag or message is, as
// [ParseBody] tells it: one packet, or, where a message of Enhanced RTMP
// carries several tracks, one for each of them, with a body of its own that
// holds that track alone. Of a track that comes twice in a message the last
// one counts. A message whose tracks do not fit it, or that has more than 16,
// is one packet of type [media.Other].
func AppendPackets(ps []media.Packet, tagType uint8, body []byte) []media.Packet {
	h, tracks, many := manyTracks(tagType, body)
	if !many {
		return append(ps, ParseBody(tagType, body))
	}
	before := len(ps)
	for rest := body[h.length:]; len(rest) > 0; {
		t, n, ok := h.cutTrack(rest)
		if !ok || len(ps)-before == maxMessageTracks {
			return append(ps[:before], ParseBody(tagType, body))
		}
		rest = rest[n:]
		p := ParseBody(tagType, t.body(body[0]&0xf0, tracks))
		if i := slices.IndexFunc(ps[before:], func(o media.Packet) bool { return o.Track == t.track }); i >= 0 {
			ps[before+i] = p
			continue
		}
		ps = append(ps, p)
	}
	if len(ps) == before {
		return append(ps, ParseBody(tagType, body))
	}
	return ps
}

// manyTracks reads the header of a message with several tracks; tracks is the
// packet type that says so.
func manyTracks(tagType uint8, body []byte) (h exHeader, tracks uint8, many bool) {
	if len(body) == 0 {
		return h, 0, false
	}
	switch {
	case tagType == TagVideo && body[0]&exVideoBit != 0:
		tracks = exVideoTracks
	case tagType == TagAudio && body[0]>>4 == soundEx:
		tracks = exAudioTracks
	default:
		return h, 0, false
	}
	h, _ = parseEx(body, tracks)
	if tracks == exVideoTracks && isCommand(body[0], h.packet) {
		return h, 0, false
	}
	many = h.multi && (h.kind == exManyTracks && h.fourCC != nil || h.kind == exManyTracksCodecs)
	return h, tracks, many
}

// trackPart is one track's part of a message with several.
type trackPart struct {
	packet, track uint8
	nano          time.Duration
	fourCC, data  []byte
}

// cutTrack reads the track at the start of b and returns the length of its
// part.
func (h *exHeader) cutTrack(b []byte) (t trackPart, n int, ok bool) {
	const head = 4 // its id and size
	t = trackPart{packet: h.packet, nano: h.nano, fourCC: h.fourCC}
	if h.kind == exManyTracksCodecs {
		if len(b) < fourCCLen {
			return t, 0, false
		}
		t.fourCC, n = b[:fourCCLen], fourCCLen
	}
	if len(b) < n+head {
		return t, 0, false
	}
	t.track = b[n]
	size := int(uint24(b[n+1:]))
	n += head
	if size > len(b)-n {
		return t, 0, false
	}
	t.data = b[n : n+size]
	return t, n + size, true
}

// body returns a message of that track alone. first is the high half of the
// first byte. Of modifiers the nanoseconds are kept: the others are nobody's.
func (t trackPart) body(first, tracks byte) []byte {
	const room = 16
	b := make([]byte, 0, room+len(t.data))
	if ns := t.nano; ns > 0 {
		const size = 3
		b = append(b, first|exModEx, size-1, byte(ns>>16), byte(ns>>8), byte(ns), modExNano<<4|tracks)
	} else {
		b = append(b, first|tracks)
	}
	b = append(b, exOneTrack<<4|t.packet)
	b = append(b, t.fourCC...)
	b = append(b, t.track)
	return append(b, t.data...)
}

// SingleTrack returns p as a packet of the default track: where its message is
// one of Enhanced RTMP's multitrack messages, the packet has a body without
// that header. Any other packet keeps its body.
func SingleTrack(p *media.Packet) *media.Packet {
	h, ok := exOf(p)
	if !ok || !h.multi {
		return p
	}
	b := make([]byte, 0, len(p.Body))
	b = append(b, p.Body[:h.prefix]...)
	b[h.prefix-1] = b[h.prefix-1]&0xf0 | h.packet
	b = append(b, h.fourCC...)
	b = append(b, p.Body[h.length:]...)
	q := *p
	q.Body, q.Track, q.Payload = b, 0, p.Payload-(len(p.Body)-len(b))
	return &q
}

// exOf reads the enhanced header of an audio or video packet; it is not ok
// where the packet has none.
func exOf(p *media.Packet) (h exHeader, ok bool) {
	if len(p.Body) == 0 {
		return h, false
	}
	switch {
	case p.Kind == media.Video && p.Body[0]&exVideoBit != 0:
		h, ok = parseEx(p.Body, exVideoTracks)
		return h, ok && !isCommand(p.Body[0], h.packet)
	case p.Kind == media.Audio && p.Body[0]>>4 == soundEx:
		return parseEx(p.Body, exAudioTracks)
	}
	return h, false
}
