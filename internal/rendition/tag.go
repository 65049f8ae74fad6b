package rendition

import (
	"encoding/binary"
	"time"

	"sluice/flv"
	"sluice/media"
)

// tagFrame is what stands around the body of an FLV tag.
type tagFrame struct {
	head [flv.TagHeaderLen]byte
	tail [4]byte // PreviousTagSize
}

// newTagFrame returns the frame of a body of n bytes, at most
// [flv.MaxTagBody].
func newTagFrame(p *media.Packet, n int) (f tagFrame) {
	h := flv.TagHeader{Type: tagType(p.Kind), BodyLen: uint32(n), DTS: p.DTS} //nolint:gosec // n is bounded
	_, _ = h.Append(f.head[:0])                                               // cannot fail: n is bounded
	binary.BigEndian.PutUint32(f.tail[:], uint32(flv.TagHeaderLen+n))         //nolint:gosec // n is bounded
	return f
}

// appendTag appends a whole tag. A body that does not fit is left out: no
// configuration is that long.
func appendTag(b []byte, kind media.Kind, dts time.Duration, body []byte) []byte {
	b, _ = flv.AppendTag(b, tagType(kind), dts, body) // leaves b as it is
	return b
}

func tagType(k media.Kind) uint8 {
	switch k {
	case media.Audio:
		return flv.TagAudio
	case media.Video:
		return flv.TagVideo
	case media.Data:
	}
	return flv.TagScript
}
