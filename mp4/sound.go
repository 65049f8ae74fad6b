package mp4

import (
	"bytes"

	"sluice/media"
)

const (
	opusRate      = 48_000
	opusHeadLen   = 19
	streamInfoLen = 34
)

// asc is what a file needs of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
type asc struct {
	rate  uint32 // of the core, without spectral band replication
	frame uint32 // samples of it in a frame
}

// parseASC reads an AudioSpecificConfig. It is not ok where that is cut off, or
// has no sample rate.
func parseASC(b []byte) (c asc, ok bool) {
	rates := [...]uint32{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	const escapeObject, escapeRate, sbr, ps = 31, 15, 5, 29
	r := bitReader{b: b}
	rate := func() uint32 {
		i := r.bits(4)
		switch {
		case i == escapeRate:
			return r.bits(24)
		case int(i) < len(rates):
			return rates[i]
		}
		return 0
	}
	object := r.bits(5)
	if object == escapeObject {
		object = 32 + r.bits(6)
	}
	c.rate = rate()
	r.bits(4) // channels
	if object == sbr || object == ps {
		rate()
		if r.bits(5) == escapeObject {
			r.bits(6)
		}
	}
	c.frame = 1024
	if r.bits(1) == 1 { // frameLengthFlag
		c.frame = 960
	}
	// The flag may be missing in what is otherwise good.
	return c, r.at-1 <= 8*len(b) && c.rate > 0 && object > 0
}

// bitReader reads bit by bit, zeros where there is nothing any more.
type bitReader struct {
	b  []byte
	at int // in bits
}

func (r *bitReader) bits(n int) (v uint32) {
	for range n {
		v <<= 1
		if r.at < 8*len(r.b) {
			v |= uint32(r.b[r.at/8] >> (7 - r.at%8) & 1)
		}
		r.at++
	}
	return v
}

// opusHead is an identification header (RFC 7845, 5.1), up to the end of its
// mapping table.
type opusHead struct {
	b        []byte
	channels byte
}

func parseOpusHead(b []byte) (h opusHead, ok bool) {
	if len(b) < opusHeadLen || !bytes.HasPrefix(b, []byte("OpusHead")) || b[9] == 0 {
		return h, false
	}
	h.channels = b[9]
	n := opusHeadLen
	if b[18] != 0 {
		n += 2 + int(h.channels)
	}
	if len(b) < n {
		return h, false
	}
	h.b = b[:n]
	return h, true
}

// Samples returns how long a frame of sound is, in units of the track's
// timescale; 0 where it does not say so.
func (t Track) Samples(frame []byte) uint32 {
	switch t.Codec {
	case media.AAC:
		if c, ok := parseASC(t.Config); ok {
			return c.frame
		}
	case media.MP3:
		return mp3Samples(frame)
	case media.Opus:
		return opusSamples(frame)
	case media.FLAC:
		return flacSamples(frame)
	default:
	}
	return 0
}

// mp3Samples reads the header of a frame of layer III (ISO/IEC 11172-3,
// 2.4.1.3).
func mp3Samples(b []byte) uint32 {
	const layerIII, mpeg1 = 1, 3
	switch {
	case len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 || b[1]>>1&3 != layerIII:
		return 0
	case b[1]>>3&3 == mpeg1:
		return 1152
	}
	return 576
}

// opusSamples reads the first bytes of a packet (RFC 6716, 3.1).
func opusSamples(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	var frame uint32
	switch config := b[0] >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = [...]uint32{480, 960, 1920, 2880}[config%4]
	case config < 16: // hybrid: 10, 20 ms
		frame = [...]uint32{480, 960}[config%2]
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = [...]uint32{120, 240, 480, 960}[config%4]
	}
	const longest = 5760 // 120 ms
	switch b[0] & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	if len(b) < 2 {
		return 0
	}
	if n := frame * uint32(b[1]&0x3f); n <= longest {
		return n
	}
	return 0
}

// flacSamples reads the block size in the header of a frame (RFC 9639, 9.1).
func flacSamples(b []byte) uint32 {
	const sync, fixed = 0xff, 0xf8
	if len(b) < 5 || b[0] != sync || b[1]&0xfe != fixed {
		return 0
	}
	code := b[2] >> 4
	switch {
	case code == 1:
		return 192
	case code >= 2 && code <= 5:
		return 576 << (code - 2)
	case code >= 8:
		return 256 << (code - 8)
	case code < 6:
		return 0
	}
	at := 4 + codedLen(b[4]) // behind the number of the block or sample
	if len(b) < at+2 {
		return 0
	}
	if code == 6 {
		return uint32(b[at]) + 1
	}
	return uint32(b[at])<<8 + uint32(b[at+1]) + 1
}

// codedLen returns the length of a number that is coded as a character of UTF-8
// would be, by its first byte.
func codedLen(first byte) int {
	n := 0
	for ; first&0x80 != 0; first <<= 1 {
		n++
	}
	return max(n, 1)
}
