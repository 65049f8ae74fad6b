package httpflv_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/httpd"
	"sluice/internal/session"
)

func dial(t *testing.T, s *server, path string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), strings.Replace(s.URL, "http", "ws", 1)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	c.SetReadLimit(1 << 24)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// dialWith opens a WebSocket with a header line more, and returns the answer too.
func dialWith(t *testing.T, url, name, value string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{name: {value}},
	})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	if resp != nil && resp.Body != nil {
		resp.Body.Close()
	}
	return c, resp, err
}

func TestCase115WebSocketViewersAreRefusedBeforeTheUpgradeOrPlayFromAnywhere(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/a", "h264_aac.flv")
	for _, origin := range []string{"null", "http://elsewhere.example", "file://", "no origin at all"} {
		t.Run("from "+origin, func(t *testing.T) {
			c, _, err := dialWith(t, s.URL+"/flv/live/a.flv", "Origin", origin)
			if err != nil {
				t.Fatal(err)
			}
			if typ, b, err := c.Read(t.Context()); err != nil || typ != websocket.MessageBinary || !bytes.HasPrefix(b, []byte("FLV")) {
				t.Errorf("message of type %v, %.10q, %v", typ, b, err)
			}
		})
	}
	// Anybody may play: so the guard is the one of calls that not everybody may make.
	mux := httpd.NewMux(slog.New(slog.DiscardHandler), auth.NewGuard("right"))
	mux.Handle(auth.Control, "/flv/", s.module)
	guarded := httptest.NewServer(mux)
	t.Cleanup(guarded.Close)
	t.Run("with a wrong token", func(t *testing.T) {
		_, resp, err := dialWith(t, guarded.URL+"/flv/live/a.flv", "Authorization", "Bearer wrong")
		if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Upgrade") != "" {
			t.Errorf("answer %+v, %v; want 401 and no upgrade", resp, err)
		}
	})
	t.Run("with the right one", func(t *testing.T) {
		if _, _, err := dialWith(t, guarded.URL+"/flv/live/a.flv", "Authorization", "Bearer right"); err != nil {
			t.Error(err)
		}
	})
}

func TestCase114WebSocketViewers(t *testing.T) {
	s := newServer(t)
	t.Run("get binary messages and a normal close", func(t *testing.T) {
		p := s.live(t, "live/a", "h264_aac.flv")
		c := dial(t, s, "/flv/live/a.flv")
		p.send(-1)
		p.end()
		var body bytes.Buffer
		for {
			typ, b, err := c.Read(t.Context())
			if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
				break
			}
			if err != nil || typ != websocket.MessageBinary {
				t.Fatalf("message of type %v, %v", typ, err)
			}
			body.Write(b)
		}
		if h, tags := readTags(t, &body); !h.Audio || !h.Video || len(tags) < 200 {
			t.Errorf("header %+v and %d tags", h, len(tags))
		}
	})
	t.Run("are removed when they say goodbye", func(t *testing.T) {
		s.live(t, "live/b", "h264_aac.flv")
		c := dial(t, s, "/flv/live/b")
		eventually(t, "there is a viewer", func() bool { return s.sessions.Count(session.Viewer, "live/b") == 1 })
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("closing: %v", err)
		}
		eventually(t, "the viewer is gone", func() bool { return s.sessions.Count(session.Viewer, "live/b") == 0 })
	})
	t.Run("are answered when they ping", func(t *testing.T) {
		s.live(t, "live/c", "h264_aac.flv")
		c := dial(t, s, "/flv/live/c")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, _, err := c.Read(t.Context()); err != nil {
					return
				}
			}
		}()
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("no pong: %v", err)
		}
		_ = c.CloseNow()
		<-done
	})
	t.Run("are removed when they talk nonsense", func(t *testing.T) {
		s.live(t, "live/d", "h264_aac.flv")
		conn, r := s.raw(t, "GET /flv/live/d HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		if _, err := conn.Write([]byte{0x82, 0x01, 'x'}); err != nil { // not masked
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || !bytes.Contains(b, []byte{0x03, 0xea}) {
			t.Errorf("no close frame with code 1002 at the end (%v)", err)
		}
	})
}

func TestShutdownTellsWebSocketClientsToGoAway(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	c := dial(t, s, "/flv/live/test")
	go s.stop()
	for {
		if _, _, err := c.Read(t.Context()); err != nil {
			if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
				t.Errorf("closed with %v, %v", got, err)
			}
			return
		}
	}
}

func TestAWrongUpgradeIsAnsweredByHTTP(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	whole := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	without := func(i int, instead ...string) []string {
		lines := append([]string{"GET /flv/live/test HTTP/1.1", "Host: x"}, whole[:i]...)
		return append(append(lines, instead...), whole[i+1:]...)
	}
	for name, tc := range map[string]struct {
		lines  []string
		status int
	}{
		"another protocol":     {without(0, "Upgrade: h2c"), http.StatusBadRequest},
		"no Connection header": {without(1), http.StatusBadRequest},
		"an old version":       {without(2, "Sec-WebSocket-Version: 8"), http.StatusUpgradeRequired},
		"no key":               {without(3), http.StatusBadRequest},
		"a short key":          {without(3, "Sec-WebSocket-Key: x"), http.StatusBadRequest},
		"HTTP/1.0":             {append([]string{"GET /flv/live/test HTTP/1.0"}, whole...), http.StatusBadRequest},
		"an absent stream":     {append([]string{"GET /flv/live/none?wait=10ms HTTP/1.1", "Host: x"}, whole...), http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := s.raw(t, tc.lines...)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			problem(t, resp, tc.status)
		})
	}
}

func TestTheFirstMessageHoldsHeaderMetadataAndConfigurations(t *testing.T) {
	s := newServer(t)
	s.live(t, "live/test", "h264_aac.flv")
	c := dial(t, s, "/flv/live/test")
	_, b, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, tags := readTags(t, bytes.NewReader(b))
	var types []uint8
	for _, tag := range tags {
		types = append(types, tag.Type)
	}
	if !bytes.Equal(types, []byte{flv.TagScript, flv.TagVideo, flv.TagAudio}) {
		t.Errorf("tags of the types %v", types)
	}
}
