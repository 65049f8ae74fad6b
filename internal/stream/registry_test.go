package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
	"sluice/media"
)

func newRegistry() *stream.Registry { return stream.NewRegistry(stream.DefaultLimits()) }

// waited is what a call of Wait returned.
type waited struct {
	stream *stream.Stream
	err    error
}

// wait calls Wait on a goroutine.
func wait(ctx context.Context, r *stream.Registry, path string) <-chan waited {
	ch := make(chan waited, 1)
	go func() {
		s, err := r.Wait(ctx, path)
		ch <- waited{s, err}
	}()
	return ch
}

// got returns what a waiter got, and whether it is still waiting.
func got(ch <-chan waited) (w waited, waiting bool) {
	synctest.Wait()
	select {
	case w := <-ch:
		return w, false
	default:
		return waited{}, true
	}
}

func TestAPathHasOnePublisherAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, _ := live(t, r, 0)
		if _, err := r.Publish(path); !errors.Is(err, stream.ErrBusy) {
			t.Errorf("second Publish() error = %v, want ErrBusy", err)
		}
		other, err := r.Publish("live/other")
		if err != nil {
			t.Fatalf("Publish() of another path error = %v", err)
		}
		other.End(nil)

		p.End(stream.ErrUnpublished)
		p, err = r.Publish(path)
		if err != nil {
			t.Fatalf("Publish() after the end error = %v", err)
		}
		p.End(nil)
	})
}

func TestAPathIsTakenBeforeItsStreamIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		publish(t, r)
		findNone(t, r, "before the first packet")
		if _, err := r.Publish(path); !errors.Is(err, stream.ErrBusy) {
			t.Errorf("second Publish() error = %v, want ErrBusy", err)
		}
	})
}

func TestReasonsHaveLabels(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		stream.ErrBusy:        "bad_name",
		stream.ErrUnpublished: "unpublished",
		stream.ErrChanged:     "config_changed",
		stream.ErrTimeline:    "timeline_full",
		stream.ErrShared:      "key_shared",
		stream.ErrReplaced:    "replaced",
		stream.ErrLost:        "publisher_lost",
		stream.ErrUndecodable: "undecodable",
		stream.ErrEnded:       "ended",
	} {
		var labelled interface{ Reason() string }
		if !errors.As(err, &labelled) || labelled.Reason() != want || err.Error() == "" {
			t.Errorf("%v: label %v, want %q", err, labelled, want)
		}
	}
}

func TestTheEndOfAPublisherEndsItsStreamOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, s := live(t, r, 0)
		if s.Err() != nil {
			t.Errorf("Err() of a live stream = %v", s.Err())
		}
		select {
		case <-s.Done():
			t.Error("Done() is closed while the stream is live")
		default:
		}

		p.End(stream.ErrUnpublished)
		p.End(errors.New("second"))
		<-s.Done()
		if !errors.Is(s.Err(), stream.ErrUnpublished) {
			t.Errorf("Err() = %v, want the first reason", s.Err())
		}
		if err := p.Write(key(40)); !errors.Is(err, stream.ErrUnpublished) {
			t.Errorf("Write() after the end = %v, want the reason", err)
		}
		findNone(t, r, "after the end")
		if all := r.Streams(); len(all) != 0 {
			t.Errorf("Streams() = %d of them, want none", len(all))
		}
	})
}

func TestAnEndWithoutReasonIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		p.End(nil)
		if !errors.Is(s.Err(), stream.ErrEnded) {
			t.Errorf("Err() = %v, want ErrEnded", s.Err())
		}
	})
}

func TestAStalePublisherDoesNotTouchItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		old, _ := live(t, r, 0)
		old.End(stream.ErrEnded)
		_, s := live(t, r, 0)

		old.End(stream.ErrUnpublished)
		if err := old.Write(key(40)); !errors.Is(err, stream.ErrEnded) {
			t.Errorf("Write() of the old publisher = %v, want its reason", err)
		}
		if find(t, r) != s || s.Err() != nil {
			t.Errorf("the successor ended with %v", s.Err())
		}
		if _, err := r.Publish(path); !errors.Is(err, stream.ErrBusy) {
			t.Errorf("Publish() = %v, want ErrBusy: the path is the successor's", err)
		}
	})
}

func TestStreamsAreListedByPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		for _, path := range []string{"b", "a/b", "a", "c/d"} {
			p, err := r.Publish(path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.End(nil)
			if path != "c/d" { // still probing
				write(t, p, avcConfig(1), key(0), mp3(0))
			}
		}
		var paths []string
		for _, s := range r.Streams() {
			paths = append(paths, s.Path())
		}
		if diff := cmp.Diff([]string{"a", "a/b", "b"}, paths); diff != "" {
			t.Errorf("Streams() (-want +got):\n%s", diff)
		}
	})
}

func TestAStreamKnowsWhenItBeganAndWhatCameIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		pass(time.Minute)
		write(t, p, avcConfig(1), sized(key(0), 100), sized(mp3(0), 50))
		s := find(t, r)
		if s.Path() != path || p.Path() != path || s.Started() != time.Now() || !s.HasVideo() {
			t.Errorf("path %q and %q, started %v, video %v", s.Path(), p.Path(), s.Started(), s.HasVideo())
		}
		write(t, p, sized(inter(40), 7))
		if s.Bytes() != 157 {
			t.Errorf("Bytes() = %d, want 157", s.Bytes())
		}
	})
}

func TestWaitReturnsALiveStreamAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		_, s := live(t, r, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := r.Wait(ctx, path); got != s || err != nil {
			t.Errorf("Wait() = %v, %v, want the stream even without time", got, err)
		}
	})
}

func TestEveryWaiterGetsTheStreamOnceItIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		var chans []<-chan waited
		for range 100 {
			chans = append(chans, wait(t.Context(), r, path))
		}
		other := wait(t.Context(), r, "live/other")
		p := publish(t, r)
		write(t, p, avcConfig(1), aacConfig(1), key(0))
		if _, waiting := got(chans[0]); !waiting {
			t.Fatal("Wait() returned before the tracks were known")
		}
		write(t, p, aac(0))
		s := find(t, r)
		for i, ch := range chans {
			if w, waiting := got(ch); waiting || w.stream != s || w.err != nil {
				t.Fatalf("waiter %d got %+v, still waiting %v", i, w, waiting)
			}
		}
		if _, waiting := got(other); !waiting {
			t.Error("a waiter for another path was woken")
		}
		write(t, p, key(40), aac(40)) // nobody is left to be woken

		q, err := r.Publish("live/other")
		if err != nil {
			t.Fatal(err)
		}
		defer q.End(nil)
		write(t, q, avcConfig(1), key(0), mp3(0))
		if w, _ := got(other); w.err != nil || w.stream == nil || w.stream.Path() != "live/other" {
			t.Errorf("Wait() for the other path = %+v", w)
		}
	})
}

func TestAWaiterThatGivesUpFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		reason := errors.New("the viewer hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := wait(ctx, r, path)
		stays := wait(t.Context(), r, path)
		synctest.Wait()
		if n := r.Waiting(); n != 2 {
			t.Fatalf("%d places are taken, want 2", n)
		}
		cancel(reason)
		if w, waiting := got(gone); waiting || w.stream != nil || !errors.Is(w.err, reason) {
			t.Errorf("Wait() = %+v, still waiting %v, want the cause of its context", w, waiting)
		}
		if n := r.Waiting(); n != 1 {
			t.Errorf("%d places are taken, want 1", n)
		}
		_, s := live(t, r, 0)
		if w, _ := got(stays); w.stream != s {
			t.Errorf("the other waiter got %+v", w)
		}
		if n := r.Waiting(); n != 0 {
			t.Errorf("%d places are taken, want none", n)
		}
	})
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		s, err := r.Wait(ctx, path)
		if s != nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("Wait() = %v, %v after %v", s, err, time.Since(start))
		}
		if n := r.Waiting(); n != 0 {
			t.Errorf("%d places are taken, want none", n)
		}
	})
}

func TestAWaiterIsNotWokenByAPublisherThatEndsUnready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		ch := wait(t.Context(), r, path)
		p := publish(t, r)
		write(t, p, aacConfig(1), aac(0))
		p.End(stream.ErrUnpublished)
		pass(time.Minute)
		if w, waiting := got(ch); !waiting {
			t.Fatalf("Wait() = %+v without a stream", w)
		}
		_, s := live(t, r, 0)
		if w, _ := got(ch); w.stream != s {
			t.Errorf("Wait() = %+v, want the next publisher's stream", w)
		}
	})
}

func TestWaitersComeAndGoWhilePublishersDo(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	var work sync.WaitGroup
	for i := range 4 {
		path := fmt.Sprintf("live/%d", i)
		work.Go(func() {
			for range 200 {
				p, err := r.Publish(path)
				if err != nil {
					t.Errorf("Publish(%q) error = %v", path, err)
					return
				}
				for _, pkt := range []media.Packet{avcConfig(1), key(0), mp3(0)} {
					if err := p.Write(pkt); err != nil {
						t.Errorf("Write() error = %v", err)
					}
				}
				p.End(nil)
			}
		})
		for range 4 {
			work.Go(func() {
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
					s, err := r.Wait(ctx, path)
					if (s == nil) == (err == nil) || s != nil && s.Path() != path {
						t.Errorf("Wait(%q) = %v, %v", path, s, err)
					}
					cancel()
				}
			})
		}
	}
	work.Wait()
	if n, all := r.Waiting(), r.Streams(); n != 0 || len(all) != 0 {
		t.Errorf("%d places are taken and %d streams live, want none", n, len(all))
	}
}
