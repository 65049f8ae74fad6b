package flv_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
)

// tracksOf returns the tracks of a file and the first frame of each kind.
func tracksOf(tb testing.TB, name string) ([]media.Track, map[media.Kind]*media.Packet) {
	tb.Helper()
	tags := flvtest.Tags(tb, name)
	frames := map[media.Kind]*media.Packet{}
	configs := map[media.Kind]*media.Packet{}
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Track != 0 || p.Kind == media.Data {
			continue
		}
		if p.Type == media.Frame && frames[p.Kind] == nil {
			frames[p.Kind] = &p
		}
		if p.Type == media.Config && configs[p.Kind] == nil {
			configs[p.Kind] = &p
		}
	}
	var tracks []media.Track
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		if f := frames[kind]; f != nil {
			tracks = append(tracks, media.Track{Kind: kind, Codec: f.Codec, Config: configs[kind]})
		}
	}
	return tracks, frames
}

func TestTracksAreDescribed(t *testing.T) {
	t.Parallel()
	h264 := flv.TrackInfo{
		Kind: media.Video, Codec: media.H264, Codecs: "avc1.42c00c", MIME: `video/mp4; codecs="avc1.42c00c"`, Width: 320, Height: 180,
	}
	high := h264
	high.Codecs, high.MIME = "avc1.64000c", `video/mp4; codecs="avc1.64000c"`
	level13 := high
	level13.Codecs, level13.MIME = "avc1.64000d", `video/mp4; codecs="avc1.64000d"`
	aac := flv.TrackInfo{
		Kind: media.Audio, Codec: media.AAC, Codecs: "mp4a.40.2", MIME: `audio/mp4; codecs="mp4a.40.2"`, SampleRate: 44100, Channels: 2,
	}
	aac48 := aac
	aac48.SampleRate = 48000
	opus := flv.TrackInfo{
		Kind: media.Audio, Codec: media.Opus, Codecs: "opus", MIME: `audio/mp4; codecs="opus"`, SampleRate: 48000, Channels: 2,
	}
	for name, want := range map[string][]flv.TrackInfo{
		"h264_aac.flv":         {h264, aac},
		"h264_bframes_aac.flv": {high, aac},
		"h264_alaw8k.flv":      {high, {Kind: media.Audio, Codec: media.G711A, MIME: "audio/PCMA", SampleRate: 8000, Channels: 1}},
		"h264_mulaw8k.flv":     {high, {Kind: media.Audio, Codec: media.G711U, MIME: "audio/PCMU", SampleRate: 8000, Channels: 1}},
		"h264_mp3.flv":         {high, {Kind: media.Audio, Codec: media.MP3, Codecs: "mp3", MIME: "audio/mpeg", SampleRate: 44100, Channels: 2}},
		"h264_flac_enhanced.flv": {level13, {
			Kind: media.Audio, Codec: media.FLAC, Codecs: "flac", MIME: `audio/mp4; codecs="flac"`, SampleRate: 48000, Channels: 1,
		}},
		"h264_ac3_enhanced.flv": {level13, {Kind: media.Audio, Codec: media.AC3, Codecs: "ac-3", MIME: `audio/mp4; codecs="ac-3"`}},
		"hevc_aac_enhanced.flv": {
			{
				Kind: media.Video, Codec: media.H265, Codecs: "hvc1.1.6.L60.90", MIME: `video/mp4; codecs="hvc1.1.6.L60.90"`,
				Width: 320, Height: 180,
			}, aac48,
		},
		"av1_opus_enhanced.flv": {
			{Kind: media.Video, Codec: media.AV1, Codecs: "av01.0.00M.08", MIME: `video/mp4; codecs="av01.0.00M.08"`}, opus,
		},
		"vp9_opus_enhanced.flv": {
			{Kind: media.Video, Codec: media.VP9, Codecs: "vp09.00.11.08", MIME: `video/mp4; codecs="vp09.00.11.08"`}, opus,
		},
	} {
		tracks, frames := tracksOf(t, name)
		var got []flv.TrackInfo
		for _, track := range tracks {
			track.First = frames[track.Kind]
			got = append(got, flv.DescribeTrack(track))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAudioSpecificConfigs(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]struct {
		codecs         string
		rate, channels int
	}{
		"1210":           {"mp4a.40.2", 44100, 2},
		"1190":           {"mp4a.40.2", 48000, 2},
		"1188":           {"mp4a.40.2", 48000, 1},
		"1208":           {"mp4a.40.2", 44100, 1},
		"119056e500":     {"mp4a.40.2", 48000, 2},
		"11b8":           {"mp4a.40.2", 48000, 8}, // 7.1
		"2b920800":       {"mp4a.40.5", 44100, 2}, // SBR: 22.05 kHz doubled
		"eb8a0800":       {"mp4a.40.29", 44100, 2},
		"1780 5dc010":    {"mp4a.40.2", 48000, 2}, // the rate in 24 bits
		"f94640":         {"mp4a.40.42", 48000, 2},
		"1200":           {"mp4a.40.2", 44100, 0}, // channels in a PCE: unknown
		"12":             {},
		"":               {},
		"17 80 bb":       {},
		"00000000000000": {},
	} {
		config := append([]byte{0xaf, 0}, unhex(t, wire)...)
		got := flv.DescribeTrack(media.Track{
			Kind: media.Audio, Codec: media.AAC,
			Config: &media.Packet{Kind: media.Audio, Codec: media.AAC, Body: config, Payload: 2},
		})
		if got.Codecs != want.codecs || got.SampleRate != want.rate || got.Channels != want.channels {
			t.Errorf("%s: %+v, want %+v", wire, got, want)
		}
	}
}

func TestChannelsAndRatesThatOnlyAFrameTells(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		wire           string
		rate, channels int
	}{
		{"72 d5", 8000, 1},
		{"7f d5", 8000, 2},
		{"82 ff", 8000, 1},
		{"8f ff", 8000, 2},
		{"2f fffb 9064", 44100, 2},
		{"2f fffb 94c4", 48000, 1},
		{"2f fff3 98c4", 16000, 1}, // MPEG 2
		{"2f ffe3 18c4", 8000, 1},  // MPEG 2.5
		{"2f fffb 9c64", 0, 0},     // a reserved rate
		{"2f ffeb 9064", 0, 0},     // a reserved version
		{"2f fffb", 0, 0},
	} {
		p := flv.ParseAudio(unhex(t, tc.wire))
		got := flv.DescribeTrack(media.Track{Kind: p.Kind, Codec: p.Codec, First: &p})
		if got.SampleRate != tc.rate || got.Channels != tc.channels {
			t.Errorf("%s: %d Hz, %d channels; want %d, %d", tc.wire, got.SampleRate, got.Channels, tc.rate, tc.channels)
		}
	}
}

func TestABrokenConfigurationStaysUnknown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"h264_aac.flv", "h264_bframes_aac.flv", "hevc_aac_enhanced.flv", "av1_opus_enhanced.flv", "vp9_opus_enhanced.flv", "h264_flac_enhanced.flv",
	} {
		tracks, _ := tracksOf(t, name)
		for _, track := range tracks {
			whole := *track.Config
			for n := whole.Payload; n < len(whole.Body); n++ {
				cut := whole
				cut.Body = whole.Body[:n]
				track.Config = &cut
				got := flv.DescribeTrack(track)
				if got.Width > 320 || got.Height > 180 || got.SampleRate > 48000 || got.Channels > 2 {
					t.Errorf("%s, cut at %d: %+v", name, n, got)
				}
			}
		}
	}
}

func TestPictureSizes(t *testing.T) {
	t.Parallel()
	for sps, want := range map[string][2]int{
		"674d401fa6110280bfe5c04400000300040000030 0c83c":              {640, 360},
		"6764001fac d940 5005 ba10 0000 0300 1000 0003 03c0 f183 1960": {1280, 720},
		"67 42 c0 1e":                            {0, 0},
		"68 42 c0 1e ff ff ff ff":                {0, 0},
		"67 42 c0 1e 00 00 00 00 00 00 00 00 00": {0, 0},
	} {
		b := unhex(t, sps)
		avcC := append([]byte{0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, byte(len(b))}, b...)
		got := flv.DescribeTrack(media.Track{
			Kind: media.Video, Codec: media.H264, Config: &media.Packet{Body: avcC, Payload: 5},
		})
		if got.Width != want[0] || got.Height != want[1] {
			t.Errorf("%s: %dx%d, want %v", sps, got.Width, got.Height, want)
		}
	}
}
