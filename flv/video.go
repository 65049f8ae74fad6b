package flv

import (
	"time"

	"sluice/media"
)

// The types of video frames and the codecs of legacy video (E.4.3.1).
const (
	frameKey     = 1
	frameCommand = 5

	videoH263    = 2
	videoScreen2 = 6
	videoAVC     = 7
	videoH263P   = 8
	videoMPEG4   = 9
	videoHEVC    = 12

	nalHeader       = 5 // the tag's byte, packet type, composition time
	nalConfig  byte = 0
	nalFrame   byte = 1
	nalEnd     byte = 2
	exVideoBit byte = 0x80
)

// ParseVideo tells what the body of a video tag is (E.4.3). Codec id 12 is
// HEVC in the layout of AVC, as encoders in China write it. The ids 13 and 14,
// which were patched in for AV1 and VVC in layouts that do not agree, are of
// type [media.Other], as are command frames and bodies without a picture.
//
// Only frame type 1 is a key frame: no player begins at a "generated" one.
func ParseVideo(body []byte) media.Packet {
	p := media.Packet{Kind: media.Video, Type: media.Other, Body: body}
	if len(body) == 0 {
		return p
	}
	if body[0]&exVideoBit != 0 {
		return parseExVideo(p)
	}
	frame, codec := body[0]>>4, body[0]&0x0f
	switch {
	case codec == videoAVC:
		p.Codec = media.H264
	case codec == videoHEVC:
		p.Codec = media.H265
	case codec >= videoH263 && codec <= videoScreen2, codec == videoH263P, codec == videoMPEG4:
		p.Codec = media.OldVideo
	default:
		return p
	}
	if frame == frameCommand {
		return p
	}
	if p.Codec == media.OldVideo {
		p.Payload = 1
		if len(body) > 1 {
			p.Type, p.Key = media.Frame, frame == frameKey
		}
		return p
	}
	return parseNAL(p, frame)
}

// parseNAL reads the header that AVC and legacy HEVC share.
func parseNAL(p media.Packet, frame byte) media.Packet {
	b := p.Body
	p.Payload = min(nalHeader, len(b))
	if len(b) >= 2 && b[1] == nalEnd {
		p.Type = media.Sequence
		return p
	}
	if len(b) <= nalHeader {
		return p
	}
	switch b[1] {
	case nalConfig:
		p.Type = media.Config
	case nalFrame:
		p.Type = media.Frame
		p.Key = frame == frameKey
		p.CTS = compositionTime(b[2:])
	}
	return p
}

// compositionTime reads presentation minus decoding time in milliseconds.
func compositionTime(b []byte) time.Duration {
	return time.Duration(int24(b)) * time.Millisecond
}

// OddCTS tells whether the composition time of p is further from zero than
// [MaxCTS], so that players will drop the frame.
func OddCTS(p *media.Packet) bool { return p.CTS > MaxCTS || p.CTS < -MaxCTS }
