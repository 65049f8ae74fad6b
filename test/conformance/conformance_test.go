// Package conformance_test sends files in by RTMP and compares what comes out
// at every end with what went in: packet by packet, by our own reader and by
// ffprobe.
package conformance_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// files are the media with the codecs that the server is about.
func files() []string {
	return []string{
		"h264_aac", "h264_bframes_aac", "h264_aac_kfindex", "h264_mp3", "h264_alaw8k", "h264_mulaw8k",
		"h264_only", "aac_only",
	}
}

func TestEveryWayOutGivesBackWhatAPublisherSent(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range files() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := flvtest.Path(t, name+".flv")
			header, sent := harness.Tags(t, file)
			for way, body := range roundTrip(t, s, "conformance/"+name, sent) {
				t.Run(way, func(t *testing.T) {
					got, tags := harness.ReadTags(t, bytes.NewReader(body))
					if got != header {
						t.Errorf("the header says %+v, want %+v", got, header)
					}
					sameTags(t, sent, tags)
					sameProbe(t, harness.Packets(t, file), harness.Packets(t, save(t, body)))
				})
			}
		})
	}
}

// TestFilesThatFFmpegCopiesComeBack has ffmpeg publish, in real time. A viewer
// begins at whatever key frame is the newest when it comes in.
func TestFilesThatFFmpegCopiesComeBack(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range []string{"h264_aac", "h264_bframes_aac", "h264_mp3", "h264_alaw8k", "h264_mulaw8k"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := flvtest.Path(t, name+".flv")
			_, sent := harness.Tags(t, file)
			harness.Run(t, "", nil, "ffmpeg", "-hide_banner", "-nostats", "-re", "-i", file, "-c", "copy", "-f", "flv", s.Push("copy/"+name))
			v := harness.Watch(t, s.Play("http", "copy/"+name+"?wait=30s&join=gop"))
			body, err := v.Rest()
			if err != nil {
				t.Fatal(err)
			}
			_, got := harness.ReadTags(t, bytes.NewReader(body))
			sent, got = frames(sent, true), frames(got, true) // ffmpeg says by itself where the sequence ends
			first := slices.IndexFunc(got, isKey)
			begin := slices.IndexFunc(sent, func(tag flv.Tag) bool { return bytes.Equal(tag.Body, got[first].Body) })
			if begin < 0 || len(sent)-begin < len(sent)/2 {
				t.Fatalf("the viewer begins at tag %d of %d", begin, len(sent))
			}
			sent = slices.DeleteFunc(slices.Clone(sent), func(tag flv.Tag) bool {
				return tag.DTS < sent[begin].DTS && flv.ParseBody(tag.Type, tag.Body).Type == media.Frame
			})
			sameTags(t, sent, got)
		})
	}
}

// roundTrip publishes the tags and returns what comes back by each way out.
// Nothing is sent beyond the first frames before everybody is there to take it.
func roundTrip(t *testing.T, s *harness.Server, path string, tags []flv.Tag) map[string][]byte {
	t.Helper()
	p := harness.Connect(t, s.Push(path))
	opening := harness.Opening(tags)
	p.Send(t, tags[:opening]...)

	viewers := map[string]*harness.Viewer{
		"HTTP":      harness.Watch(t, s.Play("http", path+".flv?wait=30s&join=gop")),
		"HTTP 1.0":  harness.Watch(t, s.Play("http/1.0", path+".flv?wait=30s&join=gop")),
		"WebSocket": harness.Watch(t, s.Play("ws", path+".flv?wait=30s&join=gop")),
	}
	rec := s.Record(t, "POST", "start/"+path)
	for _, v := range viewers {
		v.Begin(t)
	}
	p.Send(t, tags[opening:]...)
	p.Finish(t)

	out := map[string][]byte{}
	for way, v := range viewers {
		body, err := v.Rest()
		if err != nil {
			t.Fatalf("%s: the body does not end as it should, behind %d bytes: %v", way, len(body), err)
		}
		out[way] = body
	}
	s.WaitLine(t, "session ended", "role=recording", "stream="+path)
	file, err := os.ReadFile(s.File(t, rec))
	if err != nil {
		t.Fatal(err)
	}
	out["recording"] = file
	return out
}

func save(t *testing.T, body []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.flv")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// track is what is compared of a track: what its tags are, when they are,
// counted from the first frame of the stream, and what is in them.
type track []string

// tracks takes tags apart, from the first key frame on, where every viewer
// begins. Configurations that only repeat the one before are left out, and
// their times are not compared.
func tracks(tags []flv.Tag) map[media.Kind]track {
	video := slices.ContainsFunc(tags, isKey)
	out := map[media.Kind]track{}
	config := map[media.Kind][]byte{}
	start := time.Duration(-1)
	for _, tag := range tags {
		p := flv.ParseBody(tag.Type, tag.Body)
		video = video && !isKey(tag)
		if p.Kind == media.Data || video && p.Type != media.Config {
			continue
		}
		line := fmt.Sprintf("%v %v %d bytes %x", p.Type, p.Codec, len(tag.Body), sha256.Sum256(tag.Body))
		switch p.Type {
		case media.Config:
			if bytes.Equal(config[p.Kind], tag.Body) {
				continue
			}
			config[p.Kind] = tag.Body
		default:
			if start < 0 {
				start = tag.DTS
			}
			line = fmt.Sprintf("%v %v", tag.DTS-start, line)
		}
		out[p.Kind] = append(out[p.Kind], line)
	}
	return out
}

func isKey(tag flv.Tag) bool { return flv.ParseBody(tag.Type, tag.Body).Key }

func sameTags(t *testing.T, sent, got []flv.Tag) {
	t.Helper()
	if diff := cmp.Diff(tracks(sent), tracks(got)); diff != "" {
		t.Errorf("our reader sees other tags (-sent +got):\n%s", diff)
	}
	for i, tag := range got {
		if (i == 0) != (tag.Type == flv.TagScript) || i == 0 && tag.DTS != 0 {
			t.Errorf("tag %d is of type %d at %v; there is one script tag, the first, at 0", i, tag.Type, tag.DTS)
		}
	}
}

// sameProbe compares what ffprobe sees, but for a time that everything is
// moved by.
func sameProbe(t *testing.T, sent, got []harness.Probed) {
	t.Helper()
	if diff := cmp.Diff(probed(t, sent), probed(t, got)); diff != "" {
		t.Errorf("ffprobe sees other packets (-sent +got):\n%s", diff)
	}
}

func probed(t *testing.T, packets []harness.Probed) map[string]track {
	t.Helper()
	if len(packets) == 0 {
		t.Fatal("ffprobe sees nothing")
	}
	ms := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if video := slices.IndexFunc(packets, func(p harness.Probed) bool { return p.Kind == "video" }); video > 0 {
		packets = packets[video:] // where every viewer begins
	}
	start := ms(packets[0].DTS)
	for _, p := range packets {
		start = min(start, ms(p.DTS))
	}
	out := map[string]track{}
	for _, p := range packets {
		line := fmt.Sprintf("%d ms, shown at %d ms, %s", ms(p.DTS)-start, ms(p.PTS)-start, strings.TrimSpace(p.Hash))
		out[p.Kind] = append(out[p.Kind], line)
	}
	return out
}
