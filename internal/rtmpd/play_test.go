package rtmpd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/internal/conf"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/rtmp"
)

// player connects, and asks to play a name in the application "live".
func player(t *testing.T, h *house, name string) *client {
	t.Helper()
	c := shake(t, h.dial("127.0.0.1:50001"))
	c.connect(t, "live")
	c.call(t, "createStream")
	c.call(t, "play", name, -2000)
	return c
}

// say sends a command, or what is none.
func (c *client) say(values ...any) error {
	if len(values) > 0 {
		values = append([]any{values[0], 9, nil}, values[1:]...)
	}
	body, err := amf0.AppendAll(nil, values...)
	if err != nil {
		return err
	}
	return c.w.Write(rtmp.Message{Type: rtmp.TypeCommand, StreamID: 1, ChunkStream: 4, Body: body})
}

// picture is a frame of H.264, a key frame or not.
func picture(key bool, n int) []byte {
	b := []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, byte(n)}
	if key {
		b[0], b[9] = 0x17, 0x65
	}
	return b
}

func videoConfig() []byte {
	return []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 0, 1, 0, 0}
}

// film publishes the beginning of a stream with picture and sound as live/cam1.
func film(t *testing.T, h *house) *client {
	t.Helper()
	c := encoder(t, h, "cam1")
	c.send(t, rtmp.TypeVideo, 0, videoConfig())
	c.send(t, rtmp.TypeVideo, 0, picture(true, 0))
	c.send(t, rtmp.TypeAudio, 0, sound())
	if _, err := h.deps.Streams.Wait(t.Context(), "live/cam1"); err != nil {
		t.Fatal(err)
	}
	return c
}

// line says what a message is, in a word or two.
func line(t *testing.T, m rtmp.Message) string {
	t.Helper()
	switch m.Type {
	case rtmp.TypeUserControl:
		u, err := rtmp.ParseUserControl(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("event %d of %d", u.Event, u.Value)
	case rtmp.TypeData, rtmp.TypeCommand:
		values, err := amf0.DecodeAll(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m.Type == rtmp.TypeData {
			return fmt.Sprintf("%v %T", values[0], values[1])
		}
		code, _ := amf0.Properties(values[len(values)-1]).Get("code")
		return fmt.Sprintf("%v %v on %d", values[0], code, m.StreamID)
	case rtmp.TypeAudio, rtmp.TypeVideo:
		return fmt.Sprintf("%d at %d: %x on %d", m.Type, m.Timestamp, m.Body[:min(2, len(m.Body))], m.StreamID)
	}
	return fmt.Sprintf("type %d", m.Type)
}

// until returns what the server says from the answer to createStream on, up to
// and with a line that begins so, or to the end of the connection.
func (c *client) until(t *testing.T, last string) []string {
	t.Helper()
	var out []string
	for m := range c.heard {
		l := line(t, m)
		if m.Type == rtmp.TypeCommand && strings.HasPrefix(l, "_result") {
			continue
		}
		out = append(out, l)
		if last != "" && strings.HasPrefix(l, last) {
			break
		}
	}
	return out
}

func TestCase062PlayIsAnsweredInTheOrderThatPlayersNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		pub := film(t, h)
		pub.send(t, rtmp.TypeVideo, 40, picture(false, 1))
		synctest.Wait()
		c := player(t, h, "cam1")
		got := c.until(t, "9 at 40")
		pub.send(t, rtmp.TypeVideo, 80, picture(false, 2))
		got = append(got, c.until(t, "9 at 80")...)
		pub.call(t, "deleteStream", 1)
		got = append(got, c.until(t, "")...)
		want := []string{
			"event 0 of 1",
			"onStatus NetStream.Play.Reset on 1",
			"onStatus NetStream.Play.Start on 1",
			"|RtmpSampleAccess bool",
			"onMetaData amf0.ECMAArray",
			"9 at 0: 1700 on 1",
			"9 at 0: 1701 on 1",
			"8 at 0: 72 on 1",
			"9 at 40: 2701 on 1",
			"9 at 80: 2701 on 1",
			"event 1 of 1",
			"onStatus NetStream.Play.UnpublishNotify on 1",
		}
		for i := range want {
			if want[i] == "8 at 0: 72 on 1" {
				want[i] = fmt.Sprintf("8 at 0: %x on 1", sound()[:2])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the player hears otherwise (-want +got):\n%s", diff)
		}
		synctest.Wait()
		if reasons := h.log.reasons(t, "session ended"); !slices.Equal(reasons, []string{"unpublished", "unpublished"}) {
			t.Errorf("sessions ended with %q", reasons)
		}
	})
}

func TestResetOfAPlayCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		film(t, h)
		c := shake(t, h.dial("127.0.0.1:50001"))
		c.connect(t, "live")
		c.call(t, "play", "cam1", -2000, -1, false)
		if code, _ := c.status(t); code != rtmp.CodePlayStart {
			t.Errorf("play is answered with %q", code)
		}
	})
}

func TestCase061PlayOfAnAbsentStreamWaitsForItsPublisher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		for name, wait := range map[string]time.Duration{"cam1": 5 * time.Second, "cam1?wait=0s": 0, "cam1?wait=7s": 7 * time.Second} {
			start := time.Now()
			c := player(t, h, name)
			code, text := c.status(t)
			if code != rtmp.CodePlayNotFound || text != "nobody publishes live/cam1" || time.Since(start) != wait {
				t.Errorf("%s: answered with %q, %q after %v", name, code, text, time.Since(start))
			}
			c.closed()
		}
		if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"not_live", "not_live", "not_live"}) {
			t.Errorf("connections ended with %q", got)
		}

		c := player(t, h, "cam1")
		synctest.Wait()
		film(t, h)
		if got := c.until(t, "9 at 0: 1701"); !slices.Contains(got, "onStatus NetStream.Play.Start on 1") {
			t.Errorf("a player that waited hears %q", got)
		}
	})
}

func TestPlayerThatWaitsIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := player(t, h, "cam1?wait=60s")
		c.send(t, rtmp.TypeUserControl, 0, []byte{0, 6, 0, 0, 0, 9}) // a ping
		start := time.Now()
		if got := c.until(t, "event 7"); !slices.Equal(got, []string{"event 7 of 9"}) || time.Since(start) > time.Second {
			t.Errorf("a ping is answered with %q after %v", got, time.Since(start))
		}
		c.Close()
		synctest.Wait()
		gone := player(t, h, "cam1?wait=60s")
		gone.send(t, rtmp.TypeCommand, 0, []byte{9})
		gone.closed()
		if time.Since(start) > time.Second {
			t.Errorf("noticed after %v", time.Since(start))
		}
		if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"protocol_error"}) {
			t.Errorf("connections ended with %q", got) // that of the first is not worth a line
		}
	})
}

func TestPlayersThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.Play.MaxWaiting, cfg.MaxPending = 4, 1
		h := open(t, cfg, nil)
		wait := func(from string) *client {
			c := shake(t, h.dial(from))
			c.connect(t, "live")
			c.call(t, "play", "cam1?wait=60s")
			synctest.Wait()
			return c
		}
		refused := func(from, why string) {
			t.Helper()
			c := wait(from)
			if code, text := c.status(t); code != rtmp.CodePlayFailed || !strings.Contains(text, why) {
				t.Errorf("a player from %s is told %q, %q", from, code, text)
			}
			c.closed()
		}
		in := []*client{wait("192.0.2.1:50001"), wait("192.0.2.1:50002")}
		refused("192.0.2.1:50003", "of this address, which may have half of rtmp.play.max_waiting")
		in = append(in, wait("127.0.0.1:50001"), wait("192.0.2.2:50001"))
		refused("192.0.2.3:50001", "rtmp.play.max_waiting is 4")
		film(t, h)
		for i, c := range in {
			if code, _ := c.status(t); code != rtmp.CodePlayReset {
				t.Errorf("player %d, which waited, is told %q", i, code)
			}
		}
		for range 3 { // nobody waits any more
			wait("192.0.2.1:50004").until(t, "onStatus NetStream.Play.Start")
		}
	})
}

func TestParametersOfAPlay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		film(t, h)
		encoder(t, h, "sound").live(t, h, "live/sound")
		for name, want := range map[string]string{
			"cam1?join=later":  `a parameter cannot be understood: join="later": expected gop, edge or next`,
			"cam1?wait=1h":     `a parameter cannot be understood: wait="1h": expected a duration from 0s to 60s`,
			"cam1?audio=maybe": `a parameter cannot be understood: audio="maybe": expected on or off`,
			"sound?audio=off":  "nothing of the stream is left in what was asked for: no track of the stream is left",
			"..":               `the stream path breaks a rule: bad stream path: a segment ".."`,
		} {
			c := player(t, h, name)
			if code, text := c.status(t); code != rtmp.CodePlayFailed || text != want {
				t.Errorf("%s is answered with %q, %q", name, code, text)
			}
			if took := c.closed(); took > time.Second {
				t.Errorf("%s: closed after %v", name, took)
			}
		}
		got := player(t, h, "cam1?audio=off&join=gop&_=1").until(t, "9 at 0: 1701")
		if slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "8 ") }) {
			t.Errorf("without sound: %q", got)
		}
	})
}

func TestPlayersEndInTheirOwnWay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end    func(h *house, c *client) error
		reason string
		last   string
	}{
		"it hangs up":   {func(_ *house, c *client) error { return c.Close() }, "peer_gone", ""},
		"it has enough": {func(_ *house, c *client) error { return c.say("deleteStream", 1) }, "peer_closed", ""},
		"it is kicked": {func(h *house, _ *client) error {
			all := h.deps.Sessions.All()
			return h.deps.Sessions.Kick(all[len(all)-1].Info().ID, session.ErrKicked)
		}, "kicked", "onStatus NetStream.Play.Failed on 1"},
		"it breaks the protocol": {func(_ *house, c *client) error { return c.say() }, "protocol_error", "onStatus NetStream.Play.Failed on 1"},
		"the server shuts down":  {func(h *house, _ *client) error { h.stop(); return nil }, "shutdown", "onStatus NetStream.Play.UnpublishNotify on 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := open(t, rtmpd.DefaultConfig(), nil)
				film(t, h)
				c := player(t, h, "cam1")
				c.until(t, "8 at 0")
				if err := tt.end(h, c); err != nil {
					t.Fatal(err)
				}
				got := append([]string{""}, c.until(t, "")...)
				if last := got[len(got)-1]; last != tt.last {
					t.Errorf("the player's last word is %q, want %q", last, tt.last)
				}
				synctest.Wait()
				reasons := h.log.reasons(t, "session ended")
				if !slices.Contains(reasons, tt.reason) {
					t.Errorf("sessions ended with %q, want one %s", reasons, tt.reason)
				}
			})
		})
	}
}

func TestPlayersDoNotCountAmongTheConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.MaxConnections = 2
		h := open(t, cfg, nil)
		film(t, h)
		for range 5 {
			player(t, h, "cam1").until(t, "8 at 0")
		}
		if n := h.deps.Sessions.Count(session.Viewer, "live/cam1"); n != 5 {
			t.Errorf("%d players", n)
		}
	})
}

func TestPlaySectionIsChecked(t *testing.T) {
	t.Parallel()
	cfg := rtmpd.DefaultConfig()
	cfg.TLS.Cert = "cert.pem"
	cfg.Play = rtmpd.PlayConfig{Wait: conf.Duration(time.Hour), MaxWaiting: -1}
	err := cfg.Validate()
	for _, want := range []string{
		"tls.listen: needed", "play.max_lag: must be positive", "play.wait: at most 1m", "play.write_timeout: at least 1s",
		"play.max_waiting: must not be negative", "play.stream_memory: at least 1MiB",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() error = %v, without %q", err, want)
		}
	}
	cfg = rtmpd.DefaultConfig()
	cfg.TLS.Listen = ":1936"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "tls.cert: needed") || !strings.Contains(err.Error(), "tls.key: needed") {
		t.Errorf("Validate() error = %v", err)
	}
}

func TestPlayersGoOnWithAPublisherThatComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		pub := film(t, h)
		c := player(t, h, "cam1")
		c.until(t, "8 at 0")
		pub.Close() // without a word
		synctest.Wait()
		late := player(t, h, "cam1?wait=30s")
		synctest.Wait()
		again := film(t, h)
		again.send(t, rtmp.TypeVideo, 40, picture(false, 1))
		got := c.until(t, "9 at")
		if len(got) == 0 || strings.Contains(strings.Join(got, "\n"), "onStatus") {
			t.Errorf("the player hears %q", got)
		}
		if got := late.until(t, "9 at"); !slices.Contains(got, "onStatus NetStream.Play.Start on 1") {
			t.Errorf("one that came meanwhile hears %q", got)
		}
		if n := h.deps.Sessions.Count(session.Viewer, "live/cam1"); n != 2 {
			t.Errorf("%d players", n)
		}
	})
}
