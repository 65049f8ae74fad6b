package flv_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/media"
)

// bodies are tag bodies and what they are. In want, Body is left out where it
// is the whole.
var bodies = []struct {
	name string
	typ  uint8
	wire string
	want media.Packet
}{
	{"AAC configuration", 8, "af 00 1210", media.Packet{Kind: media.Audio, Type: media.Config, Codec: media.AAC, Payload: 2}},
	{"AAC frame", 8, "af 01 2100", media.Packet{Kind: media.Audio, Codec: media.AAC, Payload: 2}},
	{"AAC configuration without bytes", 8, "af 00", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AAC, Payload: 2}},
	{"AAC frame without bytes", 8, "af 01", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AAC, Payload: 2}},
	{"AAC of an unknown sort", 8, "af 02 00", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AAC, Payload: 2}},
	{"AAC, cut", 8, "af", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AAC, Payload: 1}},
	{"silence", 8, "", media.Packet{Kind: media.Audio, Type: media.Other}},
	{"MP3", 8, "2f fffb", media.Packet{Kind: media.Audio, Codec: media.MP3, Payload: 1}},
	{"MP3 of 8 kHz", 8, "ee fffb", media.Packet{Kind: media.Audio, Codec: media.MP3, Payload: 1}},
	{"MP3 without a frame", 8, "2f", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.MP3, Payload: 1}},
	{"A-law", 8, "72 d5", media.Packet{Kind: media.Audio, Codec: media.G711A, Payload: 1}},
	{"µ-law", 8, "82 ff", media.Packet{Kind: media.Audio, Codec: media.G711U, Payload: 1}},
	{"Speex", 8, "b2 01", media.Packet{Kind: media.Audio, Codec: media.Speex, Payload: 1}},
	{"samples", 8, "3e 0000", media.Packet{Kind: media.Audio, Codec: media.PCM, Payload: 1}},
	{"ADPCM", 8, "1e 00", media.Packet{Kind: media.Audio, Codec: media.OldAudio, Payload: 1}},
	{"Nellymoser", 8, "62 00", media.Packet{Kind: media.Audio, Codec: media.OldAudio, Payload: 1}},
	{"Opus that nobody agreed on", 8, "df 01 00", media.Packet{Kind: media.Audio, Type: media.Other}},
	{"the device's own sound", 8, "f0 00", media.Packet{Kind: media.Audio, Type: media.Other}},
	{"Opus configuration", 8, "90 4f707573 4f", media.Packet{Kind: media.Audio, Type: media.Config, Codec: media.Opus, Payload: 5}},
	{"Opus frame", 8, "91 4f707573 fc", media.Packet{Kind: media.Audio, Codec: media.Opus, Payload: 5}},
	{"Opus channels", 8, "94 4f707573 01", media.Packet{Kind: media.Audio, Type: media.Metadata, Codec: media.Opus, Payload: 5}},
	{"AC-3 without configuration", 8, "90 61632d33", media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AC3, Payload: 5}},
	{"FLAC end", 8, "92 664c6143", media.Packet{Kind: media.Audio, Type: media.Sequence, Codec: media.FLAC, Payload: 5}},
	{"enhanced AAC", 8, "91 6d703461 21", media.Packet{Kind: media.Audio, Codec: media.AAC, Payload: 5}},
	{"enhanced MP3", 8, "91 2e6d7033 ff", media.Packet{Kind: media.Audio, Codec: media.MP3, Payload: 5}},
	{"E-AC-3", 8, "91 65632d33 0b", media.Packet{Kind: media.Audio, Codec: media.EAC3, Payload: 5}},
	{"sound of track 1", 8, "95 01 6d703461 01 21", media.Packet{Kind: media.Audio, Codec: media.AAC, Track: 1, Payload: 7}},
	{"unknown sound", 8, "91 7a7a7a7a 00", media.Packet{Kind: media.Audio, Type: media.Other, Payload: 5}},

	{"AVC configuration", 9, "17 00 000000 01", media.Packet{Kind: media.Video, Type: media.Config, Codec: media.H264, Payload: 5}},
	{"AVC key frame", 9, "17 01 000050 00", media.Packet{Kind: media.Video, Codec: media.H264, Key: true, CTS: 80 * ms, Payload: 5}},
	{"AVC frame", 9, "27 01 000000 00", media.Packet{Kind: media.Video, Codec: media.H264, Payload: 5}},
	{"AVC disposable frame", 9, "37 01 000000 00", media.Packet{Kind: media.Video, Codec: media.H264, Payload: 5}},
	{"AVC generated key frame", 9, "47 01 000000 00", media.Packet{Kind: media.Video, Codec: media.H264, Payload: 5}},
	{"AVC end", 9, "17 02 000000", media.Packet{Kind: media.Video, Type: media.Sequence, Codec: media.H264, Payload: 5}},
	{"AVC end, short", 9, "17 02", media.Packet{Kind: media.Video, Type: media.Sequence, Codec: media.H264, Payload: 2}},
	{"AVC key frame without a picture", 9, "17 01 000000", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 5}},
	{"AVC configuration without bytes", 9, "17 00 000000", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 5}},
	{"AVC configuration, cut", 9, "17 00", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 2}},
	{"AVC, cut", 9, "17", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 1}},
	{"AVC of an unknown sort", 9, "17 03 000000 00", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 5}},
	{"no picture", 9, "", media.Packet{Kind: media.Video, Type: media.Other}},
	{"command to seek", 9, "57 00", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264}},
	{"command, end of seeking", 9, "57 01 000000 00", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264}},
	{"HEVC configuration", 9, "1c 00 000000 01", media.Packet{Kind: media.Video, Type: media.Config, Codec: media.H265, Payload: 5}},
	{"HEVC key frame", 9, "1c 01 000050 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, CTS: 80 * ms, Payload: 5}},
	{"AV1 that nobody agreed on", 9, "1d 01 000000 00", media.Packet{Kind: media.Video, Type: media.Other}},
	{"H.263 key frame", 9, "12 00", media.Packet{Kind: media.Video, Codec: media.OldVideo, Key: true, Payload: 1}},
	{"VP6 frame", 9, "24 00", media.Packet{Kind: media.Video, Codec: media.OldVideo, Payload: 1}},
	{"VP6 without a picture", 9, "14", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.OldVideo, Payload: 1}},
	{"JPEG", 9, "11 00", media.Packet{Kind: media.Video, Type: media.Other}},
	{"hvc1 configuration", 9, "90 68766331 01", media.Packet{Kind: media.Video, Type: media.Config, Codec: media.H265, Payload: 5}},
	{"hvc1 key frame", 9, "91 68766331 000050 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, CTS: 80 * ms, Payload: 8}},
	{"hvc1 frame", 9, "a1 68766331 0000c8 00", media.Packet{Kind: media.Video, Codec: media.H265, CTS: 200 * ms, Payload: 8}},
	{"hvc1 key frame without composition time", 9, "93 68766331 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, Payload: 5}},
	{"hvc1 colours", 9, "d4 68766331 02", media.Packet{Kind: media.Video, Type: media.Metadata, Codec: media.H265, Payload: 5}},
	{"hvc1 colours of another encoder", 9, "84 68766331 02", media.Packet{Kind: media.Video, Type: media.Metadata, Codec: media.H265, Payload: 5}},
	{"hvc1 end", 9, "92 68766331", media.Packet{Kind: media.Video, Type: media.Sequence, Codec: media.H265, Payload: 5}},
	{"enhanced command", 9, "d1 01", media.Packet{Kind: media.Video, Type: media.Other}},
	{"enhanced command that looks longer", 9, "d1 68766331 000050 00", media.Packet{Kind: media.Video, Type: media.Other}},
	{"avc1 key frame", 9, "91 61766331 000000 00", media.Packet{Kind: media.Video, Codec: media.H264, Key: true, Payload: 8}},
	{"avc1, cut in its composition time", 9, "91 61766331 0000", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H264, Payload: 5}},
	{"av01 key frame", 9, "91 61763031 12", media.Packet{Kind: media.Video, Codec: media.AV1, Key: true, Payload: 5}},
	{"av01 descriptor", 9, "95 61763031 80", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.AV1, Payload: 5}},
	{"vp09 without a picture", 9, "91 76703039", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.VP9, Payload: 5}},
	{"vp08 frame", 9, "a1 76703038 00", media.Packet{Kind: media.Video, Codec: media.VP8, Payload: 5}},
	{"vvc1 frame", 9, "a1 76766331 000028 00", media.Packet{Kind: media.Video, Codec: media.H266, CTS: 40 * ms, Payload: 8}},
	{"reserved sort", 9, "98 68766331 00", media.Packet{Kind: media.Video, Type: media.Other, Codec: media.H265, Payload: 5}},
	{"unknown video", 9, "91 7a7a7a7a 00", media.Packet{Kind: media.Video, Type: media.Other, Payload: 5}},
	{"modified", 9, "97 02 003d09 01 68766331 000050 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, CTS: 80 * ms, Nano: 15625, Payload: 13}},
	{"modified twice", 9, "97 00 aa 07 00 bb 01 68766331 000050 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, CTS: 80 * ms, Payload: 14}},
	{"modified by more than there is", 9, "97 ff ffff 000000", media.Packet{Kind: media.Video, Type: media.Other}},
	{"modified and then nothing", 9, "97 00 aa 07", media.Packet{Kind: media.Video, Type: media.Other}},
	{"picture of track 1", 9, "96 01 68766331 01 000050 00", media.Packet{Kind: media.Video, Codec: media.H265, Key: true, Track: 1, CTS: 80 * ms, Payload: 10}},
	{"track, cut", 9, "96 01 68766331", media.Packet{Kind: media.Video, Type: media.Other}},
	{"tracks within a track", 9, "96 06 68766331 01 00", media.Packet{Kind: media.Video, Type: media.Other}},
	{"many tracks", 9, "96 11 68766331 00 000005 000050aabb 01 000004 000028cc", media.Packet{Kind: media.Video, Type: media.Other}},
	{"many codecs", 9, "96 21 68766331 00 000005 000050aabb 61763031 01 000002 1200", media.Packet{Kind: media.Video, Type: media.Other}},

	{"metadata", 18, "02 000a 6f6e4d65746144617461 05", media.Packet{Kind: media.Data, Type: media.Metadata}},
	{"another script", 18, "02 000a 6f6e5465787444617461 05", media.Packet{Kind: media.Data}},
	{"a script without name", 18, "05", media.Packet{Kind: media.Data, Type: media.Other}},
	{"a script with an empty name", 18, "02 0000 05", media.Packet{Kind: media.Data, Type: media.Other}},
	{"a script with a giant name", 18, "02 ffff 6f6e", media.Packet{Kind: media.Data, Type: media.Other}},
	{"no script", 18, "", media.Packet{Kind: media.Data, Type: media.Other}},
	{"the end of metadata", 18, "02 000f 40636c656172446174614672616d65", media.Packet{Kind: media.Data, Type: media.Other}},
	{"a tag of another type", 15, "00", media.Packet{Type: media.Other}},
}

func TestWhatBodiesAre(t *testing.T) {
	t.Parallel()
	for _, tc := range bodies {
		body := unhex(t, tc.wire)
		got := flv.ParseBody(tc.typ, body)
		want := tc.want
		want.Body = body
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestABodyThatIsCutAnywhereIsNeverMoreThanItWas(t *testing.T) {
	t.Parallel()
	for _, tc := range bodies {
		body := unhex(t, tc.wire)
		for n := range body {
			p := flv.ParseBody(tc.typ, body[:n])
			if p.Payload > n || len(p.Bytes()) > n {
				t.Errorf("%s, cut at %d: payload at %d", tc.name, n, p.Payload)
			}
			if p.Key && p.Type != media.Frame {
				t.Errorf("%s, cut at %d: a key frame of type %d", tc.name, n, p.Type)
			}
			if p.Type == media.Config && len(p.Bytes()) == 0 {
				t.Errorf("%s, cut at %d: a configuration without bytes", tc.name, n)
			}
		}
	}
}

func TestSetDataFrameIsCutOff(t *testing.T) {
	t.Parallel()
	set := unhex(t, "02 000d 40736574446174614672616d65")
	meta := unhex(t, "02 000a 6f6e4d65746144617461 08 00000000 000009")
	p := flv.ParseScript(append(set, meta...))
	if p.Type != media.Metadata || p.Kind != media.Data || !bytes.Equal(p.Body, meta) {
		t.Errorf("ParseScript() = %+v", p)
	}
	if p := flv.ParseScript(set); p.Type != media.Other {
		t.Errorf("with nothing to set: %+v", p)
	}
	if p := flv.ParseScript(append(set, set...)); p.Type != media.Other {
		t.Errorf("twice: %+v", p)
	}
}

func TestCase083CompositionTimesHaveASign(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]struct {
		cts time.Duration
		odd bool
	}{
		"17 01 ffffd8 00": {-40 * ms, false},
		"27 01 0dbba0 00": {15 * time.Minute, false},
		"27 01 0dbba1 00": {15*time.Minute + ms, true},
		"17 01 7fffff 00": {8_388_607 * ms, true},
		"17 01 800000 00": {-8_388_608 * ms, true},
	} {
		p := flv.ParseVideo(unhex(t, wire))
		if p.CTS != want.cts || p.Type != media.Frame || flv.OddCTS(&p) != want.odd {
			t.Errorf("%s: %v of type %d, odd %t; want %v, odd %t", wire, p.CTS, p.Type, flv.OddCTS(&p), want.cts, want.odd)
		}
	}
	negative := 0
	tags := flvtest.Tags(t, "mutants/negative_cts.flv")
	for _, tag := range tags {
		if p := flv.ParseBody(tag.Type, tag.Body); p.CTS < 0 {
			negative++
			if p.CTS != -40*ms {
				t.Errorf("composition time %v, want -40ms", p.CTS)
			}
		}
	}
	if negative == 0 {
		t.Error("negative_cts.flv has no negative composition time")
	}
}

func TestBodiesOfTheMedia(t *testing.T) {
	t.Parallel()
	type sum struct{ Config, Frame, Key, Sequence, Metadata, Other int }
	for name, want := range map[string]map[media.Codec]sum{
		"h264_aac.flv":               {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.AAC: {Config: 1, Frame: 174}},
		"h264_bframes_aac.flv":       {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.AAC: {Config: 1, Frame: 174}},
		"h264_alaw8k.flv":            {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.G711A: {Frame: 174}},
		"h264_mulaw8k.flv":           {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.G711U: {Frame: 174}},
		"h264_mp3.flv":               {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.MP3: {Frame: 155}},
		"aac_only.flv":               {media.AAC: {Config: 1, Frame: 174}},
		"mutants/hevc_codecid12.flv": {media.H265: {Config: 1, Frame: 100, Key: 4}, media.AAC: {Config: 1, Frame: 189}},
		"mutants/mp3_8k14.flv":       {media.H264: {Config: 1, Frame: 100, Key: 4, Sequence: 1}, media.MP3: {Frame: 155}},
		"hevc_aac_enhanced.flv":      {media.H265: {Config: 1, Frame: 100, Key: 4, Metadata: 1}, media.AAC: {Config: 1, Frame: 189}},
		"av1_opus_enhanced.flv":      {media.AV1: {Config: 1, Frame: 100, Key: 4, Metadata: 1}, media.Opus: {Config: 1, Frame: 201, Metadata: 1}},
	} {
		tags := flvtest.Tags(t, name)
		got := map[media.Codec]sum{}
		for _, tag := range tags {
			p := flv.ParseBody(tag.Type, tag.Body)
			if p.Kind == media.Data {
				continue
			}
			s := got[p.Codec]
			switch p.Type {
			case media.Frame:
				s.Frame++
			case media.Config:
				s.Config++
			case media.Sequence:
				s.Sequence++
			case media.Metadata, media.Reset:
				s.Metadata++
			case media.Other:
				s.Other++
			}
			if p.Key {
				s.Key++
			}
			got[p.Codec] = s
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParsingABodyAllocatesNothing(t *testing.T) {
	key := unhex(t, "17 01 000050 00")
	sound := unhex(t, "af 01 2100")
	enhanced := unhex(t, "91 68766331 000050 00")
	if n := testing.AllocsPerRun(100, func() {
		flv.ParseVideo(key)
		flv.ParseVideo(enhanced)
		flv.ParseAudio(sound)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseBody(f *testing.F) {
	for _, tc := range bodies {
		f.Add(tc.typ, unhex(f, tc.wire))
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		var p media.Packet
		memtest.Bound(t, len(body), func() { p = flv.ParseBody(typ, body) })
		switch {
		case p.Payload < 0 || p.Payload > len(body):
			t.Fatalf("payload at %d of %d bytes", p.Payload, len(body))
		case p.Key && (p.Type != media.Frame || p.Kind != media.Video):
			t.Fatalf("a key frame of kind %v and type %d", p.Kind, p.Type)
		case p.Type == media.Config && len(p.Bytes()) == 0:
			t.Fatal("a configuration without bytes")
		case p.Kind != media.Data && !bytes.Equal(p.Body, body), !bytes.HasSuffix(body, p.Body):
			t.Fatal("the packet has another body")
		case (p.Type == media.Frame || p.Type == media.Config) && p.Kind != media.Data && p.Codec == media.Unknown:
			t.Fatal("a frame or configuration of no known codec")
		}
		info := flv.DescribeTrack(media.Track{Kind: p.Kind, Codec: p.Codec, Config: &p, First: &p})
		if info.Width < 0 || info.Height < 0 || info.SampleRate < 0 || info.Channels < 0 {
			t.Fatalf("described as %+v", info)
		}
	})
}

// FuzzConfig lets the readers of configurations, SPS and AudioSpecificConfig among
// them, describe whatever a publisher calls one.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"h264_aac.flv", "hevc_aac_enhanced.flv", "hevc_hdr10_colorinfo.flv"} {
		tags := flvtest.Tags(f, name)
		for _, tag := range tags[:5] {
			if p := flv.ParseBody(tag.Type, tag.Body); p.Type == media.Config {
				f.Add(uint8(p.Kind), uint8(p.Codec), p.Bytes())
			}
		}
	}
	f.Add(uint8(media.Audio), uint8(media.AAC), unhex(f, "2b92 0810"))
	f.Fuzz(func(t *testing.T, kind, codec uint8, config []byte) {
		p := media.Packet{Kind: media.Kind(kind), Codec: media.Codec(codec), Type: media.Config, Body: config}
		track := media.Track{Kind: p.Kind, Codec: p.Codec, Config: &p}
		memtest.Bound(t, len(config), func() { flv.DescribeTrack(track) })
		info := flv.DescribeTrack(track)
		if info.Width < 0 || info.Height < 0 || info.SampleRate < 0 || info.Channels < 0 || len(info.Codecs) > 64 {
			t.Fatalf("described as %+v", info)
		}
	})
}

func BenchmarkParseVideo(b *testing.B) {
	body := append([]byte{0x17, 1, 0, 0, 80}, make([]byte, 4000)...)
	b.ReportAllocs()
	for b.Loop() {
		if p := flv.ParseVideo(body); !p.Key {
			b.Fatal("not a key frame")
		}
	}
}
