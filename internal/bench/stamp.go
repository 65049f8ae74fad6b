package bench

import (
	"bytes"
	"encoding/binary"
)

// A frame of the publisher carries, somewhere in its body, this mark and
// behind it the moment at which it was sent, in nanoseconds of a clock that
// all processes of the machine share.
var stampMark = []byte("sluice\xbe\x9cbench\xfa\x11") //nolint:gochecknoglobals // a constant, but for its type

// stampLen is the length of a stamp.
const stampLen = 15 + 8

// appendStamp appends a stamp for that moment.
func appendStamp(b []byte, at int64) []byte {
	b = append(b, stampMark...)
	return binary.BigEndian.AppendUint64(b, uint64(at)) //nolint:gosec // read back the same way
}

// findStamp returns the moment in the first stamp of b.
func findStamp(b []byte) (at int64, ok bool) {
	i := bytes.Index(b, stampMark)
	if i < 0 || len(b) < i+len(stampMark)+8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b[i+len(stampMark):])), true //nolint:gosec // written the same way
}
