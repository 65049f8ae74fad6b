package mp4

import (
	"encoding/binary"
	"math"

	"sluice/media"
)

// videoEntry appends a sample entry (12.1.3).
func (x *boxes) videoEntry(t Track) {
	name, config := "avc1", "avcC"
	switch t.Codec {
	case media.H265:
		name, config = "hvc1", "hvcC"
	case media.AV1:
		name, config = "av01", "av1C"
	case media.VP9:
		name, config = "vp09", "vpcC" // with its version
	default:
	}
	x.begin(name)
	x.zero(6)
	x.u16(1) // data reference
	x.zero(16)
	x.u16(uint16(t.Width))  //nolint:gosec // bounded by Check
	x.u16(uint16(t.Height)) //nolint:gosec // bounded by Check
	x.u32(0x480000)         // 72 dpi
	x.u32(0x480000)
	x.zero(4)
	x.u16(1) // frames in a sample
	x.zero(32)
	x.u16(24) // depth
	x.u16(0xffff)
	x.begin(config)
	x.bytes(t.Config)
	x.end()
	if c := t.Colour; c != nil {
		x.begin("colr")
		x.text("nclx")
		x.u16(c.Primaries)
		x.u16(c.Transfer)
		x.u16(c.Matrix)
		x.u8(0)
		if c.FullRange {
			x.b[len(x.b)-1] = 0x80
		}
		x.end()
	}
	if t.Aspect[0] > 0 && t.Aspect[1] > 0 {
		x.begin("pasp")
		x.u32(t.Aspect[0])
		x.u32(t.Aspect[1])
		x.end()
	}
	x.end()
}

// audioEntry appends a sample entry (12.2.3).
func (x *boxes) audioEntry(t Track) {
	name := "mp4a"
	switch t.Codec {
	case media.Opus:
		name = "Opus"
	case media.FLAC:
		name = "fLaC"
	default:
	}
	channels, rate := t.Channels, t.SampleRate
	if channels == 0 {
		channels = 2
	}
	if t.Codec == media.Opus {
		rate = opusRate
	}
	if rate > math.MaxUint16 {
		rate = 0 // it does not fit; the configuration says it
	}
	x.begin(name)
	x.zero(6)
	x.u16(1) // data reference
	x.zero(8)
	x.u16(uint16(channels)) //nolint:gosec // bounded by Check
	x.u16(16)               // bits of a sample
	x.zero(4)
	x.u32(uint32(rate) << 16) //nolint:gosec // bounded here
	switch t.Codec {
	case media.Opus:
		x.opusConfig(t.Config)
	case media.FLAC:
		const lastStreamInfo = 0x80
		x.full("dfLa", 0, 0)
		x.u8(lastStreamInfo, 0, 0, streamInfoLen)
		x.bytes(t.Config)
		x.end()
	default:
		x.elementaryStream(t)
	}
	x.end()
}

// opusConfig appends an OpusHead in the form that it has in MP4, whose numbers
// are of the other order (Encapsulation of Opus in ISO base media files, 4.3.2).
func (x *boxes) opusConfig(config []byte) {
	h, _ := parseOpusHead(config)
	x.begin("dOps")
	x.u8(0, h.channels)
	x.u16(binary.LittleEndian.Uint16(h.b[10:]))
	x.u32(binary.LittleEndian.Uint32(h.b[12:]))
	x.u16(binary.LittleEndian.Uint16(h.b[16:]))
	x.bytes(h.b[18:]) // mapping family and table
	x.end()
}

// The types of objects (ISO/IEC 14496-1, table 5).
const (
	objectAAC      = 0x40
	objectMPEG2MP3 = 0x69 // of low sample rates
	objectMP3      = 0x6b
)

// elementaryStream appends the box esds (ISO/IEC 14496-14, 5.6).
func (x *boxes) elementaryStream(t Track) {
	const tagES, tagDecoder, tagSpecific, tagSync = 3, 4, 5, 6
	const audioStream, predefined = 0x15, 2
	const lowestMPEG1 = 32000
	object := byte(objectAAC)
	if t.Codec == media.MP3 {
		object = objectMP3
		if t.SampleRate < lowestMPEG1 {
			object = objectMPEG2MP3
		}
	}
	specific := 0
	if t.Codec == media.AAC {
		specific = descriptorHead + len(t.Config)
	}
	const decoder = 13
	x.full("esds", 0, 0)
	x.descriptor(tagES, 3+descriptorHead+decoder+specific+descriptorHead+1)
	x.u16(0) // number, 0 in files
	x.u8(0)
	x.descriptor(tagDecoder, decoder+specific)
	x.u8(object, audioStream, 0, 0, 0) // the size of its buffer is not known
	x.u32(0)                           // neither is the highest bit rate
	x.u32(0)                           // nor the mean one
	if specific > 0 {
		x.descriptor(tagSpecific, len(t.Config))
		x.bytes(t.Config)
	}
	x.descriptor(tagSync, 1)
	x.u8(predefined)
	x.end()
}

// descriptorHead is the length of what [boxes.descriptor] appends.
const descriptorHead = 5

// descriptor appends the head of a descriptor, its length in the long form that
// every player reads.
func (x *boxes) descriptor(tag byte, n int) {
	x.u8(tag, 0x80|byte(n>>21&0x7f), 0x80|byte(n>>14&0x7f), 0x80|byte(n>>7&0x7f), byte(n&0x7f))
}
