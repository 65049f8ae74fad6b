package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/stream"
)

func TestCase128AGOPOfAMinuteStaysWithinTheLimits(t *testing.T) {
	for _, gop := range []uint32{1000, 60_000} {
		t.Run(fmt.Sprintf("%d ms", gop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := stream.DefaultLimits()
				limits.WindowBytes = 1 << 20
				r := stream.NewRegistry(limits)
				p := publish(t, r)
				write(t, p, avcConfig(1), aacConfig(1), key(0), aac(0))
				s := find(t, r)
				for at := uint32(40); at < 130_000; at += 40 {
					pkt := inter(at)
					if at%gop == 0 {
						pkt = key(at)
					}
					write(t, p, sized(pkt, 5000), aac(at)) // 1 Mbit/s
					if at%1000 == 0 {
						checkBeginning(t, tap(t, s), limits)
					}
				}
				v := tap(t, s)
				short := gop == 1000
				if (v.window > 0) != short {
					t.Errorf("%d packets in the window at the end of the GOP", v.window)
				}
				v.packets = nil
				write(t, p, inter(130_000), key(130_040))
				if w := tap(t, s); len(w.packets) != 1 || !w.packets[0].Key || len(v.packets) != 2 {
					t.Errorf("behind the next key frame a viewer begins with %v", w.names())
				}
			})
		})
	}
}

// checkBeginning checks what a new viewer is given.
func checkBeginning(t *testing.T, v *viewer, limits stream.Limits) {
	t.Helper()
	defer v.detach()
	bytes := 0
	for _, p := range v.packets {
		bytes += len(p.Body)
	}
	if bytes > limits.WindowBytes {
		t.Errorf("%d bytes in the window", bytes)
	}
	if len(v.packets) > 0 && !v.packets[0].Key {
		t.Errorf("the window begins with %v", name(v.packets[0]))
	}
}

// TestCase130 runs a publisher through the whole of its clock, and timelines to
// their end, five minutes with each step.
func TestCase130ClocksPassTheirLimitsAndTimelinesEndBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const begin = 1<<31 - 12*3_600_000 // half a day before 2^31
		const step = 5 * time.Minute
		const days = 52 // past 2^31 and 2^32, and past the end of two timelines
		r := newRegistry()
		p, s := live(t, r, begin)
		v := tap(t, s)
		at, last, streams := uint32(begin), time.Duration(0), 1
		for range days * 24 * time.Hour / step {
			pass(step)
			at += uint32(step.Milliseconds())
			v.packets = nil
			write(t, p, key(at), aac(at), inter(at+40), aac(at+23))
			if s.Err() == nil {
				last += step
				if got := v.names(); got[0] != fmt.Sprintf("key %d", last.Milliseconds()) || len(got) != 4 {
					t.Fatalf("at %d of the publisher's clock: %v, want a key frame at %v", at, got, last)
				}
				continue
			}
			if !errors.Is(s.Err(), stream.ErrTimeline) || last >= (1<<31)*time.Millisecond || last < 24*24*time.Hour {
				t.Fatalf("it ended with %v at %v", s.Err(), last)
			}
			streams++
			s, last = find(t, r), 0
			v = tap(t, s)
		}
		if streams != 3 {
			t.Errorf("%d streams in %d days, want 3", streams, days)
		}
	})
}
