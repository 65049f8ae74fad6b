package rendition_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mewkiz/flac"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/rendition"
	"sluice/internal/stream"
	"sluice/media"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// message is a tag in hexadecimal.
type message struct {
	typ  uint8
	ms   int
	body string
}

// through publishes messages, of which the first n make the stream ready, and
// returns what a viewer gets, but for onMetaData, which is returned too.
func through(t *testing.T, spec rendition.Spec, n int, sent []message) (head flv.Header, meta amf0.Object, got []message, leftOut []string) {
	t.Helper()
	p := publish(t)
	send := func(ms []message) {
		for _, m := range ms {
			for _, pkt := range flv.AppendPackets(nil, m.typ, unhex(t, m.body)) {
				pkt.DTS = time.Duration(m.ms) * time.Millisecond
				if err := p.pub.Write(pkt); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	send(sent[:n])
	s := p.reg.Find(p.path)
	if s == nil {
		t.Fatal("the stream is not live")
	}
	r := acquire(t, newHub(t), s, spec)
	defer r.Release()
	read := watch(t, r, rendition.GOP)
	send(sent[n:])
	p.pub.End(stream.ErrUnpublished)
	head, tags := read()
	for i, tag := range tags {
		if i == 0 {
			values, err := amf0.DecodeAll(tag.Body)
			if err != nil || len(values) != 2 {
				t.Fatalf("the first tag is %x (%v)", tag.Body, err)
			}
			meta = amf0.Properties(values[1])
			continue
		}
		got = append(got, message{tag.Type, int(tag.DTS.Milliseconds()), hex.EncodeToString(tag.Body)})
	}
	return head, meta, got, r.LeftOut()
}

// squash takes the spaces out of messages.
func squash(ms []message) []message {
	out := slices.Clone(ms)
	for i := range out {
		out[i].body = strings.ReplaceAll(out[i].body, " ", "")
	}
	return out
}

const (
	avcC     = "01 42c01e ff e1 0001 00 00"
	hvcC     = "01 02 03"
	aacASC   = "1210"
	picture  = "00000002 6500"
	infoFLAC = "1200 1200 000000 000000 0bb800f0 00000000 00000000000000000000000000000000"
	opusHead = "4f70757348656164 01 02 3801 80bb0000 0000 00"
)

// views are streams and what becomes of them.
func views() map[string]struct {
	spec    rendition.Spec
	opening int // messages until the stream is ready
	sent    []message
	want    []message
	leftOut []string
	audio   bool
	video   bool
	meta    map[string]any
} {
	type view = struct {
		spec    rendition.Spec
		opening int
		sent    []message
		want    []message
		leftOut []string
		audio   bool
		video   bool
		meta    map[string]any
	}
	web := rendition.Spec{Profile: rendition.Web}
	avc := []message{{9, 0, "17 00 000000" + avcC}, {9, 0, "17 01 000000" + picture}}
	hevc := []message{{8, 0, "af 00" + aacASC}, {9, 0, "90 68766331" + hvcC}, {9, 0, "d4 68766331 02 0009 636f6c6f72496e666f 03 000009"}, {9, 0, "91 68766331 000050 aa"}, {8, 0, "af 01 0102"}, {9, 40, "a3 68766331 bb"}, {9, 80, "97 02 003d09 01 68766331 00000a cc"}, {9, 120, "92 68766331"}}
	two := []message{
		{9, 0, "17 00 000000" + avcC},
		{8, 0, "af 00" + aacASC},
		{9, 0, "96 00 61766331 01" + avcC},
		{8, 0, "95 00 6d703461 01 1188"},
		{9, 0, "17 01 000000" + picture},
		{8, 0, "af 01 0102"},
		{9, 0, "96 01 61766331 01 000000 01"},
		{8, 0, "95 01 6d703461 01 0101"},
		{8, 0, "95 04 6d703461 01 01 01 00000004"},
		{9, 40, "27 01 000000 22"},
		{9, 40, "a6 01 61766331 01 000028 33"},
		{8, 41, "95 01 6d703461 01 0202"},
	}
	return map[string]view{
		"enhanced AVC and AAC": {
			web, 4,
			[]message{
				{9, 0, "90 61766331" + avcC},
				{8, 0, "90 6d703461" + aacASC},
				{9, 0, "91 61766331 000050" + picture},
				{8, 0, "91 6d703461 0102"},
				{9, 40, "a3 61766331" + picture},
				{8, 50, "94 6d703461 01 02 00000003"},
				{9, 80, "b1 61766331 000028 aa"},
				{9, 90, "92 61766331"},
				{8, 90, "92 6d703461"},
			},
			[]message{
				{9, 0, "17 00 000000" + avcC},
				{8, 0, "af 00" + aacASC},
				{9, 0, "17 01 000050" + picture},
				{8, 0, "af 01 0102"},
				{9, 40, "27 01 000000" + picture},
				{9, 80, "37 01 000028 aa"},
			},
			nil, true, true,
			map[string]any{"videocodecid": 7.0, "audiocodecid": 10.0, "stereo": true, "audiosamplerate": 44100.0},
		},
		"what is no picture or sound": {
			web, 4,
			slices.Concat([]message{{8, 0, "af 00" + aacASC}}, avc, []message{
				{8, 0, "af 01 0102"},
				{9, 40, "57 00"},
				{9, 40, ""},
				{8, 40, ""},
				{8, 40, "af"},
				{8, 41, "af 01"},
				{9, 40, "91 7a7a7a7a 00"},
				{9, 41, "98 68766331 00"},
				{9, 42, "96 11 68766331 00 ffffff"},
				{18, 45, "02 000a 6f6e4d65746144617461 05"},
				{9, 50, "17 02 000000"},
			}),
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "af 00" + aacASC}, {9, 0, "17 01 000000" + picture}, {8, 0, "af 01 0102"}},
			nil, true, true, nil,
		},
		"HEVC": {
			web, 5, hevc,
			[]message{
				{9, 0, "90 68766331" + hvcC},
				{8, 0, "af 00" + aacASC},
				{9, 0, "91 68766331 000050 aa"},
				{8, 0, "af 01 0102"},
				{9, 40, "a3 68766331 bb"},
				{9, 80, "91 68766331 00000a cc"},
			},
			nil, true, true,
			map[string]any{"videocodecid": 1752589105.0},
		},
		"HEVC for old players": {
			rendition.Spec{Profile: rendition.Web, LegacyHEVC: true},
			5, hevc,
			[]message{
				{9, 0, "1c 00 000000" + hvcC},
				{8, 0, "af 00" + aacASC},
				{9, 0, "1c 01 000050 aa"},
				{8, 0, "af 01 0102"},
				{9, 40, "2c 01 000000 bb"},
				{9, 80, "1c 01 00000a cc"},
			},
			nil, true, true,
			map[string]any{"videocodecid": 12.0},
		},
		"HEVC by codec id": {
			rendition.Spec{Profile: rendition.Web, NoAudio: true},
			4,
			[]message{{9, 0, "1c 00 000000" + hvcC}, {8, 0, "af 00" + aacASC}, {9, 0, "1c 01 000050 aa"}, {8, 0, "af 01 0102"}, {9, 40, "2c 01 ffffd8 bb"}},
			[]message{{9, 0, "90 68766331" + hvcC}, {9, 0, "91 68766331 000050 aa"}, {9, 40, "a1 68766331 ffffd8 bb"}},
			nil, false, true, nil,
		},
		"raw HEVC, with its colours for everybody": {
			rendition.Spec{},
			5, hevc,
			[]message{
				{9, 0, "90 68766331" + hvcC},
				{9, 0, "d4 68766331 02 0009 636f6c6f72496e666f 03 000009"},
				{8, 0, "af 00" + aacASC},
				{9, 0, "91 68766331 000050 aa"},
				{8, 0, "af 01 0102"},
				{9, 40, "a3 68766331 bb"},
				{9, 80, "97 02 003d09 01 68766331 00000a cc"},
				{9, 120, "92 68766331"},
			},
			nil, true, true, nil,
		},
		"Opus with no configuration": {
			web, 3, slices.Concat(avc, []message{{8, 0, "91 4f707573 0102"}, {8, 20, "94 4f707573 01 02 00000003"}, {8, 20, "97 00 aa 01 4f707573 0304"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "90 4f707573" + opusHead}, {9, 0, "17 01 000000" + picture}, {8, 0, "91 4f707573 0102"}, {8, 20, "91 4f707573 0304"}},
			nil, true, true,
			map[string]any{"audiocodecid": 1332770163.0},
		},
		"FLAC with the bare block": {
			web, 4, slices.Concat([]message{{8, 0, "90 664c6143" + infoFLAC}}, avc, []message{{8, 0, "91 664c6143 fff8"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "90 664c6143 664c6143" + infoFLAC}, {9, 0, "17 01 000000" + picture}, {8, 0, "91 664c6143 fff8"}},
			nil, true, true,
			map[string]any{"audiocodecid": 1716281667.0, "audiosamplerate": 48000.0},
		},
		"enhanced MP3": {
			web, 3, slices.Concat(avc, []message{{8, 0, "91 2e6d7033 fffb9064"}, {8, 26, "ee fff398c4"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {9, 0, "17 01 000000" + picture}, {8, 0, "2f fffb9064"}, {8, 26, "2a fff398c4"}},
			nil, true, true,
			map[string]any{"audiocodecid": 2.0, "stereo": true},
		},
		"sound that browsers lack": {
			web, 3, slices.Concat(avc, []message{{8, 0, "91 61632d33 0b77"}, {9, 40, "27 01 000000 aa"}, {8, 50, "91 61632d33 0b77"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {9, 0, "17 01 000000" + picture}, {9, 40, "27 01 000000 aa"}},
			[]string{"audio:AC-3"},
			false, true,
			map[string]any{"hasAudio": false, "audiocodecid": nil},
		},
		"samples of nobody's order": {
			web, 3, slices.Concat(avc, []message{{8, 0, "0e 0102"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {9, 0, "17 01 000000" + picture}},
			[]string{"audio:PCM"},
			false, true, nil,
		},
		"a picture that the player breaks on": {
			web, 4,
			[]message{{9, 0, "90 61763031 81000c00"}, {8, 0, "af 00" + aacASC}, {9, 0, "91 61763031 1200"}, {8, 0, "af 01 0102"}, {9, 40, "a1 61763031 32"}},
			[]message{{8, 0, "af 00" + aacASC}, {8, 0, "af 01 0102"}},
			[]string{"video:AV1"},
			true, false,
			map[string]any{"hasVideo": false},
		},
		"the default tracks": {
			web, 8, two,
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "af 00" + aacASC}, {9, 0, "17 01 000000" + picture}, {8, 0, "af 01 0102"}, {9, 40, "27 01 000000 22"}},
			nil, true, true, nil,
		},
		"the default tracks, raw": {
			rendition.Spec{},
			8, two,
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "af 00" + aacASC}, {9, 0, "17 01 000000" + picture}, {8, 0, "af 01 0102"}, {9, 40, "27 01 000000 22"}},
			nil, true, true, nil,
		},
		"another track": {
			rendition.Spec{Profile: rendition.Web, Track: 1},
			8, two,
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "af 00 1188"}, {9, 0, "17 01 000000 01"}, {8, 0, "af 01 0101"}, {9, 40, "27 01 000028 33"}, {8, 41, "af 01 0202"}},
			nil, true, true,
			map[string]any{"audiosamplerate": 48000.0, "stereo": false},
		},
		"another track, raw": {
			rendition.Spec{Track: 1},
			8, two,
			[]message{{9, 0, "90 61766331" + avcC}, {8, 0, "90 6d703461 1188"}, {9, 0, "91 61766331 000000 01"}, {8, 0, "91 6d703461 0101"}, {8, 0, "94 6d703461 01 01 00000004"}, {9, 40, "a1 61766331 000028 33"}, {8, 41, "91 6d703461 0202"}},
			nil, true, true, nil,
		},
		"every track, as published": {
			rendition.Spec{Track: rendition.AllTracks},
			8, two,
			slices.Concat([]message{two[0], two[2], two[1], two[3]}, two[4:]),
			nil, true, true, nil,
		},
		"a track of one kind": {
			rendition.Spec{Profile: rendition.Web, Track: 3},
			6,
			slices.Concat(avc, []message{{8, 0, "af 00" + aacASC}, {8, 0, "95 00 6d703461 03 1188"}, {8, 0, "95 01 6d703461 03 0303"}, {8, 0, "af 01 0102"}}),
			[]message{{9, 0, "17 00 000000" + avcC}, {8, 0, "af 00 1188"}, {9, 0, "17 01 000000" + picture}, {8, 0, "af 01 0303"}},
			nil, true, true, nil,
		},
	}
}

func TestViews(t *testing.T) {
	for name, tc := range views() {
		t.Run(name, func(t *testing.T) {
			head, meta, got, leftOut := through(t, tc.spec, tc.opening, tc.sent)
			if head.Audio != tc.audio || head.Video != tc.video {
				t.Errorf("the header says %+v", head)
			}
			if diff := cmp.Diff(squash(tc.want), got, cmp.AllowUnexported(message{})); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.leftOut, leftOut); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			for key, want := range tc.meta {
				if v, _ := meta.Get(key); v != want {
					t.Errorf("%s is %v, want %v", key, v, want)
				}
			}
		})
	}
}

func TestColoursThatAreTakenBackReachNoNewViewer(t *testing.T) {
	const colours = "d4 68766331 02 0009 636f6c6f72496e666f"
	sent := []message{
		{9, 0, "90 68766331" + hvcC},
		{8, 0, "af 00" + aacASC},
		{9, 0, colours + "03 000009"},
		{9, 0, "91 68766331 000050 aa"},
		{8, 0, "af 01 0102"},
		{9, 40, colours + "05"},
		{9, 80, "91 68766331 000050 bb"},
	}
	_, _, got, _ := through(t, rendition.Spec{}, len(sent), sent)
	want := []message{{9, 80, "90 68766331" + hvcC}, {8, 80, "af 00" + aacASC}, {9, 80, "91 68766331 000050 bb"}}
	if diff := cmp.Diff(squash(want), got, cmp.AllowUnexported(message{})); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestNothingLeftSaysWhy(t *testing.T) {
	ac3 := []media.Track{{Kind: media.Audio, Codec: media.AC3}, {Kind: media.Video, Codec: media.VP9}}
	for _, tc := range []struct {
		tracks []media.Track
		spec   rendition.Spec
		want   string
	}{
		{ac3, rendition.Spec{Profile: rendition.Web}, "cannot play video:VP9, audio:AC-3"},
		{ac3, rendition.Spec{Track: 7}, "no track 7"},
		{ac3, rendition.Spec{NoAudio: true, NoVideo: true}, "no track of the stream is left"},
		{[]media.Track{{Kind: media.Audio, Codec: media.FLAC}}, rendition.Spec{Profile: rendition.Web}, "audio:FLAC"},
	} {
		_, err := rendition.NewView(tc.tracks, tc.spec)
		if !errors.Is(err, rendition.ErrNoTrack) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want something with %q", tc.spec, err, tc.want)
		}
	}
}

// decodeFLAC returns the samples in the tags of a web rendition, interleaved.
func decodeFLAC(t *testing.T, tags []message) (samples []int32, times []int) {
	t.Helper()
	file := []byte("fLaC\x80\x00\x00\x22")
	for _, m := range tags {
		b := unhex(t, m.body)
		switch {
		case m.typ != flv.TagAudio:
		case bytes.HasPrefix(b, []byte("\x90fLaCfLaC")):
			file = append(file, b[9:]...)
		case bytes.HasPrefix(b, []byte("\x91fLaC")):
			file, times = append(file, b[5:]...), append(times, m.ms)
		default:
			t.Fatalf("sound of another kind: %x", b[:5])
		}
	}
	f, err := flac.New(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if f.Info.BlockSizeMin == f.Info.BlockSizeMax {
		t.Error("the blocks have one size, so that mpegts.js goes by it and not by the times")
	}
	for {
		fr, err := f.ParseNext()
		if errors.Is(err, io.EOF) {
			return samples, times
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := int(fr.BlockSize); n < 16 || n > 4096 {
			t.Errorf("a block of %d samples", n)
		}
		for i := range int(fr.BlockSize) {
			for _, s := range fr.Subframes {
				samples = append(samples, s.Samples[i])
			}
		}
	}
}

func TestSamplesBecomeFLACWithoutLoss(t *testing.T) {
	every := ""
	for i := range 256 {
		every += hex.EncodeToString([]byte{byte(i)})
	}
	for name, tc := range map[string]struct {
		head           string
		chunks         []int // bytes per message
		rate, channels float64
		times          []int
		check          map[int]int32 // byte of G.711: sample
	}{
		"A-law": {
			"72",
			[]int{256, 160, 320},
			8000, 1,
			[]int{0, 40, 80},
			map[int]int32{0xd5: 8, 0x55: -8, 0xaa: 32256, 0x2a: -32256, 0x80: 5504, 0x00: -5504},
		},
		"µ-law": {
			"82",
			[]int{256, 160, 320},
			8000, 1,
			[]int{0, 40, 80},
			map[int]int32{0xff: 0, 0x7f: 0, 0x80: 32124, 0x00: -32124, 0xfe: 8, 0x7e: -8},
		},
		"stereo":           {"73", []int{256, 320}, 8000, 2, []int{0, 40}, nil},
		"a large message":  {"72", []int{256, 10_000, 4100}, 8000, 1, []int{0, 40, 552, 1064, 1064, 1064}, nil}, // which says less than it has: no frame steps back
		"tiny messages":    {"72", []int{256, 5, 5, 5, 5, 5}, 8000, 1, []int{0, 40}, nil},
		"PCM of 16 bits":   {"3b", []int{256, 640}, 22050, 2, []int{0, 40}, nil},
		"PCM of 8 bits":    {"34", []int{256, 100}, 11025, 1, []int{0, 40}, nil},
		"channels by turn": {"72", []int{256, -320, 160}, 8000, 1, []int{0, 40, 80}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sent := []message{{9, 0, "17 00 000000" + avcC}, {9, 0, "17 01 000000" + picture}}
			total := 0
			for i, n := range tc.chunks {
				head, count := tc.head, n
				if n < 0 { // both channels
					head, count = "73", -n
					n = count / 2
				}
				sent = append(sent, message{8, 40 * i, head + strings.Repeat(every, 1+count/256)[:2*count]})
				total += n
			}
			head, meta, got, leftOut := through(t, rendition.Spec{Profile: rendition.Web}, 3, sent)
			if !head.Audio || !head.Video || leftOut != nil {
				t.Errorf("header %+v, left out %q", head, leftOut)
			}
			for key, want := range map[string]any{"audiocodecid": 1716281667.0, "audiosamplerate": tc.rate, "stereo": tc.channels == 2} {
				if v, _ := meta.Get(key); v != want {
					t.Errorf("%s is %v, want %v", key, v, want)
				}
			}
			samples, times := decodeFLAC(t, got)
			width := 1
			if name == "PCM of 16 bits" {
				width = 2
			}
			held := 0
			if name == "tiny messages" {
				held = 5
			}
			if want := total/width - held; len(samples) != want {
				t.Errorf("%d samples, want %d", len(samples), want)
			}
			if diff := cmp.Diff(tc.times, times); diff != "" {
				t.Errorf("times (-want +got):\n%s", diff)
			}
			for b, want := range tc.check {
				if samples[b] != want {
					t.Errorf("the sample of byte %#02x is %d, want %d", b, samples[b], want)
				}
			}
		})
	}
}

func TestAnyMessagesOfSamplesBecomeFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		head := []byte{0x70, 0x80, 0x30}[rnd.IntN(3)]
		var view rendition.View
		last := time.Duration(0)
		for i := range 1 + rnd.IntN(6) {
			body := make([]byte, 2+rnd.IntN(1<<(1+rnd.IntN(14))))
			for n := range body {
				body[n] = byte(rnd.Uint32())
			}
			body[0] = head | body[0]&0x0f
			p := flv.ParseAudio(body)
			if i == 0 {
				var err error
				view, err = rendition.NewView([]media.Track{{Kind: media.Audio, Codec: p.Codec, First: &p}}, rendition.Spec{Profile: rendition.Web})
				if err != nil {
					t.Fatal(err)
				}
			}
			p.DTS = time.Duration(i) * 20 * time.Millisecond // whatever is in it
			view.Apply(&p, func(q *media.Packet) {
				if q.Type != media.Frame || q.Codec != media.FLAC || q.DTS < last || len(q.Body) > 5*4096 {
					t.Fatalf("a message of %d bytes becomes %v of %d bytes at %v, behind one at %v", len(body), q.Codec, len(q.Body), q.DTS, last)
				}
				last = q.DTS
			})
		}
	}
}

func BenchmarkG711(b *testing.B) {
	const perSecond = 50
	first := flv.ParseAudio(append([]byte{0x72}, bytes.Repeat([]byte{0xd5, 0x80, 0x11, 0x2a, 0x95}, 32)...))
	view, err := rendition.NewView([]media.Track{{Kind: media.Audio, Codec: first.Codec, First: &first}}, rendition.Spec{Profile: rendition.Web})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() { // one second of a camera's sound
		for range perSecond {
			view.Apply(&first, func(*media.Packet) {})
		}
	}
}

func TestRewrittenPicturesAreSqueezedLikeOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		spec             rendition.Spec
		config, key, pic string
		want             string // the head of a squeezed picture
	}{
		"AVC by FourCC": {rendition.Spec{Profile: rendition.Web}, "90 61766331" + avcC, "91 61766331 000028 aa", "a3 61766331 bb", "27 01 0000"},
		"HEVC":          {rendition.Spec{Profile: rendition.Web}, "90 68766331" + hvcC, "91 68766331 000028 aa", "a3 68766331 bb", "a1 68766331 0000"},
		"HEVC by id":    {rendition.Spec{Profile: rendition.Web, LegacyHEVC: true}, "90 68766331" + hvcC, "91 68766331 000028 aa", "a3 68766331 bb", "2c 01 0000"},
		"another track": {rendition.Spec{Track: 1}, "96 00 68766331 01" + hvcC, "96 01 68766331 01 000028 aa", "a6 03 68766331 01 bb", "a1 68766331 0000"},
	} {
		t.Run(name, func(t *testing.T) {
			p := publish(t)
			write := func(typ uint8, ms int, wire string) { t.Helper(); p.write(typ, ms, unhex(t, wire)) }
			write(flv.TagAudio, 0, "af 00"+aacASC)
			if tc.spec.Track > 0 {
				write(flv.TagVideo, 0, "17 00 000000"+avcC)
			}
			write(flv.TagVideo, 0, tc.config)
			if tc.spec.Track > 0 {
				write(flv.TagVideo, 0, "17 01 000000"+picture)
			}
			write(flv.TagVideo, 0, tc.key)
			write(flv.TagAudio, 0, "af 01 0102")
			for i := range 50 {
				write(flv.TagVideo, 40*(i+1), tc.pic)
			}
			r := acquire(t, newHub(t), p.reg.Find(p.path), tc.spec)
			defer r.Release()
			_, _, joined := r.Begin(rendition.Edge)
			if joined != rendition.Edge {
				t.Fatalf("joined at %v", joined)
			}
			read := watch(t, r, rendition.Edge)
			write(flv.TagVideo, 2040, tc.pic)
			p.pub.End(stream.ErrUnpublished)
			_, tags := read()
			pictures := 0
			for _, tag := range tags {
				pkt := flv.ParseBody(tag.Type, tag.Body)
				if pkt.Kind != media.Video || pkt.Type != media.Frame {
					continue
				}
				pictures++
				if head := unhex(t, tc.want); pictures > 1 && pictures < 52 && !bytes.HasPrefix(tag.Body, head) {
					t.Fatalf("picture %d is %x, want it to begin with %x", pictures, tag.Body, head)
				}
				if pkt.Track != 0 || len(pkt.Bytes()) != 1 || tag.DTS < 1900*time.Millisecond {
					t.Errorf("picture %d is %x at %v", pictures, tag.Body, tag.DTS)
				}
			}
			if pictures != 52 {
				t.Errorf("%d pictures, want 52", pictures)
			}
		})
	}
}
