package conformance_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// metadata returns the onMetaData of a body: its first tag, at 0.
func metadata(t *testing.T, tags []flv.Tag) amf0.ECMAArray {
	t.Helper()
	if len(tags) == 0 || tags[0].Type != flv.TagScript || tags[0].DTS != 0 {
		t.Fatal("the body does not begin with a script tag at 0")
	}
	values, err := amf0.DecodeAll(tags[0].Body)
	if err != nil || len(values) != 2 || values[0] != "onMetaData" {
		t.Fatalf("the script tag is %v (%v)", values, err)
	}
	array, ok := values[1].(amf0.ECMAArray)
	if !ok {
		t.Fatalf("the metadata is a %T, not an ECMA array", values[1])
	}
	return array
}

func TestCase097MetadataIsWrittenAsItShouldBe(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for name, want := range map[string]struct {
		audio, video bool
		codecs       []string
	}{
		"h264_aac":  {true, true, []string{"audio aac", "video h264"}},
		"aac_only":  {true, false, []string{"audio aac"}},
		"h264_only": {false, true, []string{"video h264"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			for way, body := range roundTrip(t, s, "case097/"+name, sent) {
				_, tags := harness.ReadTags(t, bytes.NewReader(body))
				m := metadata(t, tags)
				audio, _ := m.Get("hasAudio")
				video, _ := m.Get("hasVideo")
				if audio != want.audio || video != want.video {
					t.Errorf("%s: hasAudio %v, hasVideo %v; want %v, %v", way, audio, video, want.audio, want.video)
				}
				codecs := harness.Codecs(t, save(t, body))
				slices.Sort(codecs)
				if !slices.Equal(codecs, want.codecs) {
					t.Errorf("%s: ffprobe sees %q, want %q", way, codecs, want.codecs)
				}
			}
		})
	}
}

func TestCase098MetadataOfALaterTimeComesOutAtZero(t *testing.T) {
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "mutants/meta_ts_nonzero.flv"))
	if !slices.ContainsFunc(sent, func(tag flv.Tag) bool { return tag.Type == flv.TagScript && tag.DTS != 0 }) {
		t.Fatal("the file has no script tag of a later time")
	}
	for way, body := range roundTrip(t, s, "case098", sent) {
		_, tags := harness.ReadTags(t, bytes.NewReader(body))
		metadata(t, tags)
		for _, tag := range tags[1:] {
			if tag.Type == flv.TagScript && tag.DTS != 0 {
				t.Errorf("%s: a script tag at %v", way, tag.DTS)
			}
		}
	}
}

func TestCase103RangeIsAnsweredWithTheLiveStream(t *testing.T) {
	s := harness.Start(t)
	harness.PublishFile(t, flvtest.Path(t, "h264_aac.flv"), s.Push("case103"))
	for _, bytes := range []string{"bytes=0-", "bytes=100-"} {
		v := harness.Watch(t, s.Play("http", "case103?wait=30s"), "Range: "+bytes)
		if h, err := v.Header(); err != nil || v.Answer.StatusCode != http.StatusOK || v.Answer.Header.Get("Content-Range") != "" || !h.Video {
			t.Errorf("%s: %d, Content-Range %q, %+v, %v", bytes, v.Answer.StatusCode, v.Answer.Header.Get("Content-Range"), h, err)
		}
	}
	out := harness.Output(t, nil, "ffmpeg", "-v", "error", "-t", "1", "-i", s.Play("http", "case103"), "-c", "copy", "-f", "null", "-")
	if out != "" {
		t.Errorf("ffmpeg, which asks for bytes=0-, complains:\n%s", out)
	}
}

func TestCase104HeaderFlagsNameTheTracksThatAreThere(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, both := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	_, audio := harness.Tags(t, flvtest.Path(t, "aac_only.flv"))
	_, video := harness.Tags(t, flvtest.Path(t, "h264_only.flv"))
	silent := slices.DeleteFunc(slices.Clone(both), func(tag flv.Tag) bool {
		p := flv.ParseBody(tag.Type, tag.Body)
		return p.Kind == media.Audio && p.Type == media.Frame
	})
	for name, tc := range map[string]struct {
		tags []flv.Tag
		want byte
	}{
		"both": {both, 5}, "audio": {audio, 4}, "video": {video, 1}, "announced-audio": {silent, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.Connect(t, s.Push("case104/"+name))
			p.Send(t, tc.tags...)
			v := harness.Watch(t, s.Play("http", "case104/"+name+".flv?wait=30s"))
			v.Begin(t)
			p.Finish(t)
			body, err := v.Rest()
			if err != nil || len(body) < flv.HeaderLen || body[4] != tc.want {
				t.Errorf("flags %#02x, want %#02x (%v)", body[4:5], tc.want, err)
			}
			for _, tag := range second(harness.ReadTags(t, bytes.NewReader(body))) {
				if tag.Type == flv.TagAudio && tc.want&4 == 0 || tag.Type == flv.TagVideo && tc.want&1 == 0 {
					t.Fatalf("a tag of type %d, which the flags do not promise", tag.Type)
				}
			}
		})
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestCase106ALaterViewerBeginsAtAKeyFrame(t *testing.T) {
	s := harness.Start(t)
	_, tags := harness.Tags(t, flvtest.Path(t, "h264_bframes_aac.flv"))
	p := harness.Connect(t, s.Push("case106"))
	later := slices.IndexFunc(tags, func(tag flv.Tag) bool { return tag.DTS > 3300*time.Millisecond })
	p.Send(t, tags[:later]...)
	first := harness.Watch(t, s.Play("http", "case106?wait=30s&join=gop"))
	for first.Packet(t).DTS < tags[later-1].DTS {
		continue // until the server has all that was sent
	}

	v := harness.Watch(t, s.Play("http", "case106"))
	config := map[media.Kind]bool{}
	for {
		packet := v.Packet(t)
		switch packet.Type {
		case media.Metadata:
			continue
		case media.Config:
			config[packet.Kind] = true
			continue
		default:
		}
		if packet.Kind != media.Video || !packet.Key || packet.DTS < 2*time.Second {
			t.Errorf("the first media is %v at %v, key %v; want the newest key frame", packet.Kind, packet.DTS, packet.Key)
		}
		break
	}
	if !config[media.Audio] || !config[media.Video] {
		t.Errorf("the configurations before it: %v", config)
	}
}

func TestCase107TheTimelineBeginsNearZeroAndNeverStepsBack(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, once := harness.Tags(t, flvtest.Path(t, "h264_aac.flv"))
	_, wrap := harness.Tags(t, flvtest.Path(t, "mutants/ts_wrap32.flv"))
	twice := append(frames(once, true), harness.Shift(frames(once, false), 4040*time.Millisecond)...)
	for name, sent := range map[string][]flv.Tag{
		"late":         harness.Shift(once, 10_000_000*time.Millisecond),
		"across-2-32":  harness.Shift(twice, 0xFFFFF000*time.Millisecond),
		"wrapped-file": wrap,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way, body := range roundTrip(t, s, "case107/"+name, sent) {
				monotonic(t, way, sent, second(harness.ReadTags(t, bytes.NewReader(body))))
			}
		})
	}
}

// frames returns the tags without the end of sequence, and without what comes
// before the first frame unless that is wanted.
func frames(tags []flv.Tag, all bool) []flv.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(tag flv.Tag) bool {
		p := flv.ParseBody(tag.Type, tag.Body)
		return p.Type == media.Sequence || !all && p.Type != media.Frame
	})
}

// monotonic checks that the times begin near zero and step as those of the
// publisher do, modulo 2^32.
func monotonic(t *testing.T, way string, sent, got []flv.Tag) {
	t.Helper()
	in, out := frames(sent, false), frames(got, false)
	in = in[slices.IndexFunc(in, isKey):] // where every viewer begins
	if len(in) != len(out) || out[0].DTS > 100*time.Millisecond {
		t.Fatalf("%s: %d of %d frames, the first at %v", way, len(out), len(in), out[0].DTS)
	}
	for i := range in {
		was := uint32((in[i].DTS - in[0].DTS).Milliseconds()) //nolint:gosec // modulo 2^32
		if is := (out[i].DTS - out[0].DTS).Milliseconds(); is != int64(was) {
			t.Fatalf("%s: frame %d is %d ms behind the first, want %d", way, i, is, was)
		}
	}
}

func TestCase108TheEndOfThePublisherIsACleanEnd(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for name, signal := range map[string]os.Signal{"unpublished": syscall.SIGTERM, "disconnected": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "case108/" + name
			encoder := harness.PublishFile(t, flvtest.Path(t, "h264_aac.flv"), s.Push(path))
			raw := rawBody(t, s.HTTP, "/flv/"+path+"?wait=30s")
			player := harness.Run(t, "", nil, "ffmpeg", "-hide_banner", "-nostats", "-i", s.Play("http", path), "-c", "copy", "-f", "null", "-")
			player.WaitLine(t, "Press [q]")
			encoder.Signal(t, signal)
			b, err := io.ReadAll(raw)
			if err != nil || !bytes.HasSuffix(b, []byte("0\r\n\r\n")) {
				t.Errorf("the body ends with %q (%v)", b[max(0, len(b)-20):], err)
			}
			if code := player.Wait(t); code != 0 {
				t.Errorf("ffmpeg ended with %d:\n%s", code, player.Output())
			}
		})
	}
}

// rawBody asks for a stream and returns the bytes behind the header, as they
// come.
func rawBody(t *testing.T, host, uri string) io.Reader {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET "+uri+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for i := 0; ; i++ {
		line, err := in.ReadString('\n')
		if err != nil || i == 0 && !strings.Contains(line, " 200 ") {
			t.Fatalf("%s is answered by %q (%v)", uri, line, err)
		}
		if line == "\r\n" {
			return in
		}
	}
}
