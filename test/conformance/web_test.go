package conformance_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// taken is what one viewer got.
type taken struct {
	header  flv.Header
	tags    []flv.Tag
	leftOut string
	body    []byte
}

// watchAll publishes tags and returns what viewers got that asked in those
// ways, "http?profile=web", or by "rtmp", where there are tags alone. All of them begin at the same key frame, since
// nothing but the first frames is sent before everybody is there.
func watchAll(t *testing.T, s *harness.Server, path string, tags []flv.Tag, ways ...string) map[string]taken {
	t.Helper()
	p := harness.Connect(t, s.Push(path))
	opening := harness.Opening(tags)
	p.Send(t, tags[:opening]...)
	viewers, players := map[string]*harness.Viewer{}, map[string]*harness.Player{}
	for _, way := range ways {
		scheme, query, _ := strings.Cut(way, "?")
		if scheme == "rtmp" {
			players[way] = harness.PlayRTMP(t, s.Push(path+"?join=gop&"+query))
			continue
		}
		viewers[way] = harness.Watch(t, s.Play(scheme, path+".flv?wait=30s&join=gop&"+query))
	}
	for _, v := range viewers {
		v.Begin(t)
	}
	out := map[string]taken{}
	rec := s.Record(t, "POST", "start/"+path)
	p.Send(t, tags[opening:]...)
	p.Finish(t)
	s.WaitLine(t, "session ended", "role=recording", "stream="+path)
	header, recorded := harness.Tags(t, s.File(t, rec))
	out["recording"] = taken{header: header, tags: recorded}
	for way, v := range viewers {
		body, err := v.Rest()
		if err != nil {
			t.Fatalf("%s: the body does not end as it should, behind %d bytes: %v", way, len(body), err)
		}
		header, got := harness.ReadTags(t, bytes.NewReader(body))
		out[way] = taken{header, got, v.Answer.Header.Get("Sluice-Left-Out"), body}
	}
	for way, player := range players {
		out[way] = taken{tags: player.Rest(t)}
	}
	return out
}

// coded is what a frame carries, whatever its header looks like.
func coded(tags []flv.Tag, kind media.Kind) []string {
	var out []string
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Kind == kind && p.Type == media.Frame && p.Track == 0 {
			out = append(out, fmt.Sprintf("%v +%v key %t %x", tag.DTS, p.CTS, p.Key, sha256.Sum256(p.Bytes())))
		}
	}
	return out
}

// takenByMpegts tells whether mpegts.js plays a tag of audio or video without
// complaint.
func takenByMpegts(tag flv.Tag) bool {
	b := tag.Body
	switch {
	case len(b) < 3:
		return false
	case tag.Type == flv.TagVideo && b[0]&0x80 == 0:
		return (b[0]&0x0f == 7 || b[0]&0x0f == 12) && b[1] <= 1 && len(b) > 5
	case tag.Type == flv.TagVideo:
		kind := b[0] & 0x0f
		return len(b) > 5 && string(b[1:5]) == "hvc1" && (kind == 0 || kind == 1 || kind == 3)
	case b[0]>>4 == 9 && len(b) > 5:
		config := b[0]&0x0f == 0
		switch string(b[1:5]) {
		case "Opus":
			return !config || len(b) >= 5+19
		case "fLaC":
			return !config || len(b) == 5+4+34 && string(b[5:9]) == "fLaC"
		}
		return false
	}
	return b[0]>>4 == 2 || b[0]>>4 == 10 && b[1] <= 1
}

func checkWeb(t *testing.T, raw, web taken) {
	t.Helper()
	m := metadata(t, web.tags)
	audio, _ := m.Get("hasAudio")
	video, _ := m.Get("hasVideo")
	if audio != web.header.Audio || video != web.header.Video {
		t.Errorf("the metadata says audio %v, video %v; the header %+v", audio, video, web.header)
	}
	last := map[uint8]time.Duration{}
	for i, tag := range web.tags[1:] {
		switch {
		case tag.Type == flv.TagScript:
			t.Errorf("tag %d is another script", i)
		case !takenByMpegts(tag):
			t.Fatalf("mpegts.js complains about tag %d, %x", i, tag.Body[:min(16, len(tag.Body))])
		case tag.DTS < last[tag.Type]:
			t.Errorf("tag %d of type %d steps back to %v", i, tag.Type, tag.DTS)
		}
		last[tag.Type] = tag.DTS
	}
	for _, kind := range []media.Kind{media.Audio, media.Video} {
		was, is := coded(raw.tags, kind), coded(web.tags, kind)
		switch {
		case strings.Contains(web.leftOut, kind.String()+":"):
			was = nil
		case !web.header.Video && len(is) > 0: // sound alone begins where it stands
			was = was[max(0, slices.Index(was, is[0])):]
		case kind == media.Audio && isSamples(raw.tags):
			if len(is) != len(was) {
				t.Errorf("%d messages of samples became %d frames", len(was), len(is))
			}
			continue
		}
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("%v (-raw +web):\n%s", kind, diff)
		}
	}
}

// isSamples tells whether the sound is G.711.
func isSamples(tags []flv.Tag) bool {
	return slices.ContainsFunc(tags, func(tag flv.Tag) bool {
		c := flv.ParseBody(tag.Type, tag.Body).Codec
		return c == media.G711A || c == media.G711U
	})
}

// Recordings have every track, as players have that ask for it.
func TestEnhancedFilesComeBackAsPublished(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range []string{
		"hevc_aac_enhanced", "hevc_only_codedframesx", "hevc_hdr10_colorinfo", "av1_opus_enhanced", "vp9_opus_enhanced",
		"h264_opus_enhanced", "h264_flac_enhanced", "h264_ac3_enhanced", "h264_eac3_enhanced",
		"mutants/hevc_modex", "mutants/hevc_codecid12", "mutants/avc_ex_avc1", "mutants/aac_ex_mp4a",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			for way, body := range roundTrip(t, s, "enhanced/"+name, sent) {
				got, tags := harness.ReadTags(t, bytes.NewReader(body))
				if got != header {
					t.Errorf("%s: the header says %+v, want %+v", way, got, header)
				}
				sameTags(t, sent, tags)
			}
		})
	}
	for _, name := range []string{"multitrack_2v2a", "multitrack_h264_hevc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			got := watchAll(t, s, "tracks/"+name, sent, "http?track=all", "ws?track=all")
			for _, v := range got {
				sameTags(t, sent, v.tags)
			}
			if !bytes.Equal(got["ws?track=all"].body, got["http?track=all"].body) {
				t.Error("by WebSocket it is something else than by HTTP")
			}
		})
	}
}

func TestCase105G711BecomesFLACForBrowsers(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for name, head := range map[string]byte{"h264_alaw8k": 0x72, "h264_mulaw8k": 0x82} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := flvtest.Path(t, name+".flv")
			_, sent := harness.Tags(t, file)
			got := watchAll(t, s, "case105/"+name, sent, "http?profile=web", "http?profile=web&audio=off", "http?profile=raw")
			if h := got["http?profile=web"].header; !h.Audio || !h.Video {
				t.Errorf("the header says %+v", h)
			}
			if h := got["http?profile=web&audio=off"].header; h.Audio || !h.Video {
				t.Errorf("without audio the header says %+v", h)
			}
			for _, tag := range got["http?profile=raw"].tags {
				if tag.Type == flv.TagAudio && tag.Body[0] != head {
					t.Fatalf("raw sound is %x", tag.Body[:1])
				}
			}
			decode := func(input string) string {
				return harness.Output(t, nil, "ffmpeg", "-v", "error", "-i", input, "-map", "0:a", "-f", "md5", "-c:a", "pcm_s16le", "-")
			}
			if was, is := decode(file), decode(flacFile(t, got["http?profile=web"].tags)); was != is {
				t.Errorf("ffmpeg decodes %s, of the file %s", is, was)
			}
		})
	}
}

// flacFile saves the sound of a web rendition as a file of its own.
func flacFile(t *testing.T, tags []flv.Tag) string {
	t.Helper()
	file := []byte("fLaC\x80\x00\x00\x22")
	for _, tag := range tags {
		switch {
		case tag.Type != flv.TagAudio:
		case bytes.HasPrefix(tag.Body, []byte("\x90fLaCfLaC")):
			file = append(file, tag.Body[9:]...)
		default:
			file = append(file, tag.Body[5:]...)
		}
	}
	name := filepath.Join(t.TempDir(), "sound.flac")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCase112ColoursReachPlayersButNoBrowser(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "hevc_hdr10_colorinfo.flv"))
	isColours := func(tag flv.Tag) bool {
		p := flv.ParseBody(tag.Type, tag.Body)
		return p.Kind == media.Video && p.Type == media.Metadata
	}
	got := watchAll(t, s, "case112", sent, "http?profile=web", "ws?profile=web", "http?profile=raw", "rtmp")
	for _, way := range []string{"http?profile=web", "ws?profile=web"} {
		if slices.ContainsFunc(got[way].tags, isColours) {
			t.Errorf("%s: browsers are told the colours", way)
		}
	}
	was := sent[slices.IndexFunc(sent, isColours)]
	for _, way := range []string{"http?profile=raw", "rtmp"} {
		tags := got[way].tags
		at := slices.IndexFunc(tags, isColours)
		if at < 0 || !bytes.Equal(tags[at].Body, was.Body) {
			t.Fatalf("%s: players are not told the colours", way)
		}
		if first := slices.IndexFunc(tags, isKey); at > first {
			t.Errorf("%s: the colours are tag %d, the first key frame is %d", way, at, first)
		}
	}
}

func TestCase113FourCCsOfOldCodecsBecomeTheOldTags(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, legacy := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	var want []flv.Tag
	for _, tag := range legacy {
		if p := flv.ParseBody(tag.Type, tag.Body); p.Type == media.Config || p.Type == media.Frame {
			want = append(want, tag)
		}
	}
	for _, name := range []string{"mutants/avc_ex_avc1", "mutants/aac_ex_mp4a"} {
		_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
		got := watchAll(t, s, "case113/"+name, sent, "http?profile=web")["http?profile=web"].tags[1:]
		for _, kind := range []uint8{flv.TagVideo, flv.TagAudio} {
			was, is := ofType(want, kind), ofType(got, kind)
			first := slices.IndexFunc(was[1:], func(tag flv.Tag) bool { return bytes.Equal(tag.Body, is[1].Body) })
			was = append(was[:1:1], was[1+max(first, 0):]...) // sound begins with the first picture
			if len(was) != len(is) {
				t.Fatalf("%s: %d tags of type %d, want %d", name, len(is), kind, len(was))
			}
			for i := range was {
				if !bytes.Equal(was[i].Body, is[i].Body) || i > 0 && was[i].DTS-was[1].DTS != is[i].DTS-is[1].DTS {
					t.Fatalf("%s: tag %d of type %d is %x at %v, want %x at %v", name, i, kind,
						is[i].Body[:8], is[i].DTS, was[i].Body[:8], was[i].DTS)
				}
			}
		}
	}
}

func ofType(tags []flv.Tag, kind uint8) []flv.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(tag flv.Tag) bool { return tag.Type != kind })
}

func TestCase129EachSoundGoesWhereItCanBePlayed(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for name, tc := range map[string]struct {
		leftOut string
		head    []byte // of browsers' frames of sound
	}{
		"h264_mp3":           {"", []byte{0x2f}},
		"h264_opus_enhanced": {"", []byte("\x91Opus")},
		"h264_flac_enhanced": {"", []byte("\x91fLaC")},
		"h264_ac3_enhanced":  {"audio:AC-3", nil},
		"h264_eac3_enhanced": {"audio:E-AC-3", nil},
		"vp9_opus_enhanced":  {"video:VP9", []byte("\x91Opus")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			got := watchAll(t, s, "case129/"+name, sent, "http?profile=raw", "http?profile=web")
			raw, web := got["http?profile=raw"], got["http?profile=web"]
			if raw.header != header {
				t.Errorf("the header says %+v", raw.header)
			}
			sameTags(t, sent, raw.tags)
			if web.leftOut != tc.leftOut || web.header.Audio != (tc.head != nil) {
				t.Errorf("browsers lack %q, audio %t", web.leftOut, web.header.Audio)
			}
			for _, tag := range ofType(web.tags, flv.TagAudio) {
				if p := flv.ParseBody(tag.Type, tag.Body); p.Type == media.Frame && !bytes.HasPrefix(tag.Body, tc.head) {
					t.Fatalf("browsers get sound like %x", tag.Body[:5])
				}
			}
		})
	}
}
