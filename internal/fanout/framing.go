package fanout

import (
	"encoding/binary"
	"strconv"
)

// Framing is what stands around each append in a log.
type Framing uint8

// The framings.
const (
	Plain     Framing = iota // nothing
	Chunked                  // an HTTP/1.1 chunk (RFC 9112, chapter 7.1)
	WebSocket                // an unmasked binary message (RFC 6455, chapter 5.2)
)

// maxFrameHead is the longest frame head of any framing.
const maxFrameHead = 18

// wsBinary is the first byte of a whole binary message.
const wsBinary = 0x82

// AppendHead appends what stands before n bytes of payload.
func (f Framing) AppendHead(b []byte, n int) []byte {
	switch f {
	case Chunked:
		b = strconv.AppendInt(b, int64(n), 16)
		return append(b, "\r\n"...)
	case WebSocket:
		switch {
		case n < 126:
			return append(b, wsBinary, byte(n))
		case n < 1<<16:
			return binary.BigEndian.AppendUint16(append(b, wsBinary, 126), uint16(n))
		default:
			return binary.BigEndian.AppendUint64(append(b, wsBinary, 127), uint64(n))
		}
	default:
		return b
	}
}

// AppendTail appends what stands behind the payload.
func (f Framing) AppendTail(b []byte) []byte {
	if f == Chunked {
		return append(b, "\r\n"...)
	}
	return b
}

// Frame returns the payload in its frame: for what is sent outside of a log.
func (f Framing) Frame(payload []byte) []byte {
	b := make([]byte, 0, len(payload)+maxFrameHead+len("\r\n"))
	return f.AppendTail(append(f.AppendHead(b, len(payload)), payload...))
}
