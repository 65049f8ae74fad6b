package flv_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/media"
)

// packetsOf returns what the tags of a file are, with their times.
func packetsOf(tb testing.TB, name string) []media.Packet {
	tb.Helper()
	tags := flvtest.Tags(tb, name)
	var all []media.Packet
	for _, tag := range tags {
		n := len(all)
		all = flv.AppendPackets(all, tag.Type, tag.Body)
		for i := range all[n:] {
			all[n+i].DTS = tag.DTS
		}
	}
	return all
}

// only returns the packets of a kind and type.
func only(all []media.Packet, kind media.Kind, typ media.Type) []media.Packet {
	return slices.DeleteFunc(slices.Clone(all), func(p media.Packet) bool { return p.Kind != kind || p.Type != typ })
}

func TestCase084BodiesWithoutContentAreNoFrames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		typ  uint8
		wire string
	}{
		{flv.TagVideo, "17"}, {flv.TagVideo, "17 00"}, {flv.TagVideo, ""}, {flv.TagAudio, "af"}, {flv.TagAudio, "af 01"}, {flv.TagAudio, ""},
	} {
		if p := flv.ParseBody(tc.typ, unhex(t, tc.wire)); p.Type != media.Other || p.Key {
			t.Errorf("%q is of type %d, key %t", tc.wire, p.Type, p.Key)
		}
	}
	if got := len(only(packetsOf(t, "mutants/empty_audio.flv"), media.Audio, media.Other)); got == 0 {
		t.Error("empty_audio.flv has no empty audio")
	}
}

func TestCase085ACommandIsNoKeyFrame(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"57 00", "57 01", "57 01 000000 00", "5c 01 000000 00", "d1 00", "d6 11 68766331 00 000001 00"} {
		for _, p := range flv.AppendPackets(nil, flv.TagVideo, unhex(t, wire)) {
			if p.Type != media.Other || p.Key {
				t.Errorf("%s is of type %d, key %t", wire, p.Type, p.Key)
			}
		}
	}
}

func TestCase086CodecID12IsHEVC(t *testing.T) {
	t.Parallel()
	all := packetsOf(t, "mutants/hevc_codecid12.flv")
	configs, frames := only(all, media.Video, media.Config), only(all, media.Video, media.Frame)
	keys := len(only(slices.DeleteFunc(slices.Clone(all), func(p media.Packet) bool { return !p.Key }), media.Video, media.Frame))
	if len(configs) != 1 || configs[0].Codec != media.H265 || len(frames) != 100 || keys != 4 {
		t.Errorf("%d configurations, %d frames, %d of them key frames", len(configs), len(frames), keys)
	}
	if p := flv.ParseVideo(unhex(t, "1d 01 000000 00")); p.Type != media.Other || p.Codec != media.Unknown {
		t.Errorf("codec id 13 is %+v, want something that nobody reads", p)
	}
}

func TestCase087EnhancedHEVCOfFFmpeg(t *testing.T) {
	t.Parallel()
	all := packetsOf(t, "hevc_aac_enhanced.flv")
	configs, frames := only(all, media.Video, media.Config), only(all, media.Video, media.Frame)
	if len(configs) != 1 || len(configs[0].Body) != 2416 {
		t.Fatalf("%d configurations", len(configs))
	}
	if !frames[0].Key || frames[0].CTS != 80*ms || frames[1].Key || frames[1].CTS != 200*ms {
		t.Errorf("the first frames are %v, %v behind; key %t, %t", frames[0].CTS, frames[1].CTS, frames[0].Key, frames[1].Key)
	}
	for _, p := range only(packetsOf(t, "hevc_only_codedframesx.flv"), media.Video, media.Frame) {
		if p.CTS != 0 || p.Payload != 5 {
			t.Fatalf("a frame without composition time is %v behind, its data at %d", p.CTS, p.Payload)
		}
	}
}

func TestCase088ColoursAreMetadataOfTheirCodec(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]media.Type{
		"d4 68766331 02 0009 636f6c6f72496e666f 03 000009": media.Metadata,
		"84 68766331 02 0009 636f6c6f72496e666f 03 000009": media.Metadata,
		"94 61763031 02 0009 636f6c6f72496e666f 08":        media.Metadata,
		"d4 68766331": media.Metadata,
		"d4 68766331 02 0009 636f6c6f72496e666f 05":       media.Reset,
		"84 68766331 02 0009 636f6c6f72496e666f 06":       media.Reset,
		"96 04 68766331 01 02 0009 636f6c6f72496e666f 06": media.Reset,
		"d4 68766331 02 0009 636f6c6f72496e666e 05":       media.Metadata,
	} {
		if p := flv.ParseVideo(unhex(t, wire)); p.Type != want || p.Key {
			t.Errorf("%s is of type %d, key %t; want type %d", wire, p.Type, p.Key, want)
		}
	}
}

func TestCase089NanosecondsAreKept(t *testing.T) {
	t.Parallel()
	p := flv.ParseVideo(unhex(t, "97 02 003d09 01 68766331 000050 00"))
	if !p.Key || p.Codec != media.H265 || p.CTS != 80*ms || p.Nano != 15_625 {
		t.Errorf("%+v", p)
	}
	modified, plain := packetsOf(t, "mutants/hevc_modex.flv"), packetsOf(t, "mutants/hevc_stripped.flv")
	modified, plain = only(modified, media.Video, media.Frame), only(plain, media.Video, media.Frame)
	if len(modified) != len(plain) {
		t.Fatalf("%d frames and %d", len(modified), len(plain))
	}
	nanos := 0
	for i := range modified {
		if !bytes.Equal(modified[i].Bytes(), plain[i].Bytes()) || modified[i].CTS != plain[i].CTS || modified[i].Key != plain[i].Key {
			t.Fatalf("frame %d differs", i)
		}
		if modified[i].Nano > 0 {
			nanos++
		}
		if got := flv.Enhanced(&modified[i]); got.Nano != 0 || got.Body[0]&0x0f == 7 || !bytes.Equal(got.Bytes(), plain[i].Bytes()) {
			t.Fatalf("frame %d without its modifier is %x", i, got.Body[:16])
		}
	}
	if nanos == 0 {
		t.Error("hevc_modex.flv has no nanoseconds")
	}
}

func TestCase090ModifiersOfAnyLength(t *testing.T) {
	t.Parallel()
	long := slices.Concat(unhex(t, "97 ff 00ff"), make([]byte, 256), unhex(t, "11 68766331 000050 00"))
	for name, tc := range map[string]struct {
		body []byte
		ok   bool
		nano time.Duration
	}{
		"256 bytes of another type":  {long, true, 0},
		"twice":                      {unhex(t, "97 02 000001 07 02 000002 01 68766331 000050 00"), true, 2},
		"of more than a millisecond": {unhex(t, "97 02 0f4240 01 68766331 000050 00"), true, 0},
		"just below a millisecond":   {unhex(t, "97 02 0f423f 01 68766331 000050 00"), true, 999_999},
		"too short for nanoseconds":  {unhex(t, "97 01 0001 01 68766331 000050 00"), true, 0},
		"longer than the message":    {unhex(t, "97 ff ffff 000000"), false, 0},
		"ending nowhere":             {unhex(t, "97 00 aa 07 00 bb 07"), false, 0},
		"its size cut":               {unhex(t, "97 ff 00"), false, 0},
	} {
		p := flv.ParseVideo(tc.body)
		if (p.Type == media.Frame) != tc.ok || p.Nano != tc.nano {
			t.Errorf("%s: type %d, %v", name, p.Type, p.Nano)
		}
	}
}

// track is what the tests compare of a packet of a track.
type track struct {
	ID    uint8
	Codec media.Codec
	CTS   time.Duration
	Nano  time.Duration
	Data  string
}

func tracksIn(ps []media.Packet) []track {
	var out []track
	for _, p := range ps {
		out = append(out, track{p.Track, p.Codec, p.CTS, p.Nano, fmt.Sprintf("%x", p.Bytes())})
	}
	return out
}

func TestCase091MessagesWithTracks(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string][]track{
		"96 01 68766331 01 000050 aa":                                        {{1, media.H265, 80 * ms, 0, "aa"}},
		"96 11 68766331 00 000005 000050aabb 01 000004 000028cc":             {{0, media.H265, 80 * ms, 0, "aabb"}, {1, media.H265, 40 * ms, 0, "cc"}},
		"96 21 68766331 00 000005 000050aabb 61763031 01 000002 1200":        {{0, media.H265, 80 * ms, 0, "aabb"}, {1, media.AV1, 0, 0, "1200"}},
		"97 02 003d09 06 11 68766331 00 000004 000050aa 05 000004 000028cc":  {{0, media.H265, 80 * ms, 15_625, "aa"}, {5, media.H265, 40 * ms, 15_625, "cc"}},
		"96 13 68766331 03 000001 aa 02 000002 bbcc":                         {{3, media.H265, 0, 0, "aa"}, {2, media.H265, 0, 0, "bbcc"}},
		"96 21 7a7a7a7a 00 000001 aa 61763163 01 000001 bb":                  {{0, media.Unknown, 0, 0, "aa"}, {1, media.Unknown, 0, 0, "bb"}},
		"96 21 76703038 00 000001 aa 61766331 09 000004 00000abb":            {{0, media.VP8, 0, 0, "aa"}, {9, media.H264, 10 * ms, 0, "bb"}},
		"96 10 61766331 00 000001 01 01 000001 02":                           {{0, media.H264, 0, 0, "01"}, {1, media.H264, 0, 0, "02"}},
		"96 11 76703039 00 000000 01 000001 aa":                              {{0, media.VP9, 0, 0, ""}, {1, media.VP9, 0, 0, "aa"}},
		"96 11 68766331 00 000004 000050aa 00 000004 000028bb":               {{0, media.H265, 40 * ms, 0, "bb"}}, // the last wins
		"96 11 76703039 00 000001 aa 01 000001 bb 00 000001 cc":              {{0, media.VP9, 0, 0, "cc"}, {1, media.VP9, 0, 0, "bb"}},
		"96 11 76703039 ff 000001 aa":                                        {{255, media.VP9, 0, 0, "aa"}},
		"97 00 ff 16 11 76703039 07 000001 aa":                               {{7, media.VP9, 0, 0, "aa"}},
		"97 ff 0003 01020304 16 21 76703039 07 000001 aa 76703038 08 000000": {{7, media.VP9, 0, 0, "aa"}, {8, media.VP8, 0, 0, ""}},
	} {
		got := flv.AppendPackets(nil, flv.TagVideo, unhex(t, wire))
		if diff := cmp.Diff(want, tracksIn(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", wire, diff)
		}
	}
	audio := flv.AppendPackets(nil, flv.TagAudio, unhex(t, "95 21 6d703461 00 000002 aabb 4f707573 01 000001 cc"))
	if diff := cmp.Diff([]track{{0, media.AAC, 0, 0, "aabb"}, {1, media.Opus, 0, 0, "cc"}}, tracksIn(audio)); diff != "" {
		t.Errorf("audio (-want +got):\n%s", diff)
	}
}

func TestCase092BrokenTracksAreNothing(t *testing.T) {
	t.Parallel()
	many := "96 11 76703039"
	for i := range 17 {
		many += fmt.Sprintf(" %02x 000001 aa", i)
	}
	for name, wire := range map[string]string{
		"larger than the rest":      "96 11 68766331 00 000006 000050aabb",
		"larger behind a good one":  "96 11 68766331 00 000004 000050aa 01 ffffff 00",
		"tracks within tracks":      "96 16 68766331 00 000001 00",
		"a modifier within tracks":  "96 17 68766331 00 000001 00",
		"of an unknown kind":        "96 31 68766331 00 000001 00",
		"no track":                  "96 11 68766331",
		"no track and no codec":     "96 21",
		"cut in the size":           "96 11 68766331 00 0000",
		"cut in a codec":            "96 21 687663",
		"seventeen tracks":          many,
		"something behind them":     "96 11 76703039 00 000001 aa 01",
		"no FourCC":                 "96 11 6876",
		"cut behind the first byte": "96",
	} {
		body := unhex(t, wire)
		got := flv.AppendPackets(nil, flv.TagVideo, body)
		if len(got) != 1 || got[0].Type != media.Other || got[0].Codec != media.Unknown || !bytes.Equal(got[0].Body, body) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTheTracksOfAMultitrackFileAreToldApart(t *testing.T) {
	t.Parallel()
	all := packetsOf(t, "multitrack_2v2a.flv")
	legacy, other := 0, map[media.Kind]media.Codec{}
	for _, p := range all {
		switch {
		case p.Kind == media.Data:
		case p.Track == 0:
			if p.Body[0]&0x80 != 0 && p.Kind == media.Video || p.Kind == media.Audio && p.Body[0]>>4 == 9 && p.Type != media.Metadata {
				t.Fatalf("track 0 has a tag %x", p.Body[:8])
			}
			legacy++
		case p.Track == 1 && p.Type == media.Config:
			other[p.Kind] = p.Codec
			if q := flv.SingleTrack(&p); q.Track != 0 || !bytes.Equal(q.Bytes(), p.Bytes()) {
				t.Errorf("a configuration on its own is %x", q.Body)
			}
		}
	}
	if legacy == 0 || other[media.Video] != media.H264 || other[media.Audio] != media.AAC {
		t.Errorf("%d tags of track 0; track 1 has %v", legacy, other)
	}
}

func TestCase094HeadersOfSound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		wire           string
		codec          media.Codec
		typ            media.Type
		rate, channels int
	}{
		{"72 d5", media.G711A, media.Frame, 8000, 1},
		{"82 ff", media.G711U, media.Frame, 8000, 1},
		{"7f d5", media.G711A, media.Frame, 8000, 2},
		{"2f fffb9064", media.MP3, media.Frame, 44100, 2},
		{"b2 00", media.Speex, media.Frame, 16000, 1},
		{"b6 00", media.Speex, media.Frame, 16000, 1},
		{"3e 0000", media.PCM, media.Frame, 44100, 1},
		{"37 0000", media.PCM, media.Frame, 11025, 2},
		{"90 4f707573 4f70757348656164 01 02 3801 80bb0000 0000 00", media.Opus, media.Config, 48000, 2},
		{"94 4f707573 01 02 00000003", media.Opus, media.Metadata, 48000, 0},
	} {
		p := flv.ParseAudio(unhex(t, tc.wire))
		track := media.Track{Kind: p.Kind, Codec: p.Codec, First: &p}
		if p.Type == media.Config {
			track.Config = &p
		}
		i := flv.DescribeTrack(track)
		if p.Codec != tc.codec || p.Type != tc.typ || i.SampleRate != tc.rate || i.Channels != tc.channels {
			t.Errorf("%s: %v of type %d, %d Hz, %d channels", tc.wire, p.Codec, p.Type, i.SampleRate, i.Channels)
		}
	}
	bare := unhex(t, streamInfo)
	for name, config := range map[string][]byte{
		"alone": bare, "behind fLaC": append([]byte("fLaC"), bare...), "behind its header": append(unhex(t, "80 000022"), bare...),
		"behind both":  slices.Concat([]byte("fLaC"), unhex(t, "80 000022"), bare),
		"with another": slices.Concat([]byte("fLaC"), unhex(t, "00 000022"), bare, unhex(t, "84 000004 00000000")),
	} {
		if got, ok := flv.StreamInfo(config); !ok || !bytes.Equal(got, bare) {
			t.Errorf("%s: %x, %t", name, got, ok)
		}
	}
}

// streamInfo is the block of a file of 48 kHz and one channel.
const streamInfo = "1200 1200 000000 000000 0bb800f0 00000000 00000000000000000000000000000000"

func TestCase095AV1HasNoCompositionTime(t *testing.T) {
	t.Parallel()
	all := packetsOf(t, "av1_opus_enhanced.flv")
	configs, frames := only(all, media.Video, media.Config), only(all, media.Video, media.Frame)
	if len(configs) != 1 || configs[0].Codec != media.AV1 || !bytes.HasPrefix(configs[0].Bytes(), unhex(t, "81 00 0c 00")) {
		t.Fatalf("the configurations are %+v", configs)
	}
	for _, p := range frames {
		if p.Payload != 5 || p.CTS != 0 {
			t.Fatalf("a frame whose data begins at %d, %v behind", p.Payload, p.CTS)
		}
	}
}

func TestCase096WhatNobodyKnowsIsNothingInParticular(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		typ  uint8
		wire string
	}{
		{9, "91 7a7a7a7a 00"},
		{9, "98 68766331 00"},
		{9, "9f 68766331 00"},
		{9, "97 00 00 08 68766331 00"},
		{8, "91 7a7a7a7a 00"},
		{8, "98 4f707573 00"},
		{8, "96 4f707573 00"},
	} {
		if p := flv.ParseBody(tc.typ, unhex(t, tc.wire)); p.Type != media.Other || p.Key {
			t.Errorf("%s: %+v", tc.wire, p)
		}
	}
}

func TestTracksThatAreCutAnywhereStayWithinTheMessage(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{
		"97 02 003d09 06 11 68766331 00 000005 000050aabb 01 000004 000028cc",
		"96 21 68766331 00 000005 000050aabb 61763031 01 000002 1200",
		"97 ff 0003 01020304 06 01 68766331 01 000050 00",
	} {
		body := unhex(t, wire)
		for n := range body {
			for _, p := range flv.AppendPackets(nil, flv.TagVideo, body[:n]) {
				if p.Payload > len(p.Body) || len(p.Body) > n+16 {
					t.Errorf("%s, cut at %d: %d bytes, payload at %d", wire, n, len(p.Body), p.Payload)
				}
			}
		}
	}
}

func FuzzAppendPackets(f *testing.F) {
	for _, wire := range []string{
		"96 01 68766331 01 000050 aa",
		"96 11 68766331 00 000005 000050aabb 01 000004 000028cc",
		"96 21 68766331 00 000005 000050aabb 61763031 01 000002 1200",
		"97 02 003d09 06 11 68766331 00 000004 000050aa 05 000004 000028cc",
		"97 ff 0003 01020304 06 01 68766331 01 000050 00",
		"d4 68766331 02 0009 636f6c6f72496e666f 05",
	} {
		f.Add(flv.TagVideo, unhex(f, wire))
	}
	f.Add(flv.TagAudio, unhex(f, "95 21 6d703461 00 000002 aabb 4f707573 01 000001 cc"))
	f.Add(flv.TagAudio, unhex(f, "90 664c6143 664c6143 80000022"+streamInfo))
	f.Add(flv.TagAudio, unhex(f, "90 4f707573 4f70757348656164 01 02 3801 80bb0000 0000 00"))
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		var ps []media.Packet
		memtest.Bound(t, len(body), func() { ps = flv.AppendPackets(nil, typ, body) })
		if len(ps) == 0 || len(ps) > 16 {
			t.Fatalf("%d packets", len(ps))
		}
		for _, p := range ps {
			if p.Payload < 0 || p.Payload > len(p.Body) || p.Nano < 0 || p.Nano >= time.Millisecond {
				t.Fatalf("payload at %d of %d bytes, %v", p.Payload, len(p.Body), p.Nano)
			}
			checkForms(t, p)
		}
	})
}

// checkForms rewrites a packet in every way that there is.
func checkForms(t *testing.T, p media.Packet) {
	t.Helper()
	typ := flv.TagVideo
	if p.Kind == media.Audio {
		typ = flv.TagAudio
	}
	for _, form := range [...]struct {
		name    string
		rewrite func(*media.Packet) *media.Packet
	}{{"single", flv.SingleTrack}, {"legacy", flv.Legacy}, {"enhanced", flv.Enhanced}} {
		name, q := form.name, form.rewrite(&p)
		if q.Kind == media.Data || p.Type != media.Frame && p.Type != media.Config {
			continue
		}
		if !bytes.Equal(q.Bytes(), p.Bytes()) {
			t.Fatalf("%s: the data is %x, was %x", name, q.Bytes(), p.Bytes())
		}
		again := flv.ParseBody(typ, q.Body)
		if again.Type != p.Type && len(p.Bytes()) > 0 || again.Codec != p.Codec || again.Key != p.Key || again.CTS != p.CTS {
			t.Fatalf("%s: %x reads as %+v, was %+v", name, q.Body, again, p)
		}
	}
}
