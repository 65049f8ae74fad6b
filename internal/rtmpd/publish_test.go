package rtmpd_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/internal/module"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
	"sluice/rtmp"
)

// script is the body of a data message.
func script(t *testing.T, values ...any) []byte {
	t.Helper()
	b, err := amf0.AppendAll(nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCase052NewestMetadataIsKeptAndRelayedOncePerChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		w := watch(t, c.live(t, h, "live/cam1"))
		width := func(v int) []amf0.Property { return []amf0.Property{{Key: "width", Value: v}} }
		var want [][]byte
		for i, values := range [][]any{
			{"onMetaData", amf0.Object(width(1))},
			{"@setDataFrame", "onMetaData", amf0.ECMAArray(width(2))},
			{"@setDataFrame", "onMetaData", amf0.ECMAArray(width(2))},
			{"onMetaData", amf0.ECMAArray(width(2))},
			{"@clearDataFrame", "onMetaData"},
			{"onMetaData", amf0.ECMAArray(width(3))},
		} {
			body := script(t, values...)
			c.send(t, rtmp.TypeData, uint32(5000+i), body)
			if i == 0 || i == 1 || i == 5 {
				want = append(want, bytes.TrimPrefix(body, []byte("\x02\x00\x0d@setDataFrame")))
			}
		}
		synctest.Wait()
		var got [][]byte
		for _, p := range w.all() {
			if p.Type != media.Metadata {
				continue
			}
			if p.DTS != 0 {
				t.Errorf("metadata at %v, want 0", p.DTS)
			}
			got = append(got, p.Body)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("relayed %q, want %q", got, want)
		}
		if m := h.deps.Streams.Find("live/cam1").Metadata(); m == nil || !bytes.Equal(m.Body, want[2]) {
			t.Errorf("kept %v, want the last", m)
		}
	})
}

func TestOddMetadataIsKeptOrDroppedAndEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		bodies := [][]byte{
			script(t, "onMetaData", amf0.ECMAArray{{Key: "", Value: 1}, {Key: "width", Value: math.NaN()}, {Key: "height", Value: math.Inf(1)}}),
			script(t, "onMetaData", amf0.ECMAArray{{Key: "encoder", Value: strings.Repeat("x", 70<<10)}}),
			[]byte("\x02\x00\x0aonMetaData\x0a\xff\xff\xff\xff"),
			[]byte("\x02\x00\x0aonMetaData" + strings.Repeat("\x0a\x00\x00\x00\x01", 10_000)),
			{},
			{0xff},
		}
		for _, body := range bodies {
			c.send(t, rtmp.TypeData, 6000, body)
			c.send(t, rtmp.TypeAudio, 6000, sound())
			synctest.Wait()
			if s.Err() != nil {
				t.Fatalf("metadata %.40x… ended the stream: %v", body, s.Err())
			}
			m := s.Metadata()
			if m == nil || !slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Equal(b, m.Body) }) {
				t.Errorf("after %.40x… the metadata is %v", body, m)
			}
		}
	})
}

func TestCase058NamesAreRefusedOrMadeCanonical(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 300)
	for name, want := range map[string]string{
		"..":                        "",
		"a/../b":                    "",
		"%2e%2e":                    "",
		"a%2fb":                     "",
		"a%00b":                     "",
		"a\x00b":                    "",
		"a b":                       "",
		"a\\b":                      "",
		"a%zz":                      "",
		"<b>":                       "",
		"e\u0301":                   "",
		"\xff":                      "",
		long:                        "",
		"mp4:cam1.mp4":              "live/cam1.mp4",
		"客厅":                        "live/客厅",
		"34020000001320000001@3402": "live/34020000001320000001@3402",
		"cam1.flv":                  "live/cam1",
		"/cam1/":                    "live/cam1",
		"cam%31":                    "live/cam1",
		"":                          "live",
	} {
		synctest.Test(t, func(t *testing.T) {
			h := open(t, rtmpd.DefaultConfig(), nil)
			c := shake(t, h.dial("127.0.0.1:50000"))
			c.connect(t, "live")
			code, text := c.publish(t, name)
			if want == "" {
				if code != rtmp.CodePublishBadName || !strings.Contains(text, "bad stream path: ") && !strings.Contains(text, "bad stream name: ") {
					t.Errorf("%q is answered with %q, %q", name, code, text)
				}
				if took := c.closed(); took > time.Second {
					t.Errorf("%q: closed after %v", name, took)
				}
				synctest.Wait()
				if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"bad_path"}) {
					t.Errorf("%q: reasons %q", name, got)
				}
				return
			}
			if code != rtmp.CodePublishStart {
				t.Fatalf("%q is answered with %q, %q", name, code, text)
			}
			if got := h.deps.Sessions.All()[0].Info().Stream; got != want {
				t.Errorf("%q is published as %q, want %q", name, got, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := shake(t, h.dial("127.0.0.1:50000"))
		c.connect(t, "record")
		if code, text := c.publish(t, "cam1"); code != rtmp.CodePublishBadName || !strings.Contains(text, "reserved") {
			t.Errorf("record/cam1 is answered with %q, %q", code, text)
		}
	})
}

func TestCase064PublisherEndsItsStreamAndBeginsAnotherOnTheSameConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		c.call(t, "FCUnpublish", "cam1")
		c.call(t, "deleteStream", 1)
		if err := ended(t, s); !errors.Is(err, stream.ErrUnpublished) {
			t.Errorf("the stream ended with %v, want %v", err, stream.ErrUnpublished)
		}
		if code, _ := c.status(t); code != rtmp.CodeUnpublished {
			t.Errorf("FCUnpublish is answered with %q", code)
		}
		<-time.After(5 * time.Second)
		c.call(t, "createStream")
		for _, name := range []string{"cam1", "cam2"} {
			if code, text := c.publish(t, name); code != rtmp.CodePublishStart {
				t.Fatalf("%s is answered with %q, %q", name, code, text)
			}
			again := c.live(t, h, "live/"+name)
			c.call(t, "closeStream")
			if err := ended(t, again); !errors.Is(err, stream.ErrUnpublished) {
				t.Errorf("%s ended with %v, want %v", name, err, stream.ErrUnpublished)
			}
		}
		c.Close()
		synctest.Wait()
		want := []string{"unpublished", "unpublished", "unpublished"}
		if got := h.log.reasons(t, "session ended"); !slices.Equal(got, want) {
			t.Errorf("reasons %q, want %q", got, want)
		}
		if got := h.log.lines(t, "connection ended"); len(got) != 0 {
			t.Errorf("lines about the connection: %v", got)
		}
	})
}

func TestLostConnectionEndsTheStreamWithItsReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.ReconnectWindow = 0
		h := open(t, cfg, nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		c.Close()
		if err := ended(t, s); !errors.Is(err, session.ErrPeerGone) {
			t.Errorf("the stream ended with %v, want %v", err, session.ErrPeerGone)
		}
		encoder(t, h, "cam1")
	})
}

func TestKickTellsThePublisherAndFreesThePath(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		if err := h.deps.Sessions.Kick(h.deps.Sessions.All()[0].Info().ID, session.ErrKicked); err != nil {
			t.Fatal(err)
		}
		if err := ended(t, s); !errors.Is(err, session.ErrKicked) {
			t.Errorf("the stream ended with %v, want %v", err, session.ErrKicked)
		}
		if code, text := c.status(t); code != rtmp.CodePublishRejected || text != session.ErrKicked.Error() {
			t.Errorf("the publisher is told %q, %q", code, text)
		}
		c.closed()
		if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{"kicked"}) {
			t.Errorf("reasons %q, want kicked", got)
		}
	})
}

func TestShutdownEndsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		idle := h.dial("127.0.0.1:50001")
		defer idle.Close()
		start := time.Now()
		h.stop()
		if err := ended(t, s); !errors.Is(err, session.ErrShutdown) {
			t.Errorf("the stream ended with %v, want %v", err, session.ErrShutdown)
		}
		c.closed()
		if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a connection without a handshake ended with %v", err)
		}
		err := <-h.done
		h.done <- err
		if took := time.Since(start); err != nil || took > time.Second {
			t.Errorf("Run() = %v after %v", err, took)
		}
	})
}

func TestStreamThatIsEndedByOthersEndsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		c.send(t, rtmp.TypeAggregate, 0, []byte{9, 0, 0}) // cut
		if code, text := c.status(t); code != rtmp.CodePublishRejected || !strings.Contains(text, "aggregate") {
			t.Errorf("the publisher is told %q, %q", code, text)
		}
		c.closed()
		if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{"protocol_error"}) {
			t.Errorf("reasons %q, want protocol_error", got)
		}
	})
}

func TestHTTPOnTheRTMPPortIsToldWhereToGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		h.deps.Facts.Set(module.FactHTTP, "127.0.0.1:8088")
		conn := h.dial("127.0.0.1:50000")
		defer conn.Close()
		go func() { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
		b, err := io.ReadAll(conn)
		got := string(b)
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") || !strings.HasSuffix(got, "HTTP is on port 8088.\n") {
			t.Errorf("answered %q, %v", got, err)
		}
		synctest.Wait()
		lines := h.log.lines(t, "connection ended")
		if len(lines) != 1 || lines[0]["reason"] != "not_rtmp" || !strings.Contains(lines[0]["err"].(string), "HTTP") {
			t.Errorf("logged %v", lines)
		}
	})
}

func TestOtherProtocolsOnTheRTMPPortAreClosedAndNamed(t *testing.T) {
	t.Parallel()
	alert := map[string]string{"TLS": "\x15\x03\x01\x00\x02\x02\x28"}
	for first, name := range map[byte]string{0x16: "TLS", 0x06: "RTMPE", 0x00: "0x00"} {
		synctest.Test(t, func(t *testing.T) {
			h := open(t, rtmpd.DefaultConfig(), nil)
			conn := h.dial("127.0.0.1:50000")
			defer conn.Close()
			go func() { _, _ = conn.Write(append([]byte{first}, make([]byte, 500)...)) }()
			if b, err := io.ReadAll(conn); err != nil || string(b) != alert[name] {
				t.Errorf("%s is answered with %x, %v", name, b, err)
			}
			synctest.Wait()
			lines := h.log.lines(t, "connection ended")
			if len(lines) != 1 || lines[0]["reason"] != "not_rtmp" || !strings.Contains(lines[0]["err"].(string), name) {
				t.Errorf("logged %v", lines)
			}
		})
	}
}

func TestApplicationThatIsMissingIsRefusedAndSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := shake(t, h.dial("127.0.0.1:50000"))
		c.send(t, rtmp.TypeCommand, 0, script(t, "connect", 1, amf0.Object{}))
		if code, _ := c.status(t); code != rtmp.CodeInvalidApp {
			t.Errorf("connect is answered with %q", code)
		}
		c.closed()
		if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"bad_path"}) {
			t.Errorf("reasons %q, want bad_path", got)
		}
	})
}

func TestHealthCheckLeavesNoLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		h.dial("127.0.0.1:50000").Close()
		synctest.Wait()
		if h.log.String() != "" {
			t.Errorf("logged %s", h.log.String())
		}
	})
}

func TestStreamCarriesWhatWasPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		conn := h.dial("127.0.0.1:50000")
		defer conn.Close()
		c, err := rtmp.NewClient(t.Context(), conn, rtmp.URL{Host: "h:1935", App: "live", Name: "cam1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- c.Wait() }()
		file := flvtest.Tags(t, fixture)
		var w *tap
		for _, tag := range file {
			ms := uint32(tag.DTS.Milliseconds()) + math.MaxUint32 - 1000
			if err := c.WriteTag(tag.Type, ms, tag.Body); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if s := h.deps.Streams.Find("live/cam1"); s != nil && w == nil {
				w = watch(t, s)
			}
		}
		if err := errors.Join(c.Unpublish(), c.Close()); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err == nil {
			t.Error("Wait() ended without a reason")
		}
		if err := <-w.end; !errors.Is(err, stream.ErrUnpublished) {
			t.Errorf("the stream ended with %v", err)
		}
		sameFrames(t, w.all(), file)
		synctest.Wait()
		if got := h.log.lines(t, "session ended"); len(got) != 1 || got[0]["bytes"].(float64) < 160_000 {
			t.Errorf("logged %v", got)
		}
	})
}

// sameFrames tells whether a stream carried the frames of a file from its first
// key frame on, where a window begins, at the same distances.
func sameFrames(t *testing.T, got []*media.Packet, file []flv.Tag) {
	t.Helper()
	var want []media.Packet
	for _, tag := range file {
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Type == media.Frame && p.Kind != media.Data && (p.Key || len(want) > 0) {
			p.DTS = tag.DTS
			want = append(want, p)
		}
	}
	got = slices.DeleteFunc(got, func(p *media.Packet) bool { return p.Type != media.Frame || p.Kind == media.Data })
	for _, kind := range []media.Kind{media.Audio, media.Video} {
		of := slices.DeleteFunc(slices.Clone(got), func(p *media.Packet) bool { return p.Kind != kind })
		should := slices.DeleteFunc(slices.Clone(want), func(p media.Packet) bool { return p.Kind != kind })
		if len(of) != len(should) {
			t.Errorf("%d %v frames, want %d", len(of), kind, len(should))
			continue
		}
		for i, p := range of {
			if !bytes.Equal(p.Body, should[i].Body) || p.CTS != should[i].CTS {
				t.Fatalf("%v frame %d differs", kind, i)
			}
			if step, right := p.DTS-of[0].DTS, should[i].DTS-should[0].DTS; step != right {
				t.Fatalf("%v frame %d is %v behind the first, want %v", kind, i, step, right)
			}
		}
	}
}

func TestPortInUseIsNamedWithItsKey(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := rtmpd.DefaultConfig()
	cfg.Listen = ln.Addr().String()
	_, err = rtmpd.Describe().Build(t.Context(), cfg, module.Deps{Facts: &module.Facts{}})
	if err == nil || !strings.Contains(err.Error(), "rtmp.listen: "+cfg.Listen+" is in use") {
		t.Errorf("Build() error = %v", err)
	}
	cfg.Listen = "192.0.2.1:1935"
	_, err = rtmpd.Describe().Build(t.Context(), cfg, module.Deps{Facts: &module.Facts{}})
	if err == nil || !strings.Contains(err.Error(), "rtmp.listen") {
		t.Errorf("Build() error = %v", err)
	}
}

func TestBuildSaysWhereItListensAndToWhomItIsOpen(t *testing.T) {
	t.Parallel()
	h := open(t, rtmpd.DefaultConfig(), nil)
	if got := h.deps.Facts.Get(module.FactRTMP); got != "[::]:1935" {
		t.Errorf("listens on %q", got)
	}
	if got := h.deps.Facts.Get(module.FactOpen + "publish"); got != "anybody may publish to rtmp://*:1935/" {
		t.Errorf("open: %q", got)
	}
}

func TestConfigTellsAllItsMistakes(t *testing.T) {
	t.Parallel()
	if err := rtmpd.DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
	err := rtmpd.Config{Listen: "1935", ReconnectWindow: -1}.Validate()
	for _, key := range []string{"listen", "handshake_timeout", "publish_timeout", "idle_timeout", "max_connections", "max_pending", "reconnect_window"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("no word about %s in:\n%v", key, err)
		}
	}
	for _, listen := range []string{"", ":", ":http!", ":65536", ":-1", "a:b:c", ":000"} {
		c := rtmpd.DefaultConfig()
		c.Listen = listen
		if c.Validate() == nil {
			t.Errorf("listen %q is taken", listen)
		}
	}
}

func TestReasonsHaveLabelsOfTheirOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range rtmpd.Reasons() {
		if seen[r.Reason()] || r.Reason() == "" || r.Error() == "" {
			t.Errorf("reason %q occurs twice, or says nothing: %q", r.Reason(), r.Error())
		}
		seen[r.Reason()] = true
	}
	if len(seen) < 15 {
		t.Errorf("only %d reasons", len(seen))
	}
}
