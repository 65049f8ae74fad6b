package rtmpd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/conf"
	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/rtmp"
)

// hello is C0 and C1 of a client that signs nothing.
func hello() []byte { return append([]byte{3}, make([]byte, 1536)...) }

func TestCase007SlowHandshakeWorksAndStalledOneIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		slow := h.dial("127.0.0.1:50000")
		defer slow.Close()
		for _, b := range hello() {
			if _, err := slow.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
		if _, err := io.ReadFull(slow, make([]byte, 3073)); err != nil {
			t.Errorf("the slow handshake was not answered: %v", err)
		}

		stalled := h.dial("127.0.0.1:50001")
		defer stalled.Close()
		if _, err := stalled.Write(hello()[:700]); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := stalled.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, io.EOF) || took > 10*time.Second {
			t.Errorf("the stalled handshake ended with %v after %v", err, took)
		}

		// Progress alone keeps nobody in for ever.
		drip, start := h.dial("127.0.0.1:50002"), time.Now()
		defer drip.Close()
		for _, b := range hello() {
			if _, err = drip.Write([]byte{b}); err != nil {
				break
			}
			<-time.After(time.Second)
		}
		if took := time.Since(start); err == nil || took > 21*time.Second {
			t.Errorf("a byte per second ended with %v after %v", err, took)
		}
		synctest.Wait()
		want := []string{"handshake_timeout", "handshake_timeout", "handshake_timeout"} // the slow one sent no C2
		if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, want) {
			t.Errorf("reasons %q, want %q", got, want)
		}
	})
}

// It counts goroutines and descriptors, and so runs alone.
func TestCase010ClientThatLeavesInTheHandshakeLeaksNothing(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open(t, rtmpd.DefaultConfig(), ln)
	served, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	shake(t, served) // so that all of the server runs
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	for range 10_000 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(hello()); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	for limit := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		g, d := runtime.NumGoroutine(), openFiles(t)
		if g <= goroutines && d <= descriptors {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d goroutines and %d descriptors, %d and %d before", g, d, goroutines, descriptors)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no list of descriptors on this system: %v", err)
	}
	return len(all) - 1 // but for the folder itself
}

func TestCase067PublisherThatNeverAnswersPingsStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		for ms := uint32(1000); ms < 600_000; ms += 500 {
			c.send(t, rtmp.TypeAudio, ms, sound())
			<-time.After(500 * time.Millisecond)
		}
		if s.Err() != nil || h.deps.Streams.Find("live/cam1") != s {
			t.Errorf("the stream ended: %v", s.Err())
		}
		for len(c.heard) > 0 { // whatever came, nobody has answered it
			if m := <-c.heard; m.Type == rtmp.TypeUserControl {
				t.Logf("the server sent %x", m.Body)
			}
		}
		if n := h.deps.Sessions.Count(session.Publisher, "live/cam1"); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

func TestCase071IdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, h *house) *client
		least   time.Duration
		most    time.Duration
		reason  string
		session bool
	}{
		"handshake only": {func(t *testing.T, h *house) *client {
			t.Helper()
			return shake(t, h.dial("127.0.0.1:50000"))
		}, 9 * time.Second, 10 * time.Second, "handshake_timeout", false},
		"connected": {func(t *testing.T, h *house) *client {
			t.Helper()
			c := shake(t, h.dial("127.0.0.1:50000"))
			c.connect(t, "live")
			return c
		}, 9 * time.Second, 10 * time.Second, "handshake_timeout", false},
		"no media": {func(t *testing.T, h *house) *client {
			t.Helper()
			c := encoder(t, h, "cam1")
			c.send(t, rtmp.TypeData, 0, []byte("\x02\x00\x0aonMetaData\x05")) // is none
			return c
		}, 14 * time.Second, 20 * time.Second, "no_media", true},
		"silence": {func(t *testing.T, h *house) *client {
			t.Helper()
			c := encoder(t, h, "cam1")
			c.live(t, h, "live/cam1")
			c.call(t, "_checkbw") // is no media either
			return c
		}, 9 * time.Second, 10 * time.Second, "idle", true},
		"half a message": {func(t *testing.T, h *house) *client {
			t.Helper()
			c := encoder(t, h, "cam1")
			c.live(t, h, "live/cam1")
			// Its header promises a megabyte.
			if _, err := c.Write([]byte{6, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0, 0x27, 1}); err != nil {
				t.Fatal(err)
			}
			return c
		}, 9 * time.Second, 10 * time.Second, "idle", true},
		"after unpublish": {func(t *testing.T, h *house) *client {
			t.Helper()
			c := encoder(t, h, "cam1")
			c.live(t, h, "live/cam1")
			c.call(t, "FCUnpublish", "cam1")
			return c
		}, 9 * time.Second, 10 * time.Second, "unpublished", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := open(t, rtmpd.DefaultConfig(), nil)
				c := tt.prepare(t, h)
				took := c.closed()
				// What the server says at the end is given a second.
				if took < tt.least || took > tt.most+time.Second {
					t.Errorf("closed after %v, want %v to %v", took, tt.least, tt.most)
				}
				synctest.Wait()
				msg := "connection ended"
				if tt.session {
					msg = "session ended"
				}
				if got := h.log.reasons(t, msg); !slices.Equal(got, []string{tt.reason}) {
					t.Errorf("reasons %q, want %q", got, tt.reason)
				}
				if s := h.deps.Streams.Find("live/cam1"); s != nil {
					t.Error("the stream is still live")
				}
			})
		})
	}
}

func TestSilentPublisherFreesItsPathInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.IdleTimeout, cfg.ReconnectWindow = conf.Duration(3*time.Second), 0
		h := open(t, cfg, nil)
		s := encoder(t, h, "cam1").live(t, h, "live/cam1")
		start := time.Now()
		err := ended(t, s)
		if took := time.Since(start); !errors.Is(err, rtmpd.ErrIdle) || took > 3*time.Second {
			t.Errorf("the stream ended with %v after %v", err, took)
		}
		encoder(t, h, "cam1")
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.MaxConnections, cfg.MaxPending = 12, 3
		h := open(t, cfg, nil)
		refused := func(from string) bool {
			conn := h.dial(from)
			t.Cleanup(func() { conn.Close() })
			if _, err := conn.Write([]byte{3}); err != nil {
				return true
			}
			synctest.Wait()
			return false
		}
		for i := range 3 {
			if refused(fmt.Sprintf("192.0.2.1:%d", 50000+i)) {
				t.Errorf("connection %d of an address was refused", i+1)
			}
		}
		if !refused("192.0.2.1:50009") || !refused("[::ffff:192.0.2.1]:50009") {
			t.Error("a fourth connection of that address was let in")
		}
		for i := range 3 {
			if refused(fmt.Sprintf("[2001:db8::%d]:50000", i)) {
				t.Errorf("connection %d of a network was refused", i+1)
			}
		}
		if !refused("[2001:db8::9]:50000") {
			t.Error("a fourth connection of that network was let in")
		}
		for i := range 6 {
			if refused(fmt.Sprintf("127.0.0.1:%d", 50000+i)) {
				t.Errorf("connection %d of this machine was refused", i+1)
			}
		}
		if !refused("127.0.0.1:50009") || !refused("203.0.113.1:50009") {
			t.Error("a 13th connection was let in")
		}
		want := slices.Repeat([]string{"too_many_connections"}, 5)
		if got := h.log.reasons(t, "connection refused"); !slices.Equal(got, want) {
			t.Errorf("reasons %q, want %q", got, want)
		}
		<-time.After(15 * time.Second) // all of them are given up
		if refused("192.0.2.1:50000") {
			t.Error("a connection was refused although all others are closed")
		}
		ends := h.deps.Sessions.Ends()
		full, late := ends[session.End{Proto: "rtmp", Reason: "too_many_connections"}], ends[session.End{Proto: "rtmp", Reason: "handshake_timeout"}]
		if full != 5 || late != 12 {
			t.Errorf("counted %v", ends)
		}
	})
}

func TestPublisherIsNotPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		cfg.MaxPending = 1
		h := open(t, cfg, nil)
		for i := range 3 {
			c := shake(t, h.dial("192.0.2.1:50000"))
			c.connect(t, "live")
			if code, text := c.publish(t, fmt.Sprintf("cam%d", i)); code != rtmp.CodePublishStart {
				t.Errorf("publisher %d is answered with %q, %q", i, code, text)
			}
			if i == 2 { // until it ends its stream, twice as well as once
				c.call(t, "deleteStream", 1)
				c.publish(t, "cam2")
				c.call(t, "deleteStream", 1)
				synctest.Wait()
			}
		}
		late := h.dial("192.0.2.1:50009")
		defer late.Close()
		if _, err := late.Write([]byte{3}); err == nil {
			t.Error("a second connection that does not publish was let in")
		}
	})
}

func TestRefusedConnectionsFillNoLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		knock := func() {
			conn := h.dial("127.0.0.1:50000")
			defer conn.Close()
			if _, err := conn.Write([]byte{0x16}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 7)); err != nil {
				t.Fatalf("a TLS hello is answered without an alert: %v", err)
			}
		}
		for range 100 {
			knock()
		}
		<-time.After(2 * time.Second)
		knock()
		synctest.Wait()
		lines := h.log.lines(t, "connection ended")
		if len(lines) != 11 || lines[10]["skipped"] != 90.0 {
			t.Errorf("%d lines, the last %v; want 11, and 90 skipped", len(lines), lines[len(lines)-1])
		}
	})
}

func TestListenerThatFailsForAWhileIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		for range 3 {
			h.errs <- errors.New("too many open files")
		}
		encoder(t, h, "cam1")
		if got := h.log.lines(t, "accepting a connection"); len(got) != 3 {
			t.Errorf("%d lines about it, want 3", len(got))
		}
	})
}
