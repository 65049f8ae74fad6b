package stream_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/stream"
)

func TestATimelineEndsAtAKeyFrameBefore31BitsAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stream.NewRegistry(stream.DefaultLimits())
		p, s := live(t, r, 0)
		v := tap(t, s)
		const near = 1<<31 - 9*60_000
		pass(near * time.Millisecond) // the timeline believes a pause that has really passed
		write(t, p, inter(near), aac(near))
		if s.Err() != nil {
			t.Fatalf("it ended at a frame at which nobody can begin: %v", s.Err())
		}
		write(t, p, key(near+40), aac(near+45))
		if !errors.Is(s.Err(), stream.ErrTimeline) || len(v.reasons) != 1 {
			t.Errorf("at the key frame: %v, ended %d times", s.Err(), len(v.reasons))
		}
		next := find(t, r)
		if next == s {
			t.Fatal("the next stream is the same")
		}
		w := tap(t, next)
		write(t, p, inter(near+80))
		if len(w.packets) == 0 || w.packets[len(w.packets)-1].DTS != 40*time.Millisecond {
			t.Errorf("the next timeline goes on at %v, want 40ms", w.packets)
		}
		p.End(nil)
	})
}

func TestATimelineEndsWithoutAKeyFrameAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stream.NewRegistry(stream.DefaultLimits())
		p, s := live(t, r, 0)
		const near = 1<<31 - 30_000
		pass(near * time.Millisecond)
		write(t, p, aac(near), aac(near+20))
		if !errors.Is(s.Err(), stream.ErrTimeline) {
			t.Errorf("a minute before the end: %v", s.Err())
		}
		p.End(nil)
	})
}
