package rtmpd_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/memtest"
	"sluice/internal/rtmpd"
	"sluice/rtmp"
)

// It is not parallel, for it measures.
func TestCase029AnnouncedBytesAreNotAllocatedAndWaitedForInTime(t *testing.T) {
	for name, tt := range map[string]struct {
		length string
		took   time.Duration
		reason string
	}{
		"more than is taken": {"\xff\xff\xff", 0, "limit_exceeded"},
		"the most":           {"\x80\x00\x00", rtmpd.DefaultConfig().IdleTimeout.D(), "idle"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t, rtmpd.DefaultConfig(), nil)
				c := encoder(t, h, "cam1")
				c.live(t, h, "live/cam1")
				large := rtmp.Control(rtmp.TypeSetChunkSize, 0x7fffffff)
				c.send(t, large.Type, 0, large.Body)
				synctest.Wait()
				start, said := time.Now(), time.Duration(0)
				size := memtest.Allocated(func() {
					// A video message of which a kilobyte comes.
					_, _ = c.Write(append([]byte("\x06\x00\x00\x00"+tt.length+"\x09\x01\x00\x00\x00"), make([]byte, 1024)...))
					for m := range c.heard { // the server says why, and then lets a moment pass
						if m.Type == rtmp.TypeCommand {
							said = time.Since(start)
						}
					}
				})
				if said > tt.took || said < tt.took-tt.took/10 {
					t.Errorf("the end is said after %v, want %v", said, tt.took)
				}
				if size > 64<<10 {
					t.Errorf("1 KiB costs %d bytes", size)
				}
				synctest.Wait()
				if got := h.log.reasons(t, "session ended"); !slices.Equal(got, []string{tt.reason}) {
					t.Errorf("reasons %q, want %q", got, tt.reason)
				}
			})
		})
	}
}

// This is the part of case 34 that takes its time: whatever comes, at whatever stage,
// the connection ends in that which the stage has.
func TestRandomBytesEndTheConnectionInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := rtmpd.DefaultConfig()
		h := open(t, cfg, nil)
		rng := rand.New(rand.NewPCG(34, 2))
		most := max(cfg.HandshakeTimeout.D(), cfg.PublishTimeout.D(), cfg.IdleTimeout.D(), cfg.Play.Wait.D()) + 2*time.Second
		for i := range 300 {
			c := shake(t, h.dial("127.0.0.1:50000"))
			if stage := i % 3; stage > 0 {
				c.connect(t, "live")
				if stage > 1 {
					c.publish(t, fmt.Sprintf("cam%d", i))
				}
			}
			b := make([]byte, rng.IntN(4096))
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			if i%2 == 0 && len(b) > 0 {
				b[0] = 3 // the chunk stream of commands, with a full header
			}
			_, _ = c.Write(b) // the server may have enough before it has all
			if took := c.closed(); took > most {
				t.Errorf("stage %d: %x… is closed after %v", i%3, b[:min(16, len(b))], took)
			}
		}
		synctest.Wait()
		if n := len(h.log.lines(t, "recovered from a panic")); n > 0 {
			t.Errorf("%d panics", n)
		}
	})
}
