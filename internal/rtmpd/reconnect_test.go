package rtmpd_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/rtmpd"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/rtmp"
)

func TestLostPublisherGoesOnWithItsStream(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, c *client){
		"it hangs up":         func(_ *testing.T, c *client) { c.Close() },
		"it falls silent":     func(_ *testing.T, c *client) { c.closed() },
		"it breaks the rules": func(t *testing.T, c *client) { t.Helper(); c.send(t, rtmp.TypeAggregate, 0, []byte{9, 0, 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := open(t, rtmpd.DefaultConfig(), nil)
				c := encoder(t, h, "cam1")
				s := c.live(t, h, "live/cam1")
				w := watch(t, s)
				lose(t, c)
				synctest.Wait()
				if s.State() != stream.Reconnecting {
					t.Fatalf("the stream is %s", s.State())
				}
				before := len(w.all())
				<-time.After(8 * time.Second)
				c = encoder(t, h, "cam1")
				if again := c.live(t, h, "live/cam1"); again != s || s.State() != stream.Live {
					t.Fatalf("it is another stream, the first one is %s", s.State())
				}
				synctest.Wait()
				all := w.all()
				if len(all) == before {
					t.Fatal("nothing came behind the gap")
				}
				for i := 1; i < len(all); i++ {
					if step := all[i].DTS - all[i-1].DTS; step != 20*time.Millisecond {
						t.Errorf("packet %d of %d is %v behind the one before", i, len(all), step)
					}
				}
				for _, msg := range []string{"the stream is held for its publisher", "the stream goes on with its new publisher"} {
					if got := h.log.lines(t, msg); len(got) != 1 || got[0]["stream"] != "live/cam1" {
						t.Errorf("%q: %v", msg, got)
					}
				}
			})
		})
	}
}

func TestPublisherThatIsNotLostIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		do   func(t *testing.T, h *house, c *client)
		want error
	}{
		"unpublished": {func(t *testing.T, _ *house, c *client) { t.Helper(); c.call(t, "deleteStream", 1) }, stream.ErrUnpublished},
		"kicked": {func(t *testing.T, h *house, _ *client) {
			t.Helper()
			if err := h.deps.Sessions.Kick(h.deps.Sessions.All()[0].Info().ID, session.ErrKicked); err != nil {
				t.Error(err)
			}
		}, session.ErrKicked},
		"shutdown": {func(_ *testing.T, h *house, _ *client) { h.stop() }, session.ErrShutdown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := open(t, rtmpd.DefaultConfig(), nil)
				c := encoder(t, h, "cam1")
				s := c.live(t, h, "live/cam1")
				end.do(t, h, c)
				synctest.Wait()
				if !errors.Is(s.Err(), end.want) {
					t.Errorf("the stream ended with %v, want %v", s.Err(), end.want)
				}
			})
		})
	}
}

func TestPublisherThatStaysAwayEndsItsStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		c := encoder(t, h, "cam1")
		s := c.live(t, h, "live/cam1")
		start := time.Now()
		c.Close()
		err := ended(t, s)
		if session.Label(err) != "publisher_lost" || !errors.Is(err, session.ErrPeerGone) || time.Since(start) != 10*time.Second {
			t.Errorf("the stream ended with %v after %v", err, time.Since(start))
		}
	})
}

func TestCase122LateMessagesOfAReplacedPublisherChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		old := encoder(t, h, "cam1")
		s := old.live(t, h, "live/cam1")
		w := watch(t, s)
		<-time.After(5 * time.Second)
		c := encoder(t, h, "cam1")
		// What the old one still says may or may not be read: its connection
		// is being closed.
		go func() {
			for _, name := range []string{"FCUnpublish", "deleteStream", "closeStream"} {
				_ = old.w.Write(rtmp.Message{Type: rtmp.TypeCommand, StreamID: 1, ChunkStream: 3, Body: script(t, name, 9, nil, 1)})
			}
			old.Close()
		}()
		if again := c.live(t, h, "live/cam1"); again != s {
			t.Error("it is another stream")
		}
		for ms := uint32(5000); ms < 65_000; ms += 500 {
			c.send(t, rtmp.TypeAudio, ms, sound())
			<-time.After(500 * time.Millisecond)
		}
		synctest.Wait()
		if h.deps.Streams.Find("live/cam1") != s || len(w.end) != 0 {
			t.Errorf("the stream is not live any more: %v", s.Err())
		}
		if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{"replaced"}) {
			t.Errorf("reasons %q, want replaced", got)
		}
	})
}
