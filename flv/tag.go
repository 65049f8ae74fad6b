package flv

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// The flags of a file header (E.2).
const (
	flagVideo = 0x01
	flagAudio = 0x04
)

// Header is the file header (E.2): which kinds of tags the file says it has.
type Header struct{ Audio, Video bool }

// ParseHeader decodes the file header at the start of b. The length that it
// returns is where the header says that it ends, which may be behind the end
// of b; PreviousTagSize0 follows there.
func ParseHeader(b []byte) (Header, int, error) {
	if len(b) < fileHeaderLen {
		return Header{}, 0, ErrShort
	}
	if string(b[:3]) != "FLV" {
		return Header{}, 0, fmt.Errorf("%w: it begins with %q", ErrHeader, b[:3])
	}
	if b[3] != 1 {
		return Header{}, 0, fmt.Errorf("%w: version %d", ErrHeader, b[3])
	}
	n := binary.BigEndian.Uint32(b[5:])
	if n < fileHeaderLen || n > MaxDataOffset {
		return Header{}, 0, fmt.Errorf("%w: data offset %d", ErrHeader, n)
	}
	return Header{Audio: b[4]&flagAudio != 0, Video: b[4]&flagVideo != 0}, int(n), nil
}

// AppendHeader appends a file header and PreviousTagSize0, [HeaderLen] bytes
// in all. The flags must name the tracks that are really sent: players wait
// for what the header promises.
func AppendHeader(b []byte, audio, video bool) []byte {
	return append(b, 'F', 'L', 'V', 1, headerFlags(audio, video), 0, 0, 0, fileHeaderLen, 0, 0, 0, 0)
}

func headerFlags(audio, video bool) byte {
	var flags byte
	if audio {
		flags |= flagAudio
	}
	if video {
		flags |= flagVideo
	}
	return flags
}

// Tag is one tag of a file or stream.
type Tag struct {
	Type uint8
	DTS  time.Duration // whole milliseconds, 0 to 2^32-1
	Body []byte
}

// TagHeader is the fixed part of a tag (E.4.1).
type TagHeader struct {
	Type     uint8
	Filter   bool // the body is encrypted
	BodyLen  uint32
	DTS      time.Duration // whole milliseconds, 0 to 2^32-1
	StreamID uint32        // always 0 in what Sluice writes
}

// ParseTagHeader decodes the header at the start of b and returns its length.
func ParseTagHeader(b []byte) (TagHeader, int, error) {
	if len(b) < TagHeaderLen {
		return TagHeader{}, 0, ErrShort
	}
	ms := uint32(b[7])<<24 | uint24(b[4:])
	return TagHeader{
		Type:     b[0] & 0x1f,
		Filter:   b[0]&0x20 != 0,
		BodyLen:  uint24(b[1:]),
		DTS:      time.Duration(ms) * time.Millisecond,
		StreamID: uint24(b[8:]),
	}, TagHeaderLen, nil
}

// Append encodes h and appends it to b. The time wraps at 2^32 ms, which is
// after 49 days, as it does in RTMP.
func (h TagHeader) Append(b []byte) ([]byte, error) {
	if h.BodyLen > MaxTagBody {
		return b, ErrTagTooLong
	}
	first := h.Type & 0x1f
	if h.Filter {
		first |= 0x20
	}
	ms := uint32(h.DTS.Milliseconds())
	n, id := h.BodyLen, h.StreamID
	return append(b, first,
		byte(n>>16), byte(n>>8), byte(n),
		byte(ms>>16), byte(ms>>8), byte(ms), byte(ms>>24),
		byte(id>>16), byte(id>>8), byte(id)), nil
}

// AppendTag appends a whole tag to b: header, body and PreviousTagSize. The
// time wraps at 2^32 ms.
func AppendTag(b []byte, typ uint8, dts time.Duration, body []byte) ([]byte, error) {
	if len(body) > MaxTagBody {
		return b, ErrTagTooLong
	}
	b = slices.Grow(b, len(body)+TagOverhead)
	b, err := TagHeader{Type: typ, BodyLen: uint32(len(body)), DTS: dts}.Append(b)
	if err != nil {
		return b, err
	}
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, uint32(len(body)+TagHeaderLen)), nil
}

func uint24(b []byte) uint32 {
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}

// int24 is uint24 with the sign extended (SI24).
func int24(b []byte) int32 { return int32(uint24(b)<<8) >> 8 }
