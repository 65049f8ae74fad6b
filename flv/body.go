package flv

import (
	"encoding/binary"

	"sluice/media"
)

// The formats of legacy audio (E.4.2.1).
const (
	soundPCM          = 0
	soundADPCM        = 1
	soundMP3          = 2
	soundPCMLE        = 3
	soundNelly16      = 4
	soundNelly8       = 5
	soundNelly        = 6
	soundG711A        = 7
	soundG711U        = 8
	soundEx           = 9
	soundAAC          = 10
	soundSpeex        = 11
	soundMP38k        = 14
	aacConfig    byte = 0
	aacFrame     byte = 1
)

// ParseBody tells what the body of a tag or message is. It never fails: what
// it does not know is of type [media.Other]. The packet keeps body.
func ParseBody(tagType uint8, body []byte) media.Packet {
	switch tagType {
	case TagAudio:
		return ParseAudio(body)
	case TagVideo:
		return ParseVideo(body)
	case TagScript:
		return ParseScript(body)
	}
	return media.Packet{Type: media.Other, Body: body}
}

// ParseAudio tells what the body of an audio tag is (E.4.2). The sound formats
// that were never agreed on (13, which some use for Opus) and the device's own
// (15) are of type [media.Other], as are bodies without a byte of sound.
func ParseAudio(body []byte) media.Packet {
	p := media.Packet{Kind: media.Audio, Type: media.Other, Body: body}
	if len(body) == 0 {
		return p
	}
	format := body[0] >> 4
	switch format {
	case soundEx:
		return parseExAudio(p)
	case soundAAC:
		return parseAAC(p)
	case soundMP3, soundMP38k:
		p.Codec = media.MP3
	case soundG711A:
		p.Codec = media.G711A
	case soundG711U:
		p.Codec = media.G711U
	case soundSpeex:
		p.Codec = media.Speex
	case soundPCM, soundPCMLE:
		p.Codec = media.PCM
	case soundADPCM, soundNelly16, soundNelly8, soundNelly:
		p.Codec = media.OldAudio
	default:
		return p
	}
	p.Payload = 1
	if len(body) > 1 {
		p.Type = media.Frame
	}
	return p
}

func parseAAC(p media.Packet) media.Packet {
	p.Codec = media.AAC
	p.Payload = min(2, len(p.Body))
	if len(p.Body) <= 2 {
		return p
	}
	switch p.Body[1] {
	case aacConfig:
		p.Type = media.Config
	case aacFrame:
		p.Type = media.Frame
	}
	return p
}

// ParseScript tells what the body of a script tag or data message is (E.4.4).
// A leading "@setDataFrame", which only has a meaning between a publisher and
// its server, is cut off the packet's body. onMetaData is [media.Metadata],
// other scripts are frames, and what nobody should be sent is [media.Other].
func ParseScript(body []byte) media.Packet {
	p := media.Packet{Kind: media.Data, Type: media.Other, Body: body}
	name, n := scriptName(body)
	if name == "@setDataFrame" {
		p.Body = body[n:]
		name, n = scriptName(p.Body)
	}
	switch {
	case n == 0, name == "@clearDataFrame", name == "@setDataFrame":
	case name == "onMetaData":
		p.Type = media.Metadata
	default:
		p.Type = media.Frame
	}
	return p
}

// maxScriptName is the longest name of a script that is looked at.
const maxScriptName = 255

// scriptName returns the AMF0 string at the start of b and its encoded length,
// which is 0 where there is none.
func scriptName(b []byte) (string, int) {
	const marker, head = 2, 3
	if len(b) < head || b[0] != marker {
		return "", 0
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if n == 0 || n > maxScriptName || len(b) < head+n {
		return "", 0
	}
	return string(b[head : head+n]), head + n
}
