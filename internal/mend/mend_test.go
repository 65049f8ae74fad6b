package mend_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/internal/mend"
	"sluice/media"
)

// tags reads the video of a file.
func tags(tb testing.TB, file string) []media.Packet {
	tb.Helper()
	return slices.DeleteFunc(flvtest.Packets(tb, file), func(p media.Packet) bool { return p.Kind != media.Video })
}

// run mends packets, and returns what is told meanwhile.
func run(t *testing.T, packets []media.Packet) (out []media.Packet, told []mend.Event) {
	t.Helper()
	m := mend.New(func(e mend.Event) { told = append(told, e) })
	for _, p := range packets {
		p.Body = bytes.Clone(p.Body)
		for _, got := range m.Mend(p) {
			// What a mender says of a packet is what its body says.
			again := flv.ParseBody(flv.TagVideo, got.Body)
			if again.Type != got.Type || again.Codec != got.Codec || again.Key != got.Key || again.Payload != got.Payload || again.CTS != got.CTS {
				t.Fatalf("%+v, but its body says %+v", got, again)
			}
			out = append(out, got)
		}
	}
	return out, told
}

func checkTold(t *testing.T, got []mend.Event, want ...mend.Event) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// bodies returns the bodies of the packets.
func bodies(packets []media.Packet) [][]byte {
	var out [][]byte
	for _, p := range packets {
		out = append(out, p.Body)
	}
	return out
}

func same(a, b []media.Packet) bool { return slices.EqualFunc(bodies(a), bodies(b), bytes.Equal) }

func only(packets []media.Packet, typ media.Type) []media.Packet {
	return slices.DeleteFunc(slices.Clone(packets), func(p media.Packet) bool { return p.Type != typ })
}

// startCodes returns a packet with start codes in place of its lengths of four
// bytes.
func startCodes(p media.Packet) media.Packet {
	body := bytes.Clone(p.Body[:p.Payload])
	code := []byte{0, 0, 0, 1}
	for nal := range flv.Units(p.Bytes(), 4) {
		body = append(append(body, code...), nal...)
		code = []byte{0, 0, 1}
	}
	p.Body = body
	return p
}

func TestWhatIsInOrderPassesAsItIs(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"h264_aac.flv", "h264_bframes_aac.flv", "hevc_aac_enhanced.flv", "hevc_only_codedframesx.flv", "av1_opus_enhanced.flv",
		"mutants/hevc_codecid12.flv", "mutants/hevc_modex.flv", "mutants/avc_to_hevc.flv", "mutants/negative_cts.flv",
		"mutants/dup_seq.flv", "multitrack_h264_hevc.flv",
	} {
		sent := tags(t, file)
		got, told := run(t, sent)
		checkTold(t, told)
		if !same(sent, got) {
			t.Errorf("%s is changed", file)
		}
	}
}

func TestAConfigurationIsMadeOfWhatTheFramesSay(t *testing.T) {
	t.Parallel()
	want := only(tags(t, "h264_aac.flv"), media.Config)
	for file, events := range map[string][]mend.Event{
		"mutants/noseqhdr_inband.flv": {mend.Derived},
		"mutants/noseqhdr_annexb.flv": {mend.StartCodes, mend.Derived},
	} {
		got, told := run(t, tags(t, file))
		checkTold(t, told, events...)
		if diff := cmp.Diff(bodies(want), bodies(only(got, media.Config))); diff != "" {
			t.Errorf("%s: configurations (-want +got):\n%s", file, diff)
		}
		if got[0].Type != media.Config || !got[1].Key || got[0].DTS != got[1].DTS {
			t.Errorf("%s begins with %+v", file, got[0])
		}
		for _, p := range only(got, media.Frame) {
			if !flv.HasUnits(p.Bytes(), 4) {
				t.Fatalf("%s: a frame is no row of units", file)
			}
		}
	}
	if got, told := run(t, tags(t, "mutants/noseqhdr.flv")); len(told) != 0 || len(only(got, media.Config)) != 0 {
		t.Errorf("a configuration out of nothing: %v", told)
	}
}

func TestAConfigurationIsMadeForHEVCToo(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"hevc_aac_enhanced.flv", "mutants/hevc_codecid12.flv"} {
		sent := tags(t, file)
		config := only(sent, media.Config)[0]
		b := config.Bytes()
		var sets []byte
		for at, arrays := 23, int(b[22]); arrays > 0; arrays-- {
			n := int(b[at+1])<<8 | int(b[at+2])
			for at += 3; n > 0; n-- {
				size := int(b[at])<<8 | int(b[at+1])
				sets = append(append(sets, 0, 0), b[at:at+2+size]...) // a length of four bytes
				at += 2 + size
			}
		}
		var bare []media.Packet
		for _, p := range only(sent, media.Frame) {
			if p.Key {
				p.Body = slices.Concat(p.Body[:p.Payload], sets, p.Bytes())
			}
			bare = append(bare, p)
		}
		got, told := run(t, bare)
		checkTold(t, told, mend.Derived)
		made := only(got, media.Config)
		if len(made) != 1 || made[0].Codec != media.H265 || flv.DescribeTrack(media.Track{Kind: media.Video, Codec: media.H265, Config: &made[0]}).Codecs !=
			flv.DescribeTrack(media.Track{Kind: media.Video, Codec: media.H265, Config: &config}).Codecs {
			t.Errorf("%s: made %+v", file, made)
		}
	}
}

func TestOtherParameterSetsMakeAnotherConfiguration(t *testing.T) {
	t.Parallel()
	first := tags(t, "mutants/noseqhdr_inband.flv")
	config := only(tags(t, "h264_bframes_aac.flv"), media.Config)[0]
	b := config.Bytes()
	n := int(b[6])<<8 | int(b[7])
	second := first[0]
	second.Body = slices.Concat(second.Body[:second.Payload], []byte{0, 0}, b[6:8+n], []byte{0, 0}, b[8+n+1:len(b)-4])
	got, _ := run(t, append(slices.Clone(first), second, first[0]))
	configs := only(got, media.Config)
	if len(configs) != 3 || !bytes.Equal(configs[1].Body, config.Body) || !bytes.Equal(configs[2].Body, configs[0].Body) {
		t.Errorf("configurations %x", bodies(configs))
	}
}

// large is a parameter set of pictures of 640 by 360.
const large = "\x67\x4d\x40\x1f\xa6\x11\x02\x80\xbf\xe5\xc0\x44\x00\x00\x03\x00\x04\x00\x00\x03\x00\xc8\x3c"

func TestPicturesOfAnotherSizeMakeAnotherConfiguration(t *testing.T) {
	t.Parallel()
	sent := tags(t, "h264_bframes_aac.flv")
	config, key := sent[0], sent[1]
	record := config.Bytes()
	n := int(record[6])<<8 | int(record[7])
	sps, pps := record[8:8+n], record[8+n+3:len(record)-4]
	within := func(sets ...[]byte) media.Packet {
		p := key
		p.Body = bytes.Clone(p.Body[:p.Payload])
		for _, b := range sets {
			p.Body = append(append(p.Body, 0, 0, 0, byte(len(b))), b...)
		}
		p.Body = append(p.Body, key.Bytes()...)
		return p
	}
	level := bytes.Clone(sps)
	level[3]++ // of the same size
	for name, tc := range map[string]struct {
		sent []media.Packet
		want []int // the widths that the configurations say
		told []mend.Event
	}{
		"the same":            {[]media.Packet{config, within(sps, pps)}, []int{320}, nil},
		"of the same size":    {[]media.Packet{config, within(level, pps)}, []int{320}, nil},
		"a set that is wrong": {[]media.Packet{config, within([]byte{0x67, 1}, pps)}, []int{320}, nil},
		"larger":              {[]media.Packet{config, within([]byte(large), pps)}, []int{320, 640}, []mend.Event{mend.Resized}},
		"and goes on so":      {[]media.Packet{config, within([]byte(large), pps), key, within([]byte(large), pps)}, []int{320, 640}, []mend.Event{mend.Resized}},
		"and the old one is repeated": {
			[]media.Packet{config, within([]byte(large), pps), config, key, within([]byte(large), pps), config}, []int{320, 640}, []mend.Event{mend.Resized},
		},
		"and back": {[]media.Packet{config, within([]byte(large), pps), within(sps, pps)}, []int{320, 640, 320}, []mend.Event{mend.Resized}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, told := run(t, tc.sent)
			checkTold(t, told, tc.told...)
			var widths []int
			for _, p := range only(got, media.Config) {
				widths = append(widths, flv.DescribePicture(p.Codec, p.Bytes()).Width)
			}
			if diff := cmp.Diff(tc.want, widths); diff != "" {
				t.Errorf("widths (-want +got):\n%s", diff)
			}
			if frames := only(got, media.Frame); !same(frames, only(tc.sent, media.Frame)) {
				t.Error("the frames are not what they were")
			}
		})
	}
}

func TestStartCodesBecomeLengths(t *testing.T) {
	t.Parallel()
	sent := tags(t, "h264_bframes_aac.flv")
	var bad []media.Packet
	for _, p := range sent {
		switch p.Type {
		case media.Frame:
			p = startCodes(p)
		case media.Config:
			b := p.Bytes()
			n := int(b[6])<<8 | int(b[7])
			code := []byte{0, 0, 0, 1}
			p.Body = slices.Concat(p.Body[:p.Payload], code, b[8:8+n], code, b[8+n+3:len(b)-4])
		default:
		}
		bad = append(bad, p)
	}
	got, told := run(t, bad)
	checkTold(t, told, mend.StartCodes)
	if !same(sent, got) {
		t.Error("it is not what it was")
	}
}

func TestALengthThatLooksLikeAStartCodeIsLeftAlone(t *testing.T) {
	t.Parallel()
	frame := append([]byte{0x27, 1, 0, 0, 0, 0, 0, 1, 0x04, 0x41, 0x9a}, bytes.Repeat([]byte{7}, 0x102)...)
	sent := append(tags(t, "h264_only.flv")[:2], flv.ParseVideo(frame))
	got, told := run(t, sent)
	checkTold(t, told)
	if !bytes.Equal(got[2].Body, frame) {
		t.Errorf("it became % x", got[2].Body[:20])
	}
}

func TestStartCodesOfWhichNothingCanBeMadeAreLeftOut(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{
		"a configuration without sets": {0x17, 0, 0, 0, 0, 0, 0, 0, 1, 0x09, 0xf0},
		"a frame without units":        {0x17, 1, 0, 0, 0, 0, 0, 0, 1},
	} {
		got, told := run(t, []media.Packet{flv.ParseVideo(body)})
		if len(got) != 0 || !slices.Equal(told, []mend.Event{mend.Broken}) {
			t.Errorf("%s: %v, told %v", name, got, told)
		}
	}
}

func TestKeyFramesAreFoundWhereNoneIsMarked(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"h264_aac.flv", "hevc_aac_enhanced.flv", "mutants/avc_ex_avc1.flv"} {
		sent := tags(t, file)
		var none []media.Packet
		for _, p := range sent {
			if p.Type == media.Frame {
				p.Body = bytes.Clone(p.Body)
				flv.SetKey(&p, false)
			}
			none = append(none, p)
		}
		got, told := run(t, none)
		checkTold(t, told, mend.Unmarked)
		if !same(sent, got) {
			t.Errorf("%s: it is not what it was", file)
		}
	}
}

func TestFramesThatAreWronglyMarkedAreNoKeyFrames(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"h264_aac.flv", "hevc_aac_enhanced.flv"} {
		sent := tags(t, file)
		var all []media.Packet
		for _, p := range sent {
			if p.Type == media.Frame {
				p.Body = bytes.Clone(p.Body)
				flv.SetKey(&p, true)
			}
			all = append(all, p)
		}
		got, told := run(t, all)
		checkTold(t, told, mend.Mismarked)
		for i, p := range got {
			if p.Key != sent[i].Key {
				t.Fatalf("%s: frame %d is a key frame: %v", file, i, p.Key)
			}
		}
	}
}

func TestARecoveryPointStaysAKeyFrame(t *testing.T) {
	t.Parallel()
	sei := []byte{0, 0, 0, 4, 6, 6, 1, 0x80}
	slice := []byte{0, 0, 0, 2, 0x41, 0x9a}
	got, told := run(t, []media.Packet{flv.ParseVideo(slices.Concat([]byte{0x17, 1, 0, 0, 0}, sei, slice))})
	checkTold(t, told)
	if !got[0].Key {
		t.Error("it is none any more")
	}
}

func TestEmptyMessagesAndCommandsEndHere(t *testing.T) {
	t.Parallel()
	for _, body := range [][]byte{{}, {0x17}, {0x17, 0}, {0x27, 1, 0, 0, 0}, {0x57, 0}, {0x57, 1, 0, 0, 0, 9}, {0xd1, 'h', 'v', 'c', '1', 0}} {
		if got, _ := run(t, []media.Packet{flv.ParseVideo(body)}); len(got) != 0 {
			t.Errorf("% x passes as %+v", body, got)
		}
	}
	for _, body := range [][]byte{{0x17, 2, 0, 0, 0}, {0x91, 'z', 'z', 'z', 'z', 1}, {0x9f, 'h', 'v', 'c', '1', 1}} {
		if got, _ := run(t, []media.Packet{flv.ParseVideo(body)}); len(got) != 1 {
			t.Errorf("% x does not pass", body)
		}
	}
}

// FuzzMend holds a mender to bounds on what it makes of anything.
func FuzzMend(f *testing.F) {
	f.Add([]byte{0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0d, 0xd9, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 0x88}, uint8(8))
	f.Add([]byte{0x1c, 1, 0, 0, 0, 0, 0, 1, 0x40, 1, 1, 0, 0, 1, 0x42, 1, 1, 0, 0, 1, 0x44, 1, 1, 0, 0, 1, 0x26, 1, 1}, uint8(9))
	f.Add([]byte{0x91, 'h', 'v', 'c', '1', 0, 0, 0, 0, 0, 0, 1, 0x26, 1, 1}, uint8(3))
	config := bytes.Clone(tags(f, "h264_bframes_aac.flv")[0].Body)
	f.Add(append(config, "\x17\x01\x00\x00\x00\x00\x00\x00\x17"+large+"\x00\x00\x00\x02\x68\xce"...), uint8(len(config)))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		at := min(int(cut), len(b))
		whole, begun, rest := bytes.Clone(b), bytes.Clone(b[:at]), bytes.Clone(b[at:])
		memtest.Bound(t, 2*len(b), func() {
			m := mend.New(nil)
			for _, body := range [][]byte{begun, rest, whole} {
				mendAll(t, m, body)
			}
		})
	})
}

// mendAll mends what a message becomes and checks the bounds on that.
func mendAll(t *testing.T, m *mend.Mender, body []byte) {
	t.Helper()
	for _, p := range flv.AppendPackets(nil, flv.TagVideo, body) {
		for _, got := range m.Mend(p) {
			if len(got.Body) > 2*len(body)+128 || got.Payload > len(got.Body) || got.Kind != media.Video {
				t.Fatalf("%x became %+v", body, got)
			}
		}
	}
}
