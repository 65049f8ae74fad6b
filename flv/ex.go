package flv

import (
	"encoding/binary"

	"sluice/media"
)

// The packet types of Enhanced RTMP, audio and video. Multitrack has a number
// of its own in each.
const (
	exSequenceStart = 0
	exCodedFrames   = 1
	exSequenceEnd   = 2
	exCodedFramesX  = 3 // video: coded frames with composition time 0
	exMetadata      = 4 // video: colour information; audio: channel layout
	exAudioTracks   = 5
	exVideoTracks   = 6
	exModEx         = 7

	exOneTrack = 0 // of the kinds of multitrack messages
)

// exHeader is what stands before a track's bytes in an enhanced message.
type exHeader struct {
	packet uint8
	track  uint8
	fourCC []byte
	length int // of the header
}

// parseEx reads an enhanced header whose first byte holds the packet type in
// its low half. tracks is the packet type that means multitrack. It knows the
// messages of one track; one that carries several is not ok, and neither is a
// header that does not end within b.
func parseEx(b []byte, tracks uint8) (h exHeader, ok bool) {
	h.packet, h.length = b[0]&0x0f, 1
	for h.packet == exModEx {
		n := modExLen(b[h.length:])
		if n == 0 {
			return h, false
		}
		h.length += n
		h.packet = b[h.length-1] & 0x0f
	}
	multi := h.packet == tracks
	if multi {
		if len(b) <= h.length || b[h.length]>>4 != exOneTrack {
			return h, false
		}
		h.packet = b[h.length] & 0x0f
		h.length++
	}
	if len(b) < h.length+4 {
		return h, false
	}
	h.fourCC = b[h.length : h.length+4]
	h.length += 4
	if !multi {
		return h, true
	}
	if len(b) <= h.length || h.packet == tracks || h.packet == exModEx {
		return h, false
	}
	h.track = b[h.length]
	h.length++
	return h, true
}

// modExLen returns the length of the message modifier at the start of b, whose
// last byte holds the packet type that follows, or 0 where it is cut off.
func modExLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	head, size := 1, int(b[0])+1
	if size == 256 {
		if len(b) < 3 {
			return 0
		}
		head, size = 3, int(binary.BigEndian.Uint16(b[1:]))+1
	}
	if n := head + size + 1; n <= len(b) {
		return n
	}
	return 0
}

func parseExVideo(p media.Packet) media.Packet {
	b := p.Body
	h, ok := parseEx(b, exVideoTracks)
	frame := b[0] >> 4 & 7
	if !ok || frame == frameCommand && h.packet != exMetadata {
		return p
	}
	p.Codec, p.Track, p.Payload = videoFourCC(h.fourCC), h.track, h.length
	if p.Codec == media.Unknown {
		return p
	}
	empty := len(b) == h.length
	switch h.packet {
	case exSequenceStart:
		if !empty {
			p.Type = media.Config
		}
	case exCodedFrames:
		return exFrame(p, frame)
	case exCodedFramesX:
		if !empty {
			p.Type, p.Key = media.Frame, frame == frameKey
		}
	case exSequenceEnd:
		p.Type = media.Sequence
	case exMetadata:
		p.Type = media.Metadata
	}
	return p
}

// exFrame reads the composition time, which only some codecs have.
func exFrame(p media.Packet, frame byte) media.Packet {
	rest := p.Body[p.Payload:]
	switch p.Codec {
	case media.H264, media.H265, media.H266:
		if len(rest) <= 3 {
			return p
		}
		p.CTS = compositionTime(rest)
		p.Payload += 3
	default:
		if len(rest) == 0 {
			return p
		}
	}
	p.Type, p.Key = media.Frame, frame == frameKey
	return p
}

func parseExAudio(p media.Packet) media.Packet {
	h, ok := parseEx(p.Body, exAudioTracks)
	if !ok {
		return p
	}
	p.Codec, p.Track, p.Payload = audioFourCC(h.fourCC), h.track, h.length
	if p.Codec == media.Unknown {
		return p
	}
	empty := len(p.Body) == h.length
	switch h.packet {
	case exSequenceStart:
		if !empty {
			p.Type = media.Config
		}
	case exCodedFrames:
		if !empty {
			p.Type = media.Frame
		}
	case exSequenceEnd:
		p.Type = media.Sequence
	case exMetadata:
		p.Type = media.Metadata
	}
	return p
}

func videoFourCC(b []byte) media.Codec {
	switch string(b) {
	case "avc1":
		return media.H264
	case "hvc1":
		return media.H265
	case "vvc1":
		return media.H266
	case "av01":
		return media.AV1
	case "vp08":
		return media.VP8
	case "vp09":
		return media.VP9
	}
	return media.Unknown
}

func audioFourCC(b []byte) media.Codec {
	switch string(b) {
	case "mp4a":
		return media.AAC
	case ".mp3":
		return media.MP3
	case "Opus":
		return media.Opus
	case "fLaC":
		return media.FLAC
	case "ac-3":
		return media.AC3
	case "ec-3":
		return media.EAC3
	}
	return media.Unknown
}
