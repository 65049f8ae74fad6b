package rendition

import (
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/rtmp"
)

// Format says what a rendition is written in.
type Format uint8

// The formats.
const (
	FLV Format = iota // tags, behind a file header
	// RTMP is messages in chunks of [rtmp.ServerChunkSize], each with a full
	// header and nothing left to what came before, so that players of all
	// connections share them. A file header there is none.
	RTMP
)

// The chunk streams of an RTMP rendition, as other servers have them. The
// server's own words go on others.
const (
	audioStream = 4
	videoStream = 6
	dataStream  = 7
)

// message returns the message of a packet, without its body.
func (s Spec) message(kind media.Kind, dts time.Duration) rtmp.Message {
	m := rtmp.Message{
		Type: tagType(kind), StreamID: uint32(s.Stream), ChunkStream: dataStream,
		Timestamp: uint32(dts.Milliseconds()), //nolint:gosec // modulo 2^32, as in FLV
	}
	switch kind {
	case media.Audio:
		m.ChunkStream = audioStream
	case media.Video:
		m.ChunkStream = videoStream
	case media.Data:
	}
	return m
}

// pieces are messages laid out in chunks: headers that are made for them, and
// between those the packets' own bytes.
type pieces struct {
	all   [][]byte
	heads []byte // the headers; what grows beyond its room leaves the old ones where they are
}

// reset forgets the messages, to lay out others in their place.
func (p *pieces) reset() {
	clear(p.all)
	p.all, p.heads = p.all[:0], p.heads[:0]
}

// add lays out a message whose body is head, which is shorter than a chunk, and
// data.
func (p *pieces) add(m rtmp.Message, head, data []byte) {
	from := len(p.heads)
	p.heads = rtmp.AppendHeader(p.heads, m, len(head)+len(data))
	p.heads = append(p.heads, head...)
	p.cut(from)
	room := rtmp.ServerChunkSize - len(head)
	for len(data) > room {
		p.all = append(p.all, data[:room:room])
		data = data[room:]
		from = len(p.heads)
		p.heads = rtmp.AppendContinuation(p.heads, m)
		p.cut(from)
		room = rtmp.ServerChunkSize
	}
	p.all = append(p.all, data)
}

// cut makes a piece of the headers from there on.
func (p *pieces) cut(from int) {
	p.all = append(p.all, p.heads[from:len(p.heads):len(p.heads)])
}

// appendMessage appends a packet to the log in chunks. The caller holds r.mu.
func (r *Rendition) appendMessage(key bool, p *media.Packet, body []byte) int64 {
	r.chunks.reset()
	r.chunks.add(r.spec.message(p.Kind, p.DTS), nil, body)
	return r.log.Append(key, r.chunks.all...)
}

// squeezedMessages returns what stands before the live packets of a player that
// joins at the edge.
func (r *Rendition) squeezedMessages(frames []squeezed) [][]byte {
	p := pieces{
		all:   append(make([][]byte, 0, 2*len(frames)+1), r.makePrefix(frames[0].dts)),
		heads: make([]byte, 0, 64*len(frames)),
	}
	var room [32]byte
	for _, f := range frames {
		head := flv.AppendVideoHead(room[:0], f.p, f.pts-f.dts)
		p.add(r.spec.message(media.Video, f.dts), head, f.p.Bytes())
	}
	return p.all
}

// appendWhole appends a whole tag or message to b. A body that does not fit is
// left out: no configuration is that long.
func (s Spec) appendWhole(b []byte, kind media.Kind, dts time.Duration, body []byte) []byte {
	if s.Format == FLV {
		return appendTag(b, kind, dts, body)
	}
	m := s.message(kind, dts)
	m.Body = body
	b, _ = rtmp.AppendMessage(b, m, rtmp.ServerChunkSize) // leaves b as it is
	return b
}
