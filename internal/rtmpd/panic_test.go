package rtmpd_test

import (
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/rtmpd"
	"sluice/internal/stream"
	"sluice/rtmp"
)

func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		first := encoder(t, h, "cam1")
		s := first.live(t, h, "live/cam1")
		if _, _, err := s.Tap(bomb{}); err != nil {
			t.Fatal(err)
		}
		second := encoder(t, h, "cam2")
		other := second.live(t, h, "live/cam2")
		first.send(t, rtmp.TypeAudio, 5000, sound())
		first.closed()
		synctest.Wait()
		if got := h.log.lines(t, "recovered from a panic"); len(got) != 1 || got[0]["stack"] == "" {
			t.Errorf("%d lines about the panic, want 1", len(got))
		}
		if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{"internal_error"}) {
			t.Errorf("reasons %q, want internal_error", got)
		}
		if other.Err() != nil {
			t.Errorf("another stream ended with %v", other.Err())
		}
		if _, err := h.deps.Streams.Publish("live/cam1"); err != nil {
			t.Errorf("the path is not free: %v", err)
		}
	})
}

// bomb panics at the first packet, and only then.
type bomb struct{ stream.Tap }

func (bomb) End(error) {}

// faulty is a connection whose next read is our bug once it is broken.
type faulty struct {
	net.Conn
	broken *atomic.Bool
}

func (f faulty) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if f.broken.Swap(false) {
		panic("a bug")
	}
	return n, err
}

func TestPanicWhileAPlayerWaitsCostsOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, rtmpd.DefaultConfig(), nil)
		other := encoder(t, h, "cam2").live(t, h, "live/cam2")
		ours, theirs := net.Pipe()
		var broken atomic.Bool
		h.conns <- faulty{remoteConn{theirs, address("127.0.0.1:50001")}, &broken}
		c := shake(t, ours)
		c.connect(t, "live")
		c.call(t, "play", "cam1?wait=60s")
		synctest.Wait()
		broken.Store(true)
		if _, err := c.Write([]byte{0xc3}); err != nil {
			t.Fatal(err)
		}
		if took := c.closed(); took > time.Second {
			t.Errorf("closed after %v", took)
		}
		synctest.Wait()
		if got := h.log.lines(t, "recovered from a panic"); len(got) != 1 || got[0]["stack"] == "" {
			t.Errorf("%d lines about the panic, want 1", len(got))
		}
		if got := h.log.reasons(t, "connection ended"); !slices.Equal(got, []string{"internal_error"}) {
			t.Errorf("reasons %q, want internal_error", got)
		}
		if other.Err() != nil {
			t.Errorf("another stream ended with %v", other.Err())
		}
	})
}
