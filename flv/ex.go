package flv

import (
	"encoding/binary"
	"time"

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
)

// The kinds of multitrack messages, and what is larger than any of them.
const (
	exOneTrack         = 0
	exManyTracks       = 1
	exManyTracksCodecs = 2
)

const (
	fourCCLen = 4
	// modExNano is the type of the message modifier that adds nanoseconds.
	modExNano = 0
	maxNano   = 999_999
)

// exHeader is what stands before a track's bytes in an enhanced message.
type exHeader struct {
	packet uint8
	multi  bool  // a multitrack message
	kind   uint8 // of multitrack message
	track  uint8
	fourCC []byte
	nano   time.Duration
	prefix int // the length of what comes before the multitrack header or FourCC
	length int // of the header
}

// isPlain tells whether nothing is in the header that an ordinary message does
// not have.
func (h *exHeader) isPlain() bool { return !h.multi && h.prefix == 1 }

// parseEx reads an enhanced header whose first byte holds the packet type in
// its low half. tracks is the packet type that means multitrack. Of messages
// with several tracks, which are not ok, it reads what stands before the first
// of them; a header that does not end within b is not ok either.
func parseEx(b []byte, tracks uint8) (h exHeader, ok bool) {
	h.packet, h.length = b[0]&0x0f, 1
	for h.packet == exModEx {
		data, n := parseModEx(b[h.length:])
		if n == 0 {
			return h, false
		}
		h.length += n
		last := b[h.length-1]
		h.packet = last & 0x0f
		if last>>4 == modExNano && len(data) >= 3 && uint24(data) <= maxNano {
			h.nano = time.Duration(uint24(data))
		}
	}
	h.prefix, h.multi = h.length, h.packet == tracks
	if h.multi {
		return h.parseTrack(b, tracks)
	}
	return h, h.parseFourCC(b)
}

// parseTrack goes on behind the packet type of a multitrack message.
func (h exHeader) parseTrack(b []byte, tracks uint8) (exHeader, bool) {
	if len(b) <= h.length {
		return h, false
	}
	h.kind, h.packet = b[h.length]>>4, b[h.length]&0x0f
	h.length++
	if h.packet == tracks || h.packet == exModEx || h.kind > exManyTracksCodecs {
		h.multi = false // whatever it is
		return h, false
	}
	if h.kind != exManyTracksCodecs && !h.parseFourCC(b) {
		return h, false
	}
	if h.kind != exOneTrack || len(b) <= h.length {
		return h, false
	}
	h.track = b[h.length]
	h.length++
	return h, true
}

func (h *exHeader) parseFourCC(b []byte) bool {
	if len(b) < h.length+fourCCLen {
		return false
	}
	h.fourCC = b[h.length : h.length+fourCCLen]
	h.length += fourCCLen
	return true
}

// parseModEx returns the data of the message modifier at the start of b and
// its length, which is 0 where it is cut off. Its last byte holds its type and
// the packet type that follows.
func parseModEx(b []byte) (data []byte, n int) {
	if len(b) == 0 {
		return nil, 0
	}
	head, size := 1, int(b[0])+1
	if size == 256 {
		if len(b) < 3 {
			return nil, 0
		}
		head, size = 3, int(binary.BigEndian.Uint16(b[1:]))+1
	}
	if n = head + size + 1; n > len(b) {
		return nil, 0
	}
	return b[head : head+size], n
}

func parseExVideo(p media.Packet) media.Packet {
	b := p.Body
	h, ok := parseEx(b, exVideoTracks)
	if !ok || isCommand(b[0], h.packet) {
		return p
	}
	p.Codec, p.Track, p.Nano, p.Payload = videoFourCC(h.fourCC), h.track, h.nano, h.length
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
		return exFrame(p)
	case exCodedFramesX:
		if !empty {
			p.Type, p.Key = media.Frame, exFrameType(b) == frameKey
		}
	case exSequenceEnd:
		p.Type = media.Sequence
	case exMetadata:
		p.Type = media.Metadata
		if isColourReset(b[h.length:]) {
			p.Type = media.Reset
		}
	}
	return p
}

// isColourReset tells whether metadata takes colour information back, with a
// null or undefined one.
func isColourReset(b []byte) bool {
	const null, undefined = 5, 6
	name, n := scriptName(b)
	return name == "colorInfo" && len(b) > n && (b[n] == null || b[n] == undefined)
}

// exFrame reads the composition time, which only some codecs have.
func exFrame(p media.Packet) media.Packet {
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
	p.Type, p.Key = media.Frame, exFrameType(p.Body) == frameKey
	return p
}

func exFrameType(body []byte) byte { return body[0] >> 4 & 7 }

// isCommand tells whether an enhanced video message is a command, by its first
// byte and its packet type.
func isCommand(first, packet byte) bool {
	return first>>4&7 == frameCommand && packet != exMetadata
}

func parseExAudio(p media.Packet) media.Packet {
	h, ok := parseEx(p.Body, exAudioTracks)
	if !ok {
		return p
	}
	p.Codec, p.Track, p.Nano, p.Payload = audioFourCC(h.fourCC), h.track, h.nano, h.length
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
