package flv

import (
	"time"

	"sluice/media"
)

// HasCTS tells whether the header of a video frame can carry a composition
// time: with AVC, HEVC and VVC, but not with AV1 and VP9.
func HasCTS(p *media.Packet) bool {
	switch p.Codec {
	case media.H264, media.H265, media.H266:
		return true
	default:
		return false
	}
}

// AppendVideoHead appends the header of a frame of video, which is what stands
// before [media.Packet.Bytes] in its body, with another composition time.
// Where the codec has none, or where the message is not of the plain form, the
// header is appended as it is.
func AppendVideoHead(b []byte, p *media.Packet, cts time.Duration) []byte {
	head := p.Body[:min(p.Payload, len(p.Body))]
	if p.Type != media.Frame || !HasCTS(p) {
		return append(b, head...)
	}
	n := len(head)
	if head[0]&exVideoBit == 0 {
		b = append(b, head[:n-3]...)
	} else {
		h, ok := parseEx(p.Body, exVideoTracks)
		switch {
		case ok && h.packet == exCodedFrames && n == h.length+3:
			b = append(b, head[:n-3]...)
		case ok && h.packet == exCodedFramesX && head[n-5]&0x0f == exCodedFramesX && n == h.length: // 0, left out
			at := len(b) + n - 5
			b = append(b, head...)
			b[at] = b[at]&0xf0 | exCodedFrames
		default: // one of several tracks
			return append(b, head...)
		}
	}
	ms := cts.Milliseconds()
	return append(b, byte(ms>>16), byte(ms>>8), byte(ms))
}
