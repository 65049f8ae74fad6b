package flv_test

import (
	"bytes"
	"slices"
	"testing"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/media"
)

// setsOf takes the parameter sets in the record of the first configuration of a
// file apart.
func setsOf(t *testing.T, file string) (config media.Packet, units [][]byte) {
	t.Helper()
	tags := flvtest.Tags(t, file)
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Kind != media.Video || p.Type != media.Config {
			continue
		}
		b := p.Bytes()
		if p.Codec == media.H264 {
			sps := int(b[6])<<8 | int(b[7])
			units = append(units, b[8:8+sps])
			b = b[8+sps+1:]
			return p, append(units, b[2:2+(int(b[0])<<8|int(b[1]))])
		}
		arrays := int(b[22])
		for b = b[23:]; arrays > 0; arrays-- {
			n := int(b[1])<<8 | int(b[2])
			for b = b[3:]; n > 0; n-- {
				size := int(b[0])<<8 | int(b[1])
				units = append(units, b[2:2+size])
				b = b[2+size:]
			}
		}
		return p, units
	}
	t.Fatalf("%s has no configuration", file)
	return media.Packet{}, nil
}

func TestARecordMadeOfParameterSetsIsTheEncoders(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"h264_aac.flv", "h264_bframes_aac.flv", "mutants/avc_ex_avc1.flv",
		"hevc_aac_enhanced.flv", "hevc_hdr10_colorinfo.flv", "mutants/hevc_codecid12.flv",
	} {
		config, units := setsOf(t, file)
		var sets flv.ParameterSets
		for _, nal := range units {
			if _, ok := sets.Record(config.Codec); ok && flv.DescribeUnit(config.Codec, nal) != 0 {
				t.Errorf("%s: a record without all of its sets", file)
			}
			sets.Add(config.Codec, nal)
			sets.Add(config.Codec, nal)
		}
		got, ok := sets.Record(config.Codec)
		want := slices.Clone(config.Bytes())
		if config.Codec == media.H265 {
			want, got = sameHEVC(t, want, got)
		}
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: made\n%x, want\n%x", file, got, want)
		}
		body, ok := flv.ConfigBody(&config, config.Bytes())
		if !ok || !bytes.Equal(body, config.Body) {
			t.Errorf("%s: the body begins with %x, want %x", file, body[:5], config.Body[:5])
		}
		if n := flv.LengthSize(config.Codec, config.Bytes()); n != 4 {
			t.Errorf("%s: lengths of %d bytes", file, n)
		}
	}
}

// sameHEVC leaves out of two records what is not in the parameter sets that
// are read: the parallelism, the segmentation, the frame rate and the SEI of
// the encoder. Whether the arrays are complete is told differently.
func sameHEVC(t *testing.T, want, got []byte) (a, b []byte) {
	t.Helper()
	if len(got) < 23 {
		t.Fatalf("made %x", got)
	}
	want = want[:min(len(want), len(got))]
	for _, r := range [][]byte{want, got} {
		r[13], r[14], r[15], r[19], r[20], r[22] = 0, 0, 0, 0, 0, 0
		for at := 23; at+5 < len(r); {
			r[at] &= 0x3f
			at += 5 + int(r[at+3])<<8 + int(r[at+4])
		}
	}
	return want, got
}

func TestUnitsAreToldApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codec media.Codec
		nal   []byte
		want  flv.Unit
	}{
		{media.H264, []byte{0x67, 1}, flv.UnitSPS},
		{media.H264, []byte{0x68, 1}, flv.UnitPPS},
		{media.H264, []byte{0x65, 0x88}, flv.UnitKey},
		{media.H264, []byte{0x41, 0x9a}, flv.UnitInter},       // first_mb 0, slice_type 5
		{media.H264, []byte{0x01, 0x9e}, flv.UnitInter},       // slice_type 6, B
		{media.H264, []byte{0x41, 0x88, 0x80}, flv.UnitSlice}, // slice_type 7, I
		{media.H264, []byte{0x41, 0x00}, flv.UnitSlice},       // cut
		{media.H264, []byte{0x06, 0x06}, flv.UnitRecovery},
		{media.H264, []byte{0x06, 0x05}, 0},
		{media.H264, []byte{0x09, 0xf0}, 0},
		{media.H264, []byte{0x65}, 0},
		{media.H264, nil, 0},
		{media.H265, []byte{0x40, 1, 1}, flv.UnitVPS},
		{media.H265, []byte{0x42, 1, 1}, flv.UnitSPS},
		{media.H265, []byte{0x44, 1, 1}, flv.UnitPPS},
		{media.H265, []byte{0x26, 1, 1}, flv.UnitKey},
		{media.H265, []byte{0x2a, 1, 1}, flv.UnitKey}, // CRA
		{media.H265, []byte{0x02, 1, 1}, flv.UnitSlice},
		{media.H265, []byte{0x4e, 1, 6}, flv.UnitRecovery},
		{media.H265, []byte{0x26, 1}, 0},
		{media.AV1, []byte{0x67, 1, 1}, 0},
	} {
		if got := flv.DescribeUnit(tt.codec, tt.nal); got != tt.want {
			t.Errorf("%v % x is %d, want %d", tt.codec, tt.nal, got, tt.want)
		}
	}
}

func TestUnitsAreFoundBehindLengthsAndStartCodes(t *testing.T) {
	t.Parallel()
	want := [][]byte{{0x67, 1}, {0x68}, {0x65, 0, 0, 2}}
	starts := []byte{0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 0, 0, 1, 0x65, 0, 0, 2, 0, 0}
	units := flv.StartCodeUnits(starts)
	for range 2 { // anybody may go through them again
		if got := slices.Collect(units); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("behind start codes: % x", got)
		}
	}
	if !flv.HasStartCode(starts) || !flv.HasStartCode(starts[1:]) || flv.HasStartCode([]byte{0, 0, 0, 2}) || flv.HasStartCode(nil) {
		t.Error("start codes are not seen, or where there are none")
	}
	for size := 1; size <= 4; size++ {
		var b []byte
		for _, nal := range want {
			b = append(b, make([]byte, size-1)...)
			b = append(b, byte(len(nal)))
			b = append(b, nal...)
		}
		units := flv.Units(b, size)
		for range 2 {
			if got := slices.Collect(units); !slices.EqualFunc(got, want, bytes.Equal) || !flv.HasUnits(b, size) {
				t.Errorf("behind lengths of %d: % x", size, got)
			}
		}
		for n := range b {
			whole := n == 0 || n == size+2 || n == size+2+size+1
			if flv.HasUnits(b[:n], size) != whole {
				t.Errorf("%d of %d bytes count as whole: %v", n, len(b), !whole)
			}
		}
	}
	if flv.HasUnits([]byte{1}, 0) || flv.HasUnits([]byte{0, 0, 0, 0, 0}, 5) {
		t.Error("lengths of 0 or 5 bytes")
	}
}

// FuzzParameterSets holds records to what their readers take, whatever is in
// the units.
func FuzzParameterSets(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 1, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0, 0, 1, 0x68, 0xce})
	f.Add(byte(1), []byte{0, 0, 1, 0x40, 1, 1, 0, 0, 1, 0x42, 1, 1, 0, 0, 1, 0x44, 1, 1})
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		codec := []media.Codec{media.H264, media.H265}[which%2]
		var (
			n      int
			record []byte
			ok     bool
		)
		memtest.Bound(t, len(b), func() {
			var sets flv.ParameterSets
			n = 0
			for nal := range flv.StartCodeUnits(b) {
				n += len(nal)
				sets.Add(codec, nal)
			}
			record, ok = sets.Record(codec)
		})
		if n > len(b) {
			t.Fatalf("%d bytes of units in %d", n, len(b))
		}
		if ok && (flv.LengthSize(codec, record) != 4 || len(record) > 2*len(b)+64) {
			t.Errorf("the record %x of %x", record, b)
		}
		for nal := range flv.Units(b, int(which%5)) {
			flv.DescribeUnit(codec, nal)
		}
	})
}
