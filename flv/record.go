package flv

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"sluice/media"
)

// maxSets is how many parameter sets of one kind a record may have; encoders
// send one or two.
const maxSets = 8

// ParameterSets are the parameter sets of a track of H.264 or H.265 as they
// stand in its frames. They are copies. The zero value has none.
type ParameterSets struct{ vps, sps, pps [][]byte }

// Add takes a NAL unit if it is a parameter set that is not known yet, and
// there is room.
func (s *ParameterSets) Add(codec media.Codec, nal []byte) {
	var of *[][]byte
	switch DescribeUnit(codec, nal) {
	case UnitVPS:
		of = &s.vps
	case UnitSPS:
		of = &s.sps
	case UnitPPS:
		of = &s.pps
	default:
		return
	}
	known := slices.ContainsFunc(*of, func(have []byte) bool { return bytes.Equal(have, nal) })
	if !known && len(*of) < maxSets && len(nal) <= math.MaxUint16 {
		*of = append(*of, bytes.Clone(nal))
	}
}

// Record returns the decoder configuration record, with lengths of four bytes,
// or false while sets are missing or where they cannot be read.
func (s *ParameterSets) Record(codec media.Codec) ([]byte, bool) {
	switch {
	case len(s.sps) == 0, len(s.pps) == 0:
	case codec == media.H264:
		return s.avcRecord()
	case codec == media.H265 && len(s.vps) > 0:
		return s.hevcRecord()
	}
	return nil, false
}

// avcRecord writes an avcC (ISO/IEC 14496-15, 5.3.3.1).
func (s *ParameterSets) avcRecord() ([]byte, bool) {
	sps := s.sps[0]
	if w, h := pictureSize(sps); w == 0 || h == 0 {
		return nil, false
	}
	b := []byte{1, sps[1], sps[2], sps[3], 0xfc | 3, 0xe0 | byte(len(s.sps))}
	b = appendSets(b, s.sps)
	b = append(b, byte(len(s.pps)))
	b = appendSets(b, s.pps)
	switch sps[1] {
	case 66, 77, 88: // baseline, main, extended end here
		return b, true
	}
	r := bitReader{b: unescape(sps[4:min(len(sps), 64)])}
	r.golomb() // seq_parameter_set_id
	chroma := r.golomb()
	if chroma == 3 {
		r.bits(1) // separate_colour_plane_flag
	}
	luma, depth := r.golomb(), r.golomb()
	return append(b, 0xfc|byte(chroma&3), 0xf8|byte(luma&7), 0xf8|byte(depth&7), 0), true
}

// hevcRecord writes an hvcC (ISO/IEC 14496-15, 8.3.3.1). It does not say that
// its sets are all there are, since the frames have them as well.
func (s *ParameterSets) hevcRecord() ([]byte, bool) {
	p, ok := parseHEVCProfile(s.sps[0])
	if !ok {
		return nil, false
	}
	b := append([]byte{1}, p.general[:]...)
	b = append(b, 0xf0, 0, 0xfc, 0xfc|p.chroma, 0xf8|p.luma, 0xf8|p.depth, 0, 0,
		(p.subLayers+1)<<3|p.nested<<2|3, 3)
	for _, of := range []struct {
		kind byte
		sets [][]byte
	}{{hevcVPS, s.vps}, {hevcSPS, s.sps}, {hevcPPS, s.pps}} {
		b = append(b, of.kind, 0, byte(len(of.sets)))
		b = appendSets(b, of.sets)
	}
	return b, true
}

func appendSets(b []byte, sets [][]byte) []byte {
	for _, set := range sets {
		b = binary.BigEndian.AppendUint16(b, uint16(len(set))) //nolint:gosec // bounded by Add
		b = append(b, set...)
	}
	return b
}

// hevcProfile is what a record repeats of a sequence parameter set.
type hevcProfile struct {
	general             [12]byte // general_profile_space to general_level_idc
	subLayers, nested   byte
	chroma, luma, depth byte
	width, height       int // 0 where they are not sane
}

// parseHEVCProfile reads the beginning of a sequence parameter set (ISO/IEC
// 23008-2, 7.3.2.2.1).
func parseHEVCProfile(sps []byte) (p hevcProfile, ok bool) {
	const head = 512 // what is read lies in it
	r := bitReader{b: unescape(sps[2:min(len(sps), head)])}
	r.bits(4) // sps_video_parameter_set_id
	p.subLayers, p.nested = byte(r.bits(3)), byte(r.bits(1))
	for i := range p.general {
		p.general[i] = byte(r.bits(8))
	}
	r.subLayers(int(p.subLayers))
	r.golomb() // sps_seq_parameter_set_id
	chroma := r.golomb()
	if chroma == 3 {
		r.bits(1) // separate_colour_plane_flag
	}
	w, h := r.golomb(), r.golomb()
	if w > maxPictureSide || h > maxPictureSide {
		w, h = 0, 0
	}
	if r.bits(1) == 1 { // conformance_window_flag
		w, h = r.cropped(w, h, chroma, 1)
	}
	p.width, p.height = int(w), int(h)
	luma, depth := r.golomb(), r.golomb()
	p.chroma, p.luma, p.depth = byte(chroma&3), byte(luma&7), byte(depth&7)
	return p, !r.short && p.subLayers < 7 && chroma <= 3 && luma <= 8 && depth <= 8
}

// subLayers reads past the levels of n sub-layers (7.3.3).
func (r *bitReader) subLayers(n int) {
	var profile, level [8]bool
	for i := range n {
		profile[i], level[i] = r.bits(1) == 1, r.bits(1) == 1
	}
	if n > 0 {
		r.bits(2 * (8 - n)) // reserved
	}
	for i := range n {
		if profile[i] {
			r.at += 88
		}
		if level[i] {
			r.at += 8
		}
	}
}

// ConfigBody returns the body of a message that announces a record for the
// track of p, in the form of p's own message; false where that has message
// modifiers or several tracks.
func ConfigBody(p *media.Packet, record []byte) ([]byte, bool) {
	if p.Kind != media.Video || len(p.Body) == 0 {
		return nil, false
	}
	var head []byte
	if p.Body[0]&exVideoBit == 0 {
		head = []byte{frameKey<<4 | p.Body[0]&0x0f, nalConfig, 0, 0, 0}
	} else {
		h, ok := parseEx(p.Body, exVideoTracks)
		if !ok || !h.isPlain() {
			return nil, false
		}
		head = append([]byte{exVideoBit | frameKey<<4 | exSequenceStart}, h.fourCC...)
	}
	return append(head, record...), true
}

// LengthSize returns how many bytes a length has in the frames behind a
// decoder configuration record, 0 where that cannot be read.
func LengthSize(codec media.Codec, record []byte) int {
	switch {
	case codec == media.H264 && len(record) >= 7 && record[0] == 1:
		return int(record[4]&3) + 1
	case codec == media.H265 && len(record) >= 23:
		return int(record[21]&3) + 1
	}
	return 0
}

// SetKey marks a frame of video as one at which decoding can begin, or not, in
// its body as well.
func SetKey(p *media.Packet, key bool) {
	const inter = 2
	p.Key = key
	frame := byte(inter)
	if key {
		frame = frameKey
	}
	p.Body[0] = p.Body[0]&0x8f | frame<<4
}
