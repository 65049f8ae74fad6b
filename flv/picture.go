package flv

import (
	"encoding/binary"

	"sluice/media"
)

// Picture says how the pictures of a track are to be shown. What is zero is not
// known.
type Picture struct {
	Width, Height int // in pixels
	// Aspect is how much wider than high a pixel is, as width and height.
	Aspect [2]uint32
	// Primaries, Transfer and Matrix name the colours by the numbers of
	// ISO/IEC 23091-2; 0 is no colour.
	Primaries, Transfer, Matrix uint8
	FullRange                   bool
}

// DescribePicture reads the decoder configuration record of a track of H.264 or
// H.265. Of the latter it only tells the size.
func DescribePicture(codec media.Codec, record []byte) Picture {
	switch {
	case codec == media.H264 && len(record) >= 8 && record[0] == 1 && record[5]&0x1f > 0:
		n := int(binary.BigEndian.Uint16(record[6:]))
		if sps := record[8:]; n <= len(sps) {
			return parseAVCPicture(sps[:n])
		}
	case codec == media.H265:
		if sps := recordSPS(record); len(sps) > 2 {
			if p, ok := parseHEVCProfile(sps); ok {
				return Picture{Width: p.width, Height: p.height}
			}
		}
	}
	return Picture{}
}

// SPSSize reads the size of the pictures, in pixels, in a sequence parameter set of
// H.264 or H.265, NAL header included. It is 0 where that cannot be read.
func SPSSize(codec media.Codec, sps []byte) (width, height int) {
	switch codec {
	case media.H264:
		return pictureSize(sps)
	case media.H265:
		if p, ok := parseHEVCProfile(sps); ok {
			return p.width, p.height
		}
	default:
	}
	return 0, 0
}

// recordSPS returns the first sequence parameter set of an hvcC record (ISO/IEC
// 14496-15, 8.3.3.1), nil where there is none.
func recordSPS(b []byte) []byte {
	const head = 23
	if len(b) < head {
		return nil
	}
	arrays, b := int(b[head-1]), b[head:]
	for range arrays {
		if len(b) < 3 {
			return nil
		}
		kind, n := b[0]&0x3f, int(binary.BigEndian.Uint16(b[1:]))
		b = b[3:]
		for range n {
			if len(b) < 2 {
				return nil
			}
			size := 2 + int(binary.BigEndian.Uint16(b))
			if size > len(b) {
				return nil
			}
			if kind == hevcSPS {
				return b[2:size]
			}
			b = b[size:]
		}
	}
	return nil
}

// usability reads what an H.264 sequence parameter set says of how to show the
// picture (ISO/IEC 14496-10, E.1.1).
func (r *bitReader) usability(p Picture) Picture {
	if r.bits(1) == 0 { // vui_parameters_present_flag
		return p
	}
	if r.bits(1) == 1 { // aspect_ratio_info_present_flag
		p.Aspect = r.aspect()
	}
	if r.bits(1) == 1 { // overscan_info_present_flag
		r.bits(1)
	}
	if r.bits(1) == 1 { // video_signal_type_present_flag
		r.bits(3) // video_format
		full := r.bits(1) == 1
		if r.bits(1) == 1 { // colour_description_present_flag
			p.Primaries, p.Transfer, p.Matrix = byte(r.bits(8)), byte(r.bits(8)), byte(r.bits(8))
			p.FullRange = full
		}
	}
	if r.short {
		return Picture{Width: p.Width, Height: p.Height}
	}
	return p
}

// aspect reads the shape of a pixel (table E-1).
func (r *bitReader) aspect() [2]uint32 {
	widths := [...]uint32{0, 1, 12, 10, 16, 40, 24, 20, 32, 80, 18, 15, 64, 160, 4, 3, 2}
	heights := [...]uint32{0, 1, 11, 11, 11, 33, 11, 11, 11, 33, 11, 11, 33, 99, 3, 2, 1}
	const extended = 255
	switch i := r.bits(8); {
	case i == extended:
		return [2]uint32{r.bits(16), r.bits(16)}
	case int(i) < len(widths):
		return [2]uint32{widths[i], heights[i]}
	}
	return [2]uint32{}
}
