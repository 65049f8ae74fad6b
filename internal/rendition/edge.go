package rendition

import (
	"slices"
	"time"

	"sluice/flv"
	"sluice/internal/fanout"
	"sluice/media"
)

// What is squeezed at most; a longer or larger GOP is not worth its bytes.
const (
	maxSqueezeTime  = 10 * time.Second
	maxSqueezeBytes = 8 << 20
)

// nextIsNear is how soon the next key frame must be due for a viewer to wait
// for it, where there is too much to squeeze.
const nextIsNear = 2 * time.Second

// backlog holds the frames of the default video track since the newest key
// frame.
type backlog struct {
	frames   []*media.Packet
	bytes    int
	began    time.Duration // time of the key frame
	interval time.Duration // between the newest two key frames
	overflow bool
}

func (b *backlog) add(p *media.Packet) {
	if p.Kind != media.Video || p.Type != media.Frame || p.Track != 0 {
		return
	}
	if p.Key {
		if len(b.frames) > 0 || b.overflow {
			b.interval = p.DTS - b.began
		}
		// Prefixes that were made hold bodies, not this list.
		clear(b.frames)
		*b = backlog{frames: b.frames[:0], began: p.DTS, interval: b.interval}
	} else if len(b.frames) == 0 {
		return
	}
	b.frames = append(b.frames, p)
	b.bytes += len(p.Body)
	if b.bytes > maxSqueezeBytes || p.DTS-b.began > maxSqueezeTime {
		clear(b.frames)
		b.frames, b.overflow = b.frames[:0], true
	}
}

// nextIn returns how soon the next key frame is due, if they come regularly.
func (b *backlog) nextIn(now time.Duration) (d time.Duration, known bool) {
	return b.began + b.interval - now, b.interval > 0
}

// squeezed is a frame with the times that it gets in a squeezed prefix.
type squeezed struct {
	p   *media.Packet
	dts time.Duration
	pts time.Duration
}

// squeeze gives the frames of a backlog times just before the end of its last
// one, a millisecond apart: decoding times strictly ascending, presentation in
// the order that it had, also towards the frames that follow. A frame that is
// presented after the last decoding time keeps its place, since frames that
// follow may come before it.
//
//	published   I────────P────B────B────P────B── live ──▶
//	squeezed                              IPBBPB live ──▶
func squeeze(frames []*media.Packet) []squeezed {
	const step = time.Millisecond
	out := make([]squeezed, len(frames))
	last := frames[len(frames)-1].DTS
	var early []int // the frames presented up to then, by presentation
	for i, p := range frames {
		out[i] = squeezed{p: p, dts: last - time.Duration(len(frames)-1-i)*step, pts: p.DTS + p.CTS}
		if out[i].pts <= last {
			early = append(early, i)
		}
	}
	slices.SortStableFunc(early, func(a, b int) int { return int((out[a].pts - out[b].pts) / step) })
	var delay time.Duration
	for rank, i := range early {
		out[i].pts = last - time.Duration(len(early)-1-rank)*step
		delay = max(delay, out[i].dts-out[i].pts)
	}
	// No frame is presented before it is decoded.
	for i := range out {
		out[i].dts -= delay
	}
	return out
}

// edge is a prefix with a squeezed backlog. It is good until the next packet.
type edge struct {
	pieces [][]byte
	pos    int64
	made   bool
}

// squeezedPrefix returns what a viewer is sent that joins at the live edge. Only the
// heads of the tags are made; the frames' bytes are those of the packets. The
// caller holds r.mu. It is not ok when there is nothing to squeeze.
func (r *Rendition) squeezedPrefix() (e edge, ok bool) {
	if r.edge.made {
		return r.edge, true
	}
	if len(r.backlog.frames) == 0 {
		return edge{}, false
	}
	frames := squeeze(r.backlog.frames)
	if frames[0].dts < 0 {
		return edge{}, false // the stream has just begun: there is nothing to gain
	}
	if r.spec.Format == RTMP {
		r.edge = edge{pieces: r.squeezedMessages(frames), pos: r.log.Position(), made: true}
		return r.edge, true
	}
	b := builder{framing: r.spec.Framing, heads: make([]byte, 0, 64*len(frames))}
	b.pieces = append(make([][]byte, 0, 2*len(frames)+2), r.makePrefix(frames[0].dts))
	for _, f := range frames {
		b.add(f)
	}
	b.cut()
	r.edge = edge{pieces: b.pieces, pos: r.log.Position(), made: true}
	return r.edge, true
}

// builder lays out tags as pieces: what is made for them, and between that the
// frames' own bytes.
type builder struct {
	framing fanout.Framing
	pieces  [][]byte
	heads   []byte
	from    int // where the open piece begins in heads
}

func (b *builder) add(f squeezed) {
	var room [32]byte
	head := flv.AppendVideoHead(room[:0], f.p, f.pts-f.dts)
	data := f.p.Bytes()
	tag := newTagFrame(&media.Packet{Kind: media.Video, DTS: f.dts}, len(head)+len(data))
	b.heads = b.framing.AppendHead(b.heads, len(tag.head)+len(head)+len(data)+len(tag.tail))
	b.heads = append(b.heads, tag.head[:]...)
	b.heads = append(b.heads, head...)
	b.cut()
	b.pieces = append(b.pieces, data)
	b.heads = append(b.heads, tag.tail[:]...)
	b.heads = b.framing.AppendTail(b.heads)
}

// cut closes the open piece.
func (b *builder) cut() {
	b.pieces = append(b.pieces, b.heads[b.from:len(b.heads):len(b.heads)])
	b.from = len(b.heads)
}
