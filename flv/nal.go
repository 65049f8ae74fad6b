package flv

import (
	"bytes"
	"iter"

	"sluice/media"
)

// Unit tells what a NAL unit of H.264 or H.265 is, as far as a server has to
// know.
type Unit uint8

// The kinds of NAL units. The zero value is one of no interest.
const (
	_            Unit = iota
	UnitVPS           // video parameter set, of H.265
	UnitSPS           // sequence parameter set
	UnitPPS           // picture parameter set
	UnitKey           // a slice of a picture at which decoding can begin: IDR, or IRAP of H.265
	UnitInter         // a slice that needs pictures before it
	UnitSlice         // a slice that is neither, or nobody knows
	UnitRecovery      // says that decoding can begin here and is complete a little later
)

// The types of NAL units (ISO/IEC 14496-10, table 7-1; ISO/IEC 23008-2, table
// 7-1), and of the message in them that announces a recovery point.
const (
	avcSlice, avcPartitionA, avcIDR, avcSEI, avcSPS, avcPPS = 1, 2, 5, 6, 7, 8

	hevcLastSlice, hevcFirstIRAP, hevcLastIRAP = 9, 16, 21
	hevcVPS, hevcSPS, hevcPPS, hevcPrefixSEI   = 32, 33, 34, 39

	seiRecovery = 6
)

// DescribeUnit tells what a NAL unit of that codec is.
func DescribeUnit(codec media.Codec, nal []byte) Unit {
	switch {
	case codec == media.H264 && len(nal) > 1:
		return describeAVCUnit(nal)
	case codec == media.H265 && len(nal) > 2:
		return describeHEVCUnit(nal)
	}
	return 0
}

func describeAVCUnit(nal []byte) Unit {
	switch nal[0] & 0x1f {
	case avcSPS:
		return UnitSPS
	case avcPPS:
		return UnitPPS
	case avcIDR:
		return UnitKey
	case avcSlice, avcPartitionA:
		const head = 16 // the two numbers lie in it, whatever they are
		r := bitReader{b: unescape(nal[1:min(len(nal), head)])}
		r.golomb() // first_mb_in_slice
		if kind := r.golomb() % 5; kind <= 1 && !r.short {
			return UnitInter // P or B
		}
		return UnitSlice
	case avcSEI:
		if nal[1] == seiRecovery {
			return UnitRecovery
		}
	}
	return 0
}

func describeHEVCUnit(nal []byte) Unit {
	switch t := nal[0] >> 1 & 0x3f; {
	case t == hevcVPS:
		return UnitVPS
	case t == hevcSPS:
		return UnitSPS
	case t == hevcPPS:
		return UnitPPS
	case t >= hevcFirstIRAP && t <= hevcLastIRAP:
		return UnitKey
	case t <= hevcLastSlice:
		return UnitSlice
	case t == hevcPrefixSEI && nal[2] == seiRecovery:
		return UnitRecovery
	}
	return 0
}

// Units yields the NAL units of a frame in which a length of size bytes stands
// before each (ISO/IEC 14496-15, 4.3.3), up to the first that does not fit.
// They share b.
func Units(b []byte, size int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := b; ; {
			nal, n := firstUnit(rest, size)
			if n == 0 || !yield(nal) {
				return
			}
			rest = rest[n:]
		}
	}
}

// HasUnits tells whether b is nothing but NAL units behind lengths of size
// bytes.
func HasUnits(b []byte, size int) bool {
	for len(b) > 0 {
		_, n := firstUnit(b, size)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// firstUnit returns the NAL unit at the start of b and its length with the
// length before it, 0 where it is not whole.
func firstUnit(b []byte, size int) (nal []byte, n int) {
	if size < 1 || size > 4 || len(b) < size {
		return nil, 0
	}
	length := 0
	for _, c := range b[:size] {
		length = length<<8 | int(c)
	}
	if length > len(b)-size {
		return nil, 0
	}
	return b[size : size+length], size + length
}

const startCode = "\x00\x00\x01"

// HasStartCode tells whether b begins like a stream of bytes with start codes
// (ISO/IEC 14496-10, annex B), which FLV does not have. A length of 1, or of
// 256 to 511, looks like one.
func HasStartCode(b []byte) bool {
	return bytes.HasPrefix(b, []byte(startCode)) || len(b) > 0 && b[0] == 0 && bytes.HasPrefix(b[1:], []byte(startCode))
}

// StartCodeUnits yields the NAL units of a stream of bytes with start codes.
// They share b.
func StartCodeUnits(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := b
		at := bytes.Index(rest, []byte(startCode))
		for at >= 0 {
			rest = rest[at+len(startCode):]
			at = bytes.Index(rest, []byte(startCode))
			nal := rest
			if at >= 0 {
				nal = rest[:at]
			}
			nal = bytes.TrimRight(nal, "\x00") // no unit ends with a zero
			if len(nal) > 0 && !yield(nal) {
				return
			}
		}
	}
}
