package flv_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/memtest"
	"sluice/media"
)

var (
	h264Track  = media.Track{Kind: media.Video, Codec: media.H264}
	aacTrack   = media.Track{Kind: media.Audio, Codec: media.AAC}
	alawTrack  = media.Track{Kind: media.Audio, Codec: media.G711A}
	bothTracks = []media.Track{h264Track, aacTrack}
)

// onMetaData is a publisher's packet with a value.
func onMetaData(tb testing.TB, v any) *media.Packet {
	tb.Helper()
	b, err := amf0.AppendAll(nil, "onMetaData", v)
	if err != nil {
		tb.Fatal(err)
	}
	p := flv.ParseScript(b)
	return &p
}

// properties are those in the body of an onMetaData, which must be an ECMA
// array with a right count and nothing behind it.
func properties(tb testing.TB, body []byte) amf0.ECMAArray {
	tb.Helper()
	if p := flv.ParseScript(body); p.Type != media.Metadata {
		tb.Fatalf("%.40q is not onMetaData", body)
	}
	values, err := amf0.DecodeAll(body)
	if err != nil || len(values) != 2 {
		tb.Fatalf("onMetaData has %d values, %v", len(values), err)
	}
	props, ok := values[1].(amf0.ECMAArray)
	if n := int(body[16])<<8 | int(body[17]); !ok || n != len(props) {
		tb.Fatalf("onMetaData is a %T of %d values, count %d", values[1], len(props), n)
	}
	return props
}

func TestLiveMetadata(t *testing.T) {
	t.Parallel()
	published := amf0.ECMAArray{
		{Key: "duration", Value: 12.5},
		{Key: "fileSize", Value: 1e6},
		{Key: "width", Value: 640.0},
		{Key: "height", Value: 360.0},
		{Key: "framerate", Value: 25.0},
		{Key: "videocodecid", Value: "avc1"},
		{Key: "videodatarate", Value: 500.0},
		{Key: "audiocodecid", Value: 2.0},
		{Key: "audiosamplerate", Value: 44100.0},
		{Key: "stereo", Value: true},
		{Key: "hasAudio", Value: false},
		{Key: "HasVideo", Value: "no"},
		{Key: "encoder", Value: "obs"},
		{Key: "keyframes", Value: amf0.Object{{Key: "times", Value: amf0.StrictArray{0.0}}}},
		{Key: "lasttimestamp", Value: 12.0},
		{Key: "canSeekToEnd", Value: true},
	}
	for name, tc := range map[string]struct {
		published any
		tracks    []media.Track
		want      amf0.ECMAArray
	}{
		"nothing published": {nil, bothTracks, amf0.ECMAArray{
			{Key: "hasVideo", Value: true},
			{Key: "hasAudio", Value: true},
			{Key: "videocodecid", Value: 7.0},
			{Key: "audiocodecid", Value: 10.0},
		}},
		"both tracks": {published, bothTracks, amf0.ECMAArray{
			{Key: "hasVideo", Value: true},
			{Key: "hasAudio", Value: true},
			{Key: "width", Value: 640.0},
			{Key: "height", Value: 360.0},
			{Key: "framerate", Value: 25.0},
			{Key: "videocodecid", Value: 7.0},
			{Key: "videodatarate", Value: 500.0},
			{Key: "audiocodecid", Value: 10.0},
			{Key: "audiosamplerate", Value: 44100.0},
			{Key: "stereo", Value: true},
			{Key: "encoder", Value: "obs"},
		}},
		"without video": {amf0.Object(published), []media.Track{alawTrack}, amf0.ECMAArray{
			{Key: "hasVideo", Value: false},
			{Key: "hasAudio", Value: true},
			{Key: "audiocodecid", Value: 7.0},
			{Key: "audiosamplerate", Value: 44100.0},
			{Key: "stereo", Value: true},
			{Key: "encoder", Value: "obs"},
		}},
		"without audio": {published, []media.Track{h264Track}, amf0.ECMAArray{
			{Key: "hasVideo", Value: true},
			{Key: "hasAudio", Value: false},
			{Key: "width", Value: 640.0},
			{Key: "height", Value: 360.0},
			{Key: "framerate", Value: 25.0},
			{Key: "videocodecid", Value: 7.0},
			{Key: "videodatarate", Value: 500.0},
			{Key: "encoder", Value: "obs"},
		}},
		"nonsense": {amf0.Object{
			{Key: "width", Value: math.NaN()},
			{Key: "height", Value: -1.0},
			{Key: "framerate", Value: math.Inf(1)},
			{Key: "videodatarate", Value: math.Inf(-1)},
			{Key: "encoder", Value: strings.Repeat("x", 600)},
			{Key: strings.Repeat("k", 65), Value: 1.0},
			{Key: "", Value: 1.0},
			{Key: "bad\xff", Value: 1.0},
			{Key: "text", Value: "\xff"},
			{Key: "list", Value: amf0.StrictArray{1.0}},
			{Key: "none", Value: nil},
			{Key: "twice", Value: 1.0},
			{Key: "twice", Value: 2.0},
		}, bothTracks, amf0.ECMAArray{
			{Key: "hasVideo", Value: true},
			{Key: "hasAudio", Value: true},
			{Key: "twice", Value: 1.0},
			{Key: "videocodecid", Value: 7.0},
			{Key: "audiocodecid", Value: 10.0},
		}},
		"no object": {"hello", nil, amf0.ECMAArray{{Key: "hasVideo", Value: false}, {Key: "hasAudio", Value: false}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *media.Packet
			if tc.published != nil {
				p = onMetaData(t, tc.published)
			}
			got := properties(t, flv.LiveMetadata(p, tc.tracks))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("LiveMetadata() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetadataSaysWhatTheConfigurationsSay(t *testing.T) {
	t.Parallel()
	tracks, _ := tracksOf(t, "h264_aac.flv")
	got := properties(t, flv.LiveMetadata(nil, tracks))
	want := amf0.ECMAArray{
		{Key: "hasVideo", Value: true},
		{Key: "hasAudio", Value: true},
		{Key: "videocodecid", Value: 7.0},
		{Key: "width", Value: 320.0},
		{Key: "height", Value: 180.0},
		{Key: "audiocodecid", Value: 10.0},
		{Key: "audiosamplerate", Value: 44100.0},
		{Key: "stereo", Value: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("LiveMetadata() (-want +got):\n%s", diff)
	}
}

func TestCodecNumbers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]any{
		"hevc_aac_enhanced.flv":      {1752589105.0, 10.0},
		"mutants/hevc_codecid12.flv": {12.0, 10.0},
		"av1_opus_enhanced.flv":      {1635135537.0, 1332770163.0},
		"vp9_opus_enhanced.flv":      {1987063865.0, 1332770163.0},
		"h264_flac_enhanced.flv":     {7.0, 1716281667.0},
		"h264_ac3_enhanced.flv":      {7.0, 1633889587.0},
		"h264_mulaw8k.flv":           {7.0, 8.0},
		"h264_mp3.flv":               {7.0, 2.0},
	} {
		tracks, _ := tracksOf(t, name)
		props := properties(t, flv.LiveMetadata(nil, tracks))
		video, _ := props.Get("videocodecid")
		audio, _ := props.Get("audiocodecid")
		if video != want[0] || audio != want[1] {
			t.Errorf("%s: %v and %v, want %v", name, video, audio, want)
		}
	}
	// What the codec does not tell is left to the publisher, if it is a number.
	old := []media.Track{{Kind: media.Video, Codec: media.OldVideo}}
	for value, want := range map[any]any{4.0: 4.0, "VP6": nil} {
		got, _ := properties(t, flv.LiveMetadata(onMetaData(t, amf0.Object{{Key: "videocodecid", Value: value}}), old)).Get("videocodecid")
		if got != want {
			t.Errorf("legacy video published as %v: %v, want %v", value, got, want)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	var many amf0.ECMAArray
	for i := range 1000 {
		many = append(many, amf0.Property{Key: fmt.Sprint("key", i), Value: strings.Repeat("v", 512)})
	}
	body := flv.LiveMetadata(onMetaData(t, many[:400]), bothTracks)
	if n := len(properties(t, body)); n != 68 || len(body) > 40<<10 {
		t.Errorf("%d properties in %d bytes", n, len(body))
	}
	if n := len(properties(t, flv.LiveMetadata(onMetaData(t, many), bothTracks))); n != 4 {
		t.Errorf("of more than %d bytes %d properties are left, want 4", flv.MaxScript, n)
	}
	deep := append(unhex(t, "02 000a 6f6e4d65746144617461"), bytes.Repeat([]byte{10, 0, 0, 0, 1}, 10_000)...)
	p := flv.ParseScript(deep)
	if n := len(properties(t, flv.LiveMetadata(&p, bothTracks))); n != 4 {
		t.Errorf("of a deep value %d properties are left, want 4", n)
	}
}

func FuzzMetadata(f *testing.F) {
	for _, name := range []string{"h264_aac.flv", "h264_aac_kfindex.flv", "hevc_hdr10_colorinfo.flv", "multitrack_2v2a.flv"} {
		tags := flvtest.Tags(f, name)
		f.Add(tags[0].Body)
	}
	f.Add(unhex(f, "02 000a 6f6e4d65746144617461 08 00000001 0005 7769647468 00 7ff8000000000000"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := flv.ParseScript(body)
		out := flv.LiveMetadata(&p, bothTracks)
		memtest.Bound(t, len(body)+len(out), func() { flv.LiveMetadata(&p, bothTracks) })
		props := properties(t, out)
		if len(out) > 64*(64+512+8)+256 {
			t.Fatalf("%d bytes", len(out))
		}
		for _, want := range []amf0.Property{
			{Key: "hasVideo", Value: true}, {Key: "hasAudio", Value: true},
		} {
			if got, _ := props.Get(want.Key); got != want.Value {
				t.Fatalf("%s is %v", want.Key, got)
			}
		}
		for _, p := range props {
			if v, ok := p.Value.(float64); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Fatalf("%s is %v", p.Key, v)
			}
		}
		// What was made is kept as it is.
		again := flv.ParseScript(out)
		if diff := cmp.Diff(props, properties(t, flv.LiveMetadata(&again, bothTracks))); diff != "" {
			t.Fatalf("once more (-first +second):\n%s", diff)
		}
	})
}
