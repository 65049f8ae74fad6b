package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/test/harness"
)

// fetcher is a client that fetches a file piece by piece.
type fetcher struct {
	server *harness.Server
	path   string
	got    []byte
}

var contentRange = regexp.MustCompile(`^bytes (?:(\d+)-(\d+)|\*)/(\d+)$`)

// ask asks for one range, and returns the piece with its place and the length
// that the file is said to have.
func (c *fetcher) ask(t *testing.T, what string, header ...string) (piece string, from, total int, end bool) {
	t.Helper()
	a, body := c.server.Request(t, http.MethodGet, c.path, append([]string{"Range", what}, header...)...)
	m := contentRange.FindStringSubmatch(a.Header.Get("Content-Range"))
	if m == nil {
		t.Fatalf("Range %s is answered %d %v", what, a.StatusCode, a.Header)
	}
	from, _ = strconv.Atoi(m[1])
	to, _ := strconv.Atoi(m[2])
	total, _ = strconv.Atoi(m[3])
	if a.StatusCode == http.StatusRequestedRangeNotSatisfiable && m[1] == "" {
		return "", 0, total, true
	}
	if a.StatusCode != http.StatusPartialContent || to-from+1 != len(body) || to >= total {
		t.Fatalf("Range %s is answered %d %v with %d bytes", what, a.StatusCode, a.Header, len(body))
	}
	return body, from, total, false
}

// catchUp fetches what the file has by now. Then there are whole tags.
func (c *fetcher) catchUp(t *testing.T) {
	t.Helper()
	const step = 50_000
	for {
		piece, from, total, end := c.ask(t, fmt.Sprintf("bytes=%d-%d", len(c.got), len(c.got)+step-1))
		if end && total != len(c.got) {
			continue // it has grown since it was asked for
		}
		if end {
			harness.ReadTags(t, bytes.NewReader(c.got))
			return
		}
		if from != len(c.got) {
			t.Fatalf("asked for byte %d on, got them from %d on", len(c.got), from)
		}
		c.got = append(c.got, piece...)
	}
}

// last fetches the last n bytes.
func (c *fetcher) last(t *testing.T, file string, n int) {
	t.Helper()
	piece, from, total, _ := c.ask(t, fmt.Sprintf("bytes=-%d", n))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if from != total-n || total > len(b) || piece != string(b[from:total]) {
		t.Errorf("the last %d bytes are %d, from %d of %d on, which are not those of the file", n, len(piece), from, total)
	}
}

func TestAFileIsReadByAnybodyWhileItIsWrittenAndAfter(t *testing.T) {
	t.Parallel()
	s, src := harness.Start(t), harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/read"))
	r := record(t, s, "live/read")
	file, c := s.File(t, r), &fetcher{server: s, path: "/flv/record/files/" + r.File}
	for _, ms := range []int64{3000, 5000, 7000, 9000} {
		harness.Eventually(t, "the recording has grown", func() bool { return s.Record(t, "GET", "status/live/read").DurationMS > ms })
		c.catchUp(t)
		c.last(t, file, 5000)
	}
	if a, _ := s.Request(t, http.MethodHead, c.path); a.Header.Get("Etag") != "" || a.Header.Get("Last-Modified") != "" {
		t.Errorf("of what is being written it is promised that it stays: %v", a.Header)
	}
	if status, body := s.Call(t, http.MethodGet, c.path, "Range", "bytes=10-19", "If-Range", `"x"`); status != http.StatusOK || len(body) < len(c.got) {
		t.Errorf("a range of another version: %d and %d bytes", status, len(body))
	}
	now := func() time.Duration {
		return time.Duration(s.Record(t, "GET", "status/live/read").DurationMS) * time.Millisecond
	}
	looks(t, s, src, r, now)

	done := s.Record(t, "POST", "stop/live/read")
	c.catchUp(t)
	c.last(t, file, 5000)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head := mutable(t, want)
	if int64(len(c.got)) != done.Bytes || !bytes.Equal(c.got[head:], want[head:]) {
		t.Errorf("the pieces are %d bytes and differ from the file of %d behind its onMetaData", len(c.got), len(want))
	}
	a, _ := s.Request(t, http.MethodHead, c.path)
	tag := a.Header.Get("Etag")
	if first, _, _, _ := c.ask(t, fmt.Sprintf("bytes=0-%d", head-1), "If-Range", tag); first != string(want[:head]) {
		t.Error("the first bytes, fetched anew, are not those of the file")
	}
	if status, _ := s.Call(t, http.MethodGet, c.path, "If-None-Match", tag); status != http.StatusNotModified {
		t.Errorf("asking for news of what is over: %d", status)
	}
	looks(t, s, src, done, func() time.Duration { return time.Duration(done.DurationMS) * time.Millisecond })
}

// mutable returns how much of a file is patched while it is written: its
// header and its onMetaData.
func mutable(t *testing.T, file []byte) int {
	t.Helper()
	h, _, err := flv.ParseTagHeader(file[flv.HeaderLen:])
	if err != nil || h.Type != flv.TagScript {
		t.Fatalf("behind the header there is %+v, %v", h, err)
	}
	return flv.HeaderLen + flv.TagOverhead + int(h.BodyLen)
}

// looks reads a recording with ffmpeg and ffprobe, as a file and over HTTP.
// length tells how long it is now.
func looks(t *testing.T, s *harness.Server, src harness.Source, r harness.Recording, length func() time.Duration) {
	t.Helper()
	const late = time.Second // what the file says of itself is behind what is in it
	url := "http://" + s.HTTP + "/flv/record/files/" + r.File
	for _, in := range []string{s.File(t, r), url} {
		sees(t, src, in)
		before := length()
		said := seconds(t, harness.Duration(t, in))
		if after := length(); said < before-late || said > after+late {
			t.Errorf("ffprobe says that %s has %v, it has %v to %v", in, said, before, after)
		}
		decodes(t, in)
		middle := said / 2
		decodes(t, in, "-ss", fmt.Sprint(middle.Seconds()))
		out := harness.Output(t, nil, "ffmpeg", "-hide_banner", "-noaccurate_seek", "-copyts", "-ss", fmt.Sprint(middle.Seconds()), "-i", in,
			"-map", "0:v", "-frames:v", "1", "-vf", "showinfo", "-f", "null", "-")
		m := regexp.MustCompile(`pts_time:([0-9.]+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("ffmpeg finds nothing at %v of %s:\n%s", middle, in, out)
		}
		within(t, "ffmpeg -ss in "+in, seconds(t, m[1]), middle)
	}
	middle := length() / 2
	start := fmt.Sprintf("?start=%v", middle.Seconds())
	decodes(t, url+start)
	status, body := s.Call(t, http.MethodGet, "/flv/record/files/"+r.File+start)
	part := filepath.Join(t.TempDir(), "part.flv")
	if err := os.WriteFile(part, []byte(body), 0o600); err != nil || status != http.StatusOK {
		t.Fatalf("from %v on: %d, %v", middle, status, err)
	}
	decodes(t, part)
	_, tags := harness.Tags(t, part)
	for _, tag := range tags {
		if p := flv.ParseBody(tag.Type, tag.Body); p.Kind == media.Video && p.Type == media.Frame {
			within(t, "start", tag.DTS, middle)
			if !p.Key {
				t.Error("start begins at a frame that is none to begin with")
			}
			return
		}
	}
	t.Error("start has no picture")
}

// decodes has ffmpeg decode an input, without a complaint, as it is told to.
func decodes(t *testing.T, in string, how ...string) {
	t.Helper()
	args := append([]string{"-v", "error", "-xerror"}, how...)
	if out := harness.Output(t, nil, "ffmpeg", append(args, "-i", in, "-f", "null", "-")...); out != "" {
		t.Errorf("ffmpeg %v says of %s:\n%s", how, in, out)
	}
}

// within checks that a place is at most a GOP before the one that was asked for.
func within(t *testing.T, what string, at, asked time.Duration) {
	t.Helper()
	const group, frame = time.Second, 40 * time.Millisecond // of the sources
	if at > asked || at < asked-group-frame {
		t.Errorf("%s begins at %v, %v was asked for", what, at, asked)
	}
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(v * float64(time.Second))
}
