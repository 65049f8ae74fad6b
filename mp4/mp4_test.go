package mp4_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sluice/internal/memtest"
	"sluice/media"
	"sluice/mp4"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

const opusHead = "4f70757348656164 01 02 3801 80bb0000 0000 00"

// tracks are one of each codec, with the shortest configuration that is good.
func tracks(tb testing.TB) []mp4.Track {
	tb.Helper()
	return []mp4.Track{
		{Codec: media.H264, Config: unhex(tb, "0142c00cffe000"), Width: 320, Height: 180, Aspect: [2]uint32{4, 3}},
		{Codec: media.H265, Config: append([]byte{1}, make([]byte, 22)...), Colour: &mp4.Colour{Primaries: 9, Transfer: 16, Matrix: 9, FullRange: true}},
		{Codec: media.AV1, Config: unhex(tb, "81000c00")},
		{Codec: media.VP9, Config: unhex(tb, "01000000000b820202020000")},
		{Codec: media.AAC, Config: unhex(tb, "1210"), SampleRate: 44100, Channels: 2},
		{Codec: media.MP3, SampleRate: 22050, Channels: 1},
		{Codec: media.Opus, Config: unhex(tb, opusHead), SampleRate: 48000, Channels: 2},
		{Codec: media.FLAC, Config: make([]byte, 34), SampleRate: 96000, Channels: 2},
	}
}

// walk checks that b is whole boxes, and returns the names of the outermost.
func walk(tb testing.TB, b []byte) (names []string) {
	tb.Helper()
	for len(b) > 0 {
		if len(b) < 8 {
			tb.Fatalf("%d bytes behind the last box", len(b))
		}
		n := int(binary.BigEndian.Uint32(b))
		name := string(b[4:8])
		if n < 8 || n > len(b) {
			tb.Fatalf("the box %s has %d bytes, there are %d", name, n, len(b))
		}
		switch name {
		case "moov", "trak", "mdia", "minf", "dinf", "stbl", "mvex", "edts", "moof", "traf":
			walk(tb, b[8:n])
		}
		names = append(names, name)
		b = b[n:]
	}
	return names
}

func TestAHeadIsMadeOfWholeBoxes(t *testing.T) {
	t.Parallel()
	for _, track := range tracks(t) {
		track.Skip = 77
		b, err := mp4.AppendHead([]byte("before"), []mp4.Track{track}, time.Minute)
		if err != nil {
			t.Fatalf("%v: %v", track.Codec, err)
		}
		if got := strings.Join(walk(t, b[len("before"):]), " "); got != "ftyp moov" {
			t.Errorf("%v: %s", track.Codec, got)
		}
	}
}

func TestTracksThatCannotBeCarriedAreRefused(t *testing.T) {
	t.Parallel()
	for _, track := range tracks(t) {
		for n := range track.Config {
			cut := track
			cut.Config = track.Config[:n]
			if _, err := mp4.AppendHead(nil, []mp4.Track{cut}, 0); !errors.Is(err, mp4.ErrTrack) {
				t.Errorf("%v with %d bytes of configuration: %v", track.Codec, n, err)
			}
		}
	}
	good := tracks(t)[0]
	long, wide := good, good
	long.Config = append(bytes.Clone(good.Config), make([]byte, mp4.MaxConfig)...)
	wide.Width = 1 << 16
	for _, all := range [][]mp4.Track{{{Codec: media.Speex}}, {long}, {wide}, nil, make([]mp4.Track, mp4.MaxTracks+1)} {
		if _, err := mp4.NewWriter(&bytes.Buffer{}, all, 0); !errors.Is(err, mp4.ErrTrack) {
			t.Errorf("%d tracks: %v", len(all), err)
		}
	}
}

func TestFramesOfSoundTellHowLongTheyAre(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		codec         media.Codec
		config, frame string
		want          uint32
	}{
		{media.AAC, "1210", "21", 1024},
		{media.AAC, "1214", "21", 960},
		{media.MP3, "", "fffb9064", 1152},
		{media.MP3, "", "fff34064", 576},
		{media.MP3, "", "00000000", 0},
		{media.Opus, opusHead, "fc", 960},
		{media.Opus, opusHead, "18", 2880},
		{media.Opus, opusHead, "e300", 0},
		{media.Opus, opusHead, "e302", 240},
		{media.Opus, opusHead, "fb3f", 0},
		{media.Opus, opusHead, "fd", 1920},
		{media.FLAC, "", "fff8c91800", 4096},
		{media.FLAC, "", "fff859180000", 4608},
		{media.FLAC, "", "fff969180009ff", 10},
		{media.FLAC, "", "fff97918c280009fff", 160},
		{media.FLAC, "", "fff8091800", 0},
	} {
		track := mp4.Track{Codec: tc.codec, Config: unhex(t, tc.config)}
		frame := unhex(t, tc.frame)
		if got := track.Samples(frame); got != tc.want {
			t.Errorf("%v %s: %d samples, want %d", tc.codec, tc.frame, got, tc.want)
		}
		for n := range frame {
			track.Samples(frame[:n]) // reads nothing behind the end
		}
	}
}

func TestFragmentsEndAtKeyFramesAndBeforeTheyAreLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		n, key, size int
		want         int
	}{
		{"a key frame each second", 250, 25, 100, 10},
		{"a key frame each ten", 250, 250, 100, 4},
		{"much data", 40, 25, 1 << 20, 13},
	} {
		var out bytes.Buffer
		m, err := mp4.NewWriter(&out, tracks(t)[:1], 0)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, tc.size)
		for i := range tc.n {
			s := mp4.Sample{DTS: time.Hour + time.Duration(i)*40*time.Millisecond, Key: i%tc.key == 0, Data: data}
			if err := m.Write(0, s); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		fragments := 0
		for _, name := range walk(t, out.Bytes()) {
			if name == "moof" {
				fragments++
			}
		}
		if fragments < tc.want-1 || fragments > tc.want+1 {
			t.Errorf("%s: %d fragments, want about %d", tc.name, fragments, tc.want)
		}
	}
}

func TestFramesWithoutBytesAreNotHeldForEver(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m, err := mp4.NewWriter(&out, tracks(t)[:1], 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 100_000 {
		if err := m.Write(0, mp4.Sample{}); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() == 0 {
		t.Error("100,000 frames of one moment are held")
	}
}

func TestSamplesThatAreTooLongAreRefused(t *testing.T) {
	t.Parallel()
	m, err := mp4.NewWriter(&bytes.Buffer{}, tracks(t)[:1], 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(0, mp4.Sample{Data: make([]byte, mp4.MaxSample+1)}); !errors.Is(err, mp4.ErrTooLong) {
		t.Errorf("Write() = %v", err)
	}
	if _, err := mp4.AppendFragment(nil, 1, []mp4.Run{{Samples: []mp4.Entry{{Size: 1 << 31}}}}); !errors.Is(err, mp4.ErrTooLong) {
		t.Errorf("AppendFragment() = %v", err)
	}
}

// FuzzTrack takes any configuration and any frames at any times: what is
// accepted becomes whole boxes.
func FuzzTrack(f *testing.F) {
	for _, t := range tracks(f) {
		f.Add(uint8(t.Codec), t.Config, t.SampleRate, []byte("\x00\x01\xff\xf8\xc9\x18\x00"), int64(40e6), int64(-1))
	}
	f.Add(uint8(media.H264), unhex(f, "0142c00cffe000"), 0, []byte{1}, int64(-1<<62), int64(1<<62))
	f.Fuzz(func(t *testing.T, codec uint8, config []byte, rate int, frame []byte, step, cts int64) {
		const frames = 4
		write := func(out io.Writer) (ok bool) {
			track := mp4.Track{Codec: media.Codec(codec), Config: config, SampleRate: rate}
			m, err := mp4.NewWriter(out, []mp4.Track{track}, time.Duration(step))
			if err != nil {
				return false
			}
			for i := range frames {
				s := mp4.Sample{DTS: time.Duration(i) * time.Duration(step), CTS: time.Duration(cts), Key: i == 0, Data: frame}
				if err := m.Write(0, s); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			return true
		}
		memtest.Bound(t, len(config)+frames*len(frame), func() { write(io.Discard) })
		var out bytes.Buffer
		if write(&out) {
			walk(t, out.Bytes())
		}
	})
}
