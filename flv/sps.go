package flv

// maxPictureSide bounds what a sequence parameter set may claim. Level 6.2
// ends at 16,384 samples.
const maxPictureSide = 1 << 14

// pictureSize reads the width and height in an H.264 sequence parameter set,
// NAL header included. They are 0 where it is broken.
func pictureSize(sps []byte) (width, height int) {
	p := parseAVCPicture(sps)
	return p.Width, p.Height
}

// parseAVCPicture reads an H.264 sequence parameter set (ISO/IEC 14496-10,
// 7.3.2.1.1).
func parseAVCPicture(sps []byte) Picture {
	const nalSPS = 7
	if len(sps) < 4 || sps[0]&0x1f != nalSPS {
		return Picture{}
	}
	r := bitReader{b: unescape(sps[4:])}
	r.golomb() // seq_parameter_set_id
	chroma := uint32(1)
	switch sps[1] {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = r.chromaAndScaling()
	}
	r.golomb() // log2_max_frame_num_minus4
	r.pictureOrder()
	r.golomb() // max_num_ref_frames
	r.bits(1)  // gaps_in_frame_num_value_allowed_flag
	w, h := r.golomb()+1, r.golomb()+1
	fields := 2 - r.bits(1) // frame_mbs_only_flag
	if fields == 2 {
		r.bits(1) // mb_adaptive_frame_field_flag
	}
	r.bits(1) // direct_8x8_inference_flag
	if w > maxPictureSide/16 || h > maxPictureSide/16 {
		return Picture{}
	}
	w, h = w*16, h*16*fields
	if r.bits(1) == 1 { // frame_cropping_flag
		w, h = r.cropped(w, h, chroma, fields)
	}
	if r.short || w == 0 || h == 0 {
		return Picture{}
	}
	return r.usability(Picture{Width: int(w), Height: int(h)})
}

// cropped returns the size of the picture within its edges, 0 where nothing is
// left.
func (r *bitReader) cropped(w, h, chroma, fields uint32) (width, height uint32) {
	unitX, unitY := cropUnits(chroma, fields)
	left, right, top, bottom := r.golomb(), r.golomb(), r.golomb(), r.golomb()
	cropX, cropY := uint64(left)+uint64(right), uint64(top)+uint64(bottom)
	if cropX*unitX >= uint64(w) || cropY*unitY >= uint64(h) {
		return 0, 0
	}
	return w - uint32(cropX*unitX), h - uint32(cropY*unitY)
}

func cropUnits(chroma, fields uint32) (x, y uint64) {
	const yuv420, yuv422 = 1, 2
	x, y = 1, uint64(fields)
	if chroma == yuv420 || chroma == yuv422 {
		x = 2
	}
	if chroma == yuv420 {
		y *= 2
	}
	return x, y
}

// chromaAndScaling reads what only the high profiles have and returns
// chroma_format_idc, 0 where the planes are separate.
func (r *bitReader) chromaAndScaling() uint32 {
	const yuv444 = 3
	chroma, lists := r.golomb(), 8
	if chroma == yuv444 {
		lists = 12
		if r.bits(1) == 1 { // separate_colour_plane_flag
			chroma = 0
		}
	}
	r.golomb()          // bit_depth_luma_minus8
	r.golomb()          // bit_depth_chroma_minus8
	r.bits(1)           // qpprime_y_zero_transform_bypass_flag
	if r.bits(1) == 0 { // seq_scaling_matrix_present_flag
		return chroma
	}
	for list := range lists {
		if r.bits(1) == 0 {
			continue
		}
		size := 16
		if list >= 6 {
			size = 64
		}
		r.scalingList(size)
	}
	return chroma
}

// scalingList reads past one list (7.3.2.1.1.1).
func (r *bitReader) scalingList(size int) {
	last, next := int64(8), int64(8)
	for range size {
		if next != 0 {
			next = (last + r.signedGolomb() + 256) & 0xff
		}
		if next != 0 {
			last = next
		}
	}
}

// pictureOrder reads past what says how pictures are ordered.
func (r *bitReader) pictureOrder() {
	switch r.golomb() { // pic_order_cnt_type
	case 0:
		r.golomb()
	case 1:
		r.bits(1)
		r.golomb()
		r.golomb()
		for n := r.golomb(); n > 0 && !r.short; n-- {
			r.golomb()
		}
	}
}

// bitReader reads a record bit by bit. It is short once it was asked for more
// than there is, and reads zeros from then on.
type bitReader struct {
	b     []byte
	at    int // in bits
	short bool
}

func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		if r.at >= 8*len(r.b) {
			r.short = true
			return 0
		}
		v = v<<1 | uint32(r.b[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

// golomb reads ue(v) (9.1).
func (r *bitReader) golomb() uint32 {
	zeros := 0
	for r.bits(1) == 0 {
		if zeros++; r.short || zeros > 31 {
			r.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// signedGolomb reads se(v) (9.1.1).
func (r *bitReader) signedGolomb() int64 {
	v := int64(r.golomb())
	if v%2 == 0 {
		return -v / 2
	}
	return (v + 1) / 2
}

// unescape removes the emulation prevention bytes of a NAL unit.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
