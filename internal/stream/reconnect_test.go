package stream_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
	"sluice/media"
)

const window = 10 * time.Second

// errCable is why a publisher of these tests is lost.
var errCable = errors.New("somebody stumbled over the cable")

// claim publishes with a window.
func claim(t *testing.T, r *stream.Registry, c stream.Claim) *stream.Publisher {
	t.Helper()
	c.Window = window
	p, err := r.Claim(path, c)
	if err != nil {
		t.Fatalf("Claim(%q) error = %v", path, err)
	}
	t.Cleanup(func() { p.End(nil) })
	return p
}

// lose loses a publisher, whose stream has to be held.
func lose(t *testing.T, p *stream.Publisher) {
	t.Helper()
	if !p.Lose(errCable) || !errors.Is(p.Err(), errCable) {
		t.Fatalf("it is not held, or ended with %v", p.Err())
	}
}

// held publishes a stream up to 80 ms with a viewer, and loses its publisher.
func held(t *testing.T, r *stream.Registry) (*stream.Stream, *viewer) {
	t.Helper()
	p := claim(t, r, stream.Claim{})
	write(t, p, onMetaData("1"), avcConfig(1), aacConfig(1), key(5000), aac(5000), inter(5040), aac(5023), aac(5046), inter(5080))
	s := find(t, r)
	v := tap(t, s)
	lose(t, p)
	return s, v
}

func TestALostPublisherThatComesBackGoesOnWithoutASeam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		if s.State() != stream.Reconnecting || s.Err() != nil {
			t.Fatalf("the stream is %s, %v", s.State(), s.Err())
		}
		findNone(t, r, "while the publisher is lost")
		if all := r.Streams(); len(all) != 1 || all[0] != s {
			t.Errorf("Streams() = %v, want the one that is held", all)
		}
		waiter := wait(t.Context(), r, path)
		pass(9 * time.Second)

		var events []stream.Event
		p := claim(t, r, stream.Claim{Notify: func(e stream.Event) { events = append(events, e) }})
		write(t, p, onMetaData("1"), avcConfig(1), aacConfig(1), inter(0), aac(0), inter(40))
		if w, waiting := got(waiter); !waiting {
			t.Fatalf("Wait() = %+v before the key frame", w)
		}
		write(t, p, aac(23), key(80), aac(70), inter(120), aac(93))
		if w, _ := got(waiter); w.stream != s {
			t.Errorf("Wait() = %+v, want the same stream", w)
		}
		if s.State() != stream.Live || find(t, r) != s {
			t.Errorf("the stream is %s", s.State())
		}
		pass(time.Minute)
		want := []string{
			"key 0", "audio 0", "video 40", "audio 23", "audio 46", "video 80",
			"key 120", "audio 110", "video 160", "audio 133",
		}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
		if len(v.reasons) != 0 || s.Err() != nil {
			t.Errorf("ended with %v, %v", v.reasons, s.Err())
		}
		if diff := cmp.Diff([]stream.Event{stream.Resumed}, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if w := tap(t, s).names(); w[0] != "key 120" {
			t.Errorf("a new viewer begins with %v", w)
		}
	})
}

func TestAStreamWhosePublisherDoesNotComeBackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		pass(window - time.Millisecond)
		if s.Err() != nil {
			t.Fatalf("it ended before its time: %v", s.Err())
		}
		pass(time.Millisecond)
		if len(v.reasons) != 1 || !errors.Is(v.reasons[0], stream.ErrLost) || !errors.Is(s.Err(), errCable) || s.State() != stream.Over {
			t.Errorf("ended with %v, %v, %s", v.reasons, s.Err(), s.State())
		}
		if all := r.Streams(); len(all) != 0 {
			t.Errorf("Streams() = %v", all)
		}
		_, next := live(t, r, 0)
		if next == s {
			t.Error("the next stream is the same")
		}
	})
}

func TestAPublisherWithOtherTracksEndsTheHeldStream(t *testing.T) {
	for name, packets := range map[string][]media.Packet{
		"another configuration": {avcConfig(2), aacConfig(1), key(0), aac(0)},
		"another codec":         {avcConfig(1), key(0), mp3(0)},
		"fewer tracks":          {avcConfig(1), key(0)},
		"more tracks":           {avcConfig(1), aacConfig(1), key(0), on(1, mp3(0)), aac(0)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				s, v := held(t, r)
				p := claim(t, r, stream.Claim{})
				write(t, p, packets...)
				pass(2 * time.Second)
				checkChanged(t, s, v)
				next := find(t, r)
				if next == s || next.State() != stream.Live {
					t.Error("the next stream is the same, or not live")
				}
				if got := tap(t, next).packets[0].DTS; got != 0 {
					t.Errorf("the next timeline begins at %v", got)
				}
			})
		})
	}
}

func TestATrackThatIsAnnouncedInVainDoesNotKeepAPublisherFromGoingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), key(0), inter(40))
		pass(2 * time.Second)
		s := find(t, r)
		v := tap(t, s)
		lose(t, p)
		p = claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), key(0), inter(40))
		findNone(t, r, "while sound may come")
		pass(2 * time.Second)
		if find(t, r) != s {
			t.Error("it is another stream")
		}
		if diff := cmp.Diff([]string{"key 0", "video 40", "key 80", "video 120"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestAStreamWithoutPictureGoesOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := claim(t, r, stream.Claim{})
		write(t, p, g711(0), g711(20))
		pass(2 * time.Second)
		s := find(t, r)
		v := tap(t, s)
		lose(t, p)
		p = claim(t, r, stream.Claim{})
		write(t, p, g711(7000), g711(7020))
		if find(t, r) != s {
			t.Error("it is another stream")
		}
		if diff := cmp.Diff([]string{"audio 0", "audio 20", "audio 40", "audio 60"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestAPublisherThatIsLostAgainBeforeItGoesOnLeavesTheStreamHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		pass(9 * time.Second)
		p := claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), aac(0))
		pass(time.Second)
		lose(t, p)
		if s.State() != stream.Reconnecting {
			t.Fatalf("the stream is %s", s.State())
		}
		pass(5 * time.Second)
		p = claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), key(0), aac(0))
		if find(t, r) != s || len(v.reasons) != 0 {
			t.Errorf("it is another stream, and the first ended with %v", v.reasons)
		}
	})
}

func TestAPublisherThatSendsNothingDoesNotHoldAStreamForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		pass(9 * time.Second)
		p := claim(t, r, stream.Claim{})
		pass(window - time.Millisecond)
		if s.Err() != nil {
			t.Fatalf("it ended while its publisher was there: %v", s.Err())
		}
		pass(time.Millisecond)
		if len(v.reasons) != 1 || !errors.Is(s.Err(), stream.ErrLost) {
			t.Errorf("ended with %v, %v", v.reasons, s.Err())
		}
		write(t, p, avcConfig(1), aacConfig(1), key(0), aac(0))
		if find(t, r) == s {
			t.Error("the next stream is the same")
		}
	})
}

func TestAnEndEndsWhatIsHeldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		p := claim(t, r, stream.Claim{})
		p.End(stream.ErrUnpublished)
		if len(v.reasons) != 1 || !errors.Is(s.Err(), stream.ErrUnpublished) {
			t.Errorf("ended with %v, %v", v.reasons, s.Err())
		}
	})
}

func TestWithoutAWindowALostPublisherEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		if p.Lose(errCable) || !errors.Is(s.Err(), errCable) {
			t.Errorf("it is held, or ended with %v", s.Err())
		}
	})
}

func TestOtherMetadataIsHandedOnWhenAStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, v := held(t, r)
		p := claim(t, r, stream.Claim{})
		write(t, p, onMetaData("2"), avcConfig(1), aacConfig(1), key(0), aac(0))
		if n := len(v.packets); v.names()[n-3] != "metadata 0" {
			t.Errorf("packets %v", v.names())
		}
		if string(s.Metadata().Body) != string(onMetaData("2").Body) {
			t.Errorf("metadata %q", s.Metadata().Body)
		}
	})
}

func TestPicturesThatLagBehindTheSoundComeBackInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), key(0), aac(0), inter(40), aac(23))
		v := tap(t, find(t, r))
		for at := uint32(46); at < 500; at += 23 { // the pictures stopped first
			write(t, p, aac(at))
		}
		last := v.times(media.Audio)
		lose(t, p)
		p = claim(t, r, stream.Claim{})
		write(t, p, avcConfig(1), aacConfig(1), aac(100), key(110), aac(123), inter(150))
		audio, video := v.times(media.Audio), v.times(media.Video)
		next := audio[len(last)]
		if step := next - last[len(last)-1]; step != 23 {
			t.Errorf("the sound steps by %d ms, want 23", step)
		}
		if d := next - video[2]; d != 13 {
			t.Errorf("the sound is %d ms behind the picture, want 13", d)
		}
	})
}

// faulty is a viewer whose code has a fault.
type faulty struct{ viewer }

func (*faulty) Packet(*media.Packet) { panic("a fault of ours") }

func TestAFaultWhenTheProbeIsOverCostsItsPublisherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		s, _ := held(t, r)
		v := &faulty{}
		if _, _, err := s.Tap(v); err != nil {
			t.Fatal(err)
		}
		p := claim(t, r, stream.Claim{})
		// The second sound that is announced does not come.
		write(t, p, onMetaData("1"), avcConfig(1), aacConfig(1), on(1, aacConfig(1)), key(0), aac(0))
		pass(1500 * time.Millisecond)
		if err := p.Write(inter(40)); !errors.Is(err, stream.ErrInternal) {
			t.Errorf("Write() error = %v, want the fault", err)
		}
		if len(v.reasons) != 1 || !errors.Is(s.Err(), stream.ErrInternal) {
			t.Errorf("its viewers were ended with %v, the stream with %v", v.reasons, s.Err())
		}
		// The path is free, and nothing of the one before is left.
		write(t, claim(t, r, stream.Claim{}), onMetaData("1"), avcConfig(1), aacConfig(1), key(0), aac(0))
		if next := find(t, r); next == s || next.Err() != nil {
			t.Errorf("the next stream is %p with %v, behind %p", next, next.Err(), s)
		}
	})
}
