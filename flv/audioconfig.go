package flv

import "bytes"

const (
	flacMarker    = "fLaC"
	streamInfoLen = 34
	opusMagic     = "OpusHead"
	opusHeadLen   = 19
)

// StreamInfo returns the STREAMINFO block (RFC 9639, 8.2), 34 bytes without
// its header, of a FLAC configuration. The block stands alone, as ffmpeg
// writes it, behind "fLaC", behind its header, or behind both, which is what
// Enhanced RTMP says; other blocks may follow. It is not ok where there is
// none.
func StreamInfo(config []byte) (info []byte, ok bool) {
	b := bytes.TrimPrefix(config, []byte(flacMarker))
	const head, blockType = 4, 0x7f
	if len(b) >= head+streamInfoLen && b[0]&blockType == 0 && uint24(b[1:]) == streamInfoLen {
		b = b[head:]
	}
	if len(b) < streamInfoLen || flacRate(b) == 0 {
		return nil, false
	}
	return b[:streamInfoLen], true
}

func flacRate(info []byte) int { return int(uint24(info[10:]) >> 4) }

// describeFLAC reads a STREAMINFO block.
func (i *TrackInfo) describeFLAC(config []byte) {
	i.Codecs = "flac"
	if info, ok := StreamInfo(config); ok {
		i.SampleRate = flacRate(info)
		i.Channels = int(info[12]>>1&7) + 1
	}
}

// OpusHead returns an identification header (RFC 7845, 5.1) for a track of
// Opus: the configuration, where it is one, else one that fits every stream,
// since decoders of two channels also take packets of one.
func OpusHead(config []byte) []byte {
	if len(config) >= opusHeadLen && bytes.HasPrefix(config, []byte(opusMagic)) {
		return config
	}
	const version, channels = 1, 2
	return append([]byte(opusMagic), version, channels,
		0x38, 0x01, // pre-skip: 312
		0x80, 0xbb, 0, 0, // 48 kHz
		0, 0, 0) // gain, mapping family
}

// describeOpus reads an identification header.
func (i *TrackInfo) describeOpus(b []byte) {
	i.Codecs, i.SampleRate = "opus", 48000
	if len(b) > len(opusMagic)+1 && string(b[:len(opusMagic)]) == opusMagic {
		i.Channels = int(b[len(opusMagic)+1])
	}
}
