package httpflv_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/flv"
	"sluice/internal/httpflv"
	"sluice/internal/session"
	"sluice/media"
)

func TestCase101ALiveStreamAnswersWithChunkedFLV(t *testing.T) {
	s := newServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	resp := get(t, s.URL+"/flv/live/test.flv")

	if resp.StatusCode != http.StatusOK || len(resp.TransferEncoding) != 1 || resp.TransferEncoding[0] != "chunked" {
		t.Errorf("got %s with transfer encoding %v, want 200 chunked", resp.Status, resp.TransferEncoding)
	}
	for name, want := range map[string]string{
		"Content-Type": "video/x-flv", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*",
		"X-Accel-Buffering": "no", "Sluice-Profile": "raw", "Sluice-Join": "gop",
		"Vary": "Origin, Sec-Fetch-Mode, User-Agent",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	p.send(-1)
	p.end()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the body did not end cleanly: %v", err)
	}
	if !bytes.HasPrefix(body, []byte("FLV\x01\x05")) {
		t.Errorf("the body begins with %x", body[:min(8, len(body))])
	}
}

func TestCase102WhatCannotBePlayedIsRefusedBeforeMedia(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")

	t.Run("an absent stream", func(t *testing.T) {
		resp := get(t, s.URL+"/flv/live/none?wait=50ms")
		problem(t, resp, http.StatusNotFound)
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("header %v lacks CORS or Retry-After", resp.Header)
		}
	})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			resp := do(t, method, s.URL+"/flv/live/test")
			problem(t, resp, http.StatusMethodNotAllowed)
			if got := resp.Header.Get("Allow"); got != "GET, HEAD, OPTIONS" {
				t.Errorf("Allow: %q", got)
			}
		})
	}
	t.Run("OPTIONS", func(t *testing.T) {
		resp := do(t, http.MethodOptions, s.URL+"/flv/live/test", "Origin", "http://elsewhere.example")
		if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" {
			t.Errorf("got %s, %v", resp.Status, resp.Header)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		resp := do(t, http.MethodHead, s.URL+"/flv/live/test")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "video/x-flv" {
			t.Errorf("got %s, %v", resp.Status, resp.Header)
		}
		if b, _ := io.ReadAll(resp.Body); len(b) > 0 || s.sessions.Count(session.Viewer, "") != 0 {
			t.Errorf("HEAD has a body of %d bytes, or became a viewer", len(b))
		}
	})
}

func TestHeadDoesNotWaitForAPublisher(t *testing.T) {
	s := newServer(t)
	begin := time.Now()
	resp := do(t, http.MethodHead, s.URL+"/flv/live/none?wait=60s")
	if resp.StatusCode != http.StatusNotFound || time.Since(begin) > 10*time.Second {
		t.Errorf("got %s after %v", resp.Status, time.Since(begin))
	}
}

func TestBadPathsAndQueriesAreNamed(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	for path, want := range map[string]string{
		"live/../test":                      `a segment`,
		"live/%2e%2e/test":                  `a segment`,
		"live/%2e/test":                     `a segment`,
		"live//test":                        "empty segment",
		"live/test/":                        "empty segment",
		"":                                  "empty segment",
		"live/" + strings.Repeat("x", 300):  "more than 255 bytes",
		"live/" + strings.Repeat("x", 3000): "more than 255 bytes",
		"live/%00":                          `\\x00`,
		"live/%252e":                        "'%'",
		"live/a%2fb":                        "encoded '/'",
		"live/a%20b":                        "' '",
		"record/x":                          "reserved",
		"live/test?wait=61s":                "wait=",
		"live/test?wait=5":                  "wait=",
		"live/test?wait=-1s":                "wait=",
		"live/test?join=edgy":               "join=",
		"live/test?profile=vip":             "profile=",
		"live/test?audio=maybe":             "audio=",
		"live/test?video=":                  "video=",
		"live/test?a=%zz":                   "query",
		"live/test?" + strings.Repeat("a=b&", 2000): "query is longer",
	} {
		t.Run(path[:min(40, len(path))], func(t *testing.T) {
			_, r := s.raw(t, "GET /flv/"+path+" HTTP/1.1", "Host: localhost", "Connection: close")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text := problem(t, resp, http.StatusBadRequest); !strings.Contains(text, want) {
				t.Errorf("the problem %s does not say %q", text, want)
			}
		})
	}
}

func TestUnknownQueryNamesAreIgnored(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	if resp := get(t, s.URL+"/flv/live/test?_=123&utm_source=x&wait=1s"); resp.StatusCode != http.StatusOK {
		t.Errorf("got %s", resp.Status)
	}
}

func TestAudioAndVideoCanBeLeftOut(t *testing.T) {
	s := newServer(t)
	for query, want := range map[string]flv.Header{
		"audio=off": {Video: true}, "video=off": {Audio: true}, "audio=on&video=on": {Audio: true, Video: true},
	} {
		t.Run(query, func(t *testing.T) {
			p := s.live(t, "live/"+strings.ReplaceAll(query, "&", "-"), "h264_aac.flv")
			resp := get(t, s.URL+"/flv/"+p.pub.Path()+"?"+query)
			p.send(-1)
			p.end()
			h, tags := readTags(t, resp.Body)
			if h != want {
				t.Errorf("header %+v, want %+v", h, want)
			}
			count := map[uint8]int{}
			for _, tag := range tags {
				count[tag.Type]++
			}
			if (count[flv.TagAudio] > 0) != want.Audio || (count[flv.TagVideo] > 0) != want.Video || count[flv.TagScript] != 1 {
				t.Errorf("tags by type: %v", count)
			}
		})
	}
	t.Run("nothing is left", func(t *testing.T) {
		p := s.live(t, "live/deaf", "h264_only.flv")
		problem(t, get(t, s.URL+"/flv/"+p.pub.Path()+"?video=off"), http.StatusUnsupportedMediaType)
		problem(t, get(t, s.URL+"/flv/"+p.pub.Path()+"?video=off&audio=off"), http.StatusUnsupportedMediaType)
	})
}

func TestBrowsersGetTheWebProfile(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	for name, tc := range map[string]struct{ header, value, query, want string }{
		"origin":            {"Origin", "null", "", "web"},
		"fetch mode":        {"Sec-Fetch-Mode", "cors", "", "web"},
		"browser by name":   {"User-Agent", "Mozilla/5.0 (X11)", "", "web"},
		"ffmpeg":            {"User-Agent", "Lavf/59.27.100", "", "raw"},
		"asked for raw":     {"Origin", "http://a.example", "?profile=raw", "raw"},
		"asked for web":     {"User-Agent", "curl/8", "?profile=web", "web"},
		"the last one wins": {"User-Agent", "curl/8", "?profile=raw&profile=web", "web"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := get(t, s.URL+"/flv/live/test"+tc.query, tc.header, tc.value)
			if got := resp.Header.Get("Sluice-Profile"); got != tc.want {
				t.Errorf("Sluice-Profile: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHEADSaysWhereAViewerWouldBegin(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	for query, want := range map[string]string{"": "gop", "?profile=web": "edge", "?join=next": "next", "?join=gop": "gop"} {
		resp := do(t, http.MethodHead, s.URL+"/flv/live/test"+query)
		if got := resp.Header.Get("Sluice-Join"); resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("HEAD %s: %s, Sluice-Join: %q, want %q", query, resp.Status, got, want)
		}
		if got := get(t, s.URL+"/flv/live/test"+query).Header.Get("Sluice-Join"); got != want {
			t.Errorf("GET %s: Sluice-Join: %q, want %q", query, got, want)
		}
	}
}

func TestJoinNextBeginsAtTheNextKeyFrame(t *testing.T) {
	s := newServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	resp := get(t, s.URL+"/flv/live/test?join=next")
	if got := resp.Header.Get("Sluice-Join"); got != "next" {
		t.Errorf("Sluice-Join: %q", got)
	}
	p.send(-1)
	p.end()
	_, tags := readTags(t, resp.Body)
	for _, tag := range tags {
		pkt := flv.ParseBody(tag.Type, tag.Body)
		if pkt.Kind == media.Data || pkt.Type == media.Config {
			continue
		}
		if !isKeyFrame(tag) || tag.DTS < time.Second {
			t.Errorf("the first media tag is %v at %v, want a key frame behind the first", pkt.Kind, tag.DTS)
		}
		return
	}
	t.Error("no media came")
}

func TestCase118HTTP10GetsPlainBytesAndAClose(t *testing.T) {
	s := newServer(t)
	p := s.live(t, "live/test", "h264_aac.flv")
	_, r := s.raw(t, "GET /flv/live/test.flv HTTP/1.0")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMinor != 0 || len(resp.TransferEncoding) > 0 || !resp.Close {
		t.Errorf("got %s, transfer encoding %v, close %v", resp.Proto, resp.TransferEncoding, resp.Close)
	}
	p.send(-1)
	p.end()
	if h, tags := readTags(t, resp.Body); !h.Audio || !h.Video || len(tags) < 200 {
		t.Errorf("header %+v and %d tags", h, len(tags))
	}
}

func TestCase120AViewerWaitsForItsPublisher(t *testing.T) {
	t.Run("who comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, dial := newPiped(t)
			begin, answer := time.Now(), ask(t, dial(), "/flv/live/late?wait=5s")
			<-time.After(3 * time.Second)
			s.live(t, "live/late", "h264_aac.flv")
			resp := answer()
			if d := time.Since(begin); resp.StatusCode != http.StatusOK || d < 3*time.Second || d > 4*time.Second {
				t.Errorf("got %s after %v", resp.Status, d)
			}
			r := flv.NewReader(resp.Body)
			if h, err := r.Header(); err != nil || !h.Audio || !h.Video {
				t.Errorf("the header says %+v (%v)", h, err)
			}
			if _, err := r.Next(); err != nil {
				t.Errorf("the first tag: %v", err)
			}
		})
	})
	t.Run("who does not come", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, dial := newPiped(t)
			begin, answer := time.Now(), ask(t, dial(), "/flv/live/never?wait=5s")
			problem(t, answer(), http.StatusNotFound)
			if d := time.Since(begin); d != 5*time.Second {
				t.Errorf("404 came after %v, not after the 5 s that were asked for", d)
			}
		})
	})
}

// ask sends a request and returns what waits for the answer.
func ask(t *testing.T, conn net.Conn, uri string) (answer func() *http.Response) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET "+uri+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return func() *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
}

func TestWaitingViewersAreBoundedAndLeaveAtOnce(t *testing.T) {
	s := newServer(t, func(c *httpflv.Config) { c.MaxWaiting = 2 })
	for range 2 {
		s.raw(t, "GET /flv/live/none?wait=60s HTTP/1.1", "Host: x")
	}
	eventually(t, "two wait", func() bool { return s.module.Waiting() == 2 })
	resp := get(t, s.URL+"/flv/live/none?wait=60s")
	problem(t, resp, http.StatusServiceUnavailable)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestAWaitingViewerThatHangsUpFreesItsPlace(t *testing.T) {
	s := newServer(t, func(c *httpflv.Config) { c.MaxWaiting = 1 })
	conn, _ := s.raw(t, "GET /flv/live/none?wait=60s HTTP/1.1", "Host: x")
	eventually(t, "it waits", func() bool { return s.module.Waiting() == 1 })
	conn.Close()
	eventually(t, "its place is free", func() bool { return s.module.Waiting() == 0 })
}

func TestAViewerThatHangsUpEndsOnASilentStream(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	conn, r := s.raw(t, "GET /flv/live/test HTTP/1.1", "Host: x")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is a viewer", func() bool { return s.sessions.Count(session.Viewer, "live/test") == 1 })
	conn.Close()
	eventually(t, "it is none any more", func() bool { return s.sessions.Count(session.Viewer, "") == 0 })
}

func TestShutdownEndsBodiesCleanly(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	resp := get(t, s.URL+"/flv/live/test")
	s.stop()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the body did not end cleanly: %v", err)
	}
}

func TestAKickedViewerSeesThatItsBodyIsNotWhole(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	resp := get(t, s.URL+"/flv/live/test")
	eventually(t, "it is a viewer", func() bool { return s.sessions.Count(session.Viewer, "") == 1 })
	if err := s.sessions.Kick(s.sessions.All()[0].Info().ID, session.ErrKicked); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body ended cleanly")
	}
}
