package stream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
	"sluice/media"
)

func checkWindow(t *testing.T, s *stream.Stream, when string, want ...string) {
	t.Helper()
	v := tap(t, s)
	v.detach()
	if diff := cmp.Diff(append([]string{}, want...), v.names()); diff != "" {
		t.Errorf("window %s (-want +got):\n%s", when, diff)
	}
}

func TestTheWindowBeginsAtTheNewestKeyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		write(t, p, inter(40), aac(23), script(40))
		checkWindow(t, s, "of the first key frame", "key 0", "audio 0", "video 40", "audio 23", "data 40")
		write(t, p, key(80))
		checkWindow(t, s, "of the second key frame", "key 80")
		write(t, p, aac(46), inter(120), avcConfig(1), onMetaData("x"))
		checkWindow(t, s, "without configurations and metadata", "key 80", "audio 46", "video 120")
	})
}

func TestKeyFramesOfOtherTracksDoNotBeginTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), on(1, avcConfig(1)), mp3(0), key(0), on(1, key(0)), on(1, key(40)))
		checkWindow(t, find(t, r), "", "key 0", "key/1 0", "key/1 40")
	})
}

func TestAWindowThatOutgrowsALimitIsEmptyUntilTheNextKeyFrame(t *testing.T) {
	tests := []struct {
		name   string
		limits func(*stream.Limits)
		fits   []media.Packet
		over   media.Packet
	}{
		{
			"bytes", func(l *stream.Limits) { l.WindowBytes = 1000 },
			[]media.Packet{sized(key(0), 400), sized(aac(0), 200), sized(inter(40), 400)},
			sized(inter(80), 1),
		},
		{
			"packets", func(l *stream.Limits) { l.WindowPackets = 3 },
			[]media.Packet{key(0), aac(0), inter(40)},
			aac(23),
		},
		{
			"time", func(l *stream.Limits) { l.WindowTime = time.Second },
			[]media.Packet{key(0), aac(0), inter(1000)},
			inter(1001),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := stream.DefaultLimits()
				tt.limits(&limits)
				r := stream.NewRegistry(limits)
				p := publish(t, r)
				write(t, p, avcConfig(1), aacConfig(1))
				write(t, p, tt.fits...)
				s := find(t, r)
				if v := tap(t, s); v.window != len(tt.fits) {
					t.Fatalf("window %v, want all %d packets", v.names(), len(tt.fits))
				}
				write(t, p, tt.over)
				checkWindow(t, s, "behind the limit")
				v := tap(t, s)
				write(t, p, inter(1040), aac(1040))
				checkWindow(t, s, "before the next key frame")
				write(t, p, key(1080), inter(1120))
				checkWindow(t, s, "of the next key frame", "key 1080", "video 1120")
				// A viewer that is there gets everything all the same.
				if diff := cmp.Diff([]string{"video 1040", "audio 1040", "key 1080", "video 1120"}, v.names()); diff != "" {
					t.Errorf("packets (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAKeyFrameLargerThanTheWindowIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := stream.DefaultLimits()
		limits.WindowBytes = 1000
		r := stream.NewRegistry(limits)
		p := publish(t, r)
		write(t, p, avcConfig(1), mp3(0), sized(key(0), 1001), inter(40))
		s := find(t, r)
		checkWindow(t, s, "of the large key frame")
		write(t, p, sized(key(80), 1000))
		checkWindow(t, s, "of the next", "key 80")
	})
}

func TestALongGroupOfPicturesStaysWithinTheDefaultLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		limits := stream.DefaultLimits()
		for at := uint32(40); at < 60_000; at += 40 { // 60 s at 20 Mbit/s
			write(t, p, sized(inter(at), 100_000))
			v := tap(t, s)
			v.detach()
			bytes := 0
			for _, p := range v.packets {
				bytes += len(p.Body)
			}
			if bytes > limits.WindowBytes || len(v.packets) > limits.WindowPackets {
				t.Fatalf("at %d ms the window holds %d bytes in %d packets", at, bytes, len(v.packets))
			}
		}
		checkWindow(t, s, "at the end of the long group")
		for at := uint32(60_000); at < 65_000; at += 1000 {
			write(t, p, sized(key(at), 100_000))
		}
		checkWindow(t, s, "with a key frame each second", "key 64000")
	})
}

func TestWithoutVideoTheWindowIsTheLastSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		for at := uint32(0); at <= 5000; at += 250 {
			write(t, p, mp3(at))
		}
		s := find(t, r)
		if s.HasVideo() {
			t.Error("HasVideo() = true")
		}
		checkWindow(t, s, "", "audio 4000", "audio 4250", "audio 4500", "audio 4750", "audio 5000")
		pass(10 * time.Second)
		write(t, p, mp3(15_000))
		checkWindow(t, s, "behind a pause", "audio 15000")
	})
}

func TestWithoutVideoTheWindowIsBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := stream.DefaultLimits()
		limits.WindowPackets, limits.WindowBytes = 10, 1000
		r := stream.NewRegistry(limits)
		p := publish(t, r)
		write(t, p, mp3(0))
		pass(2 * time.Second)
		s := find(t, r)
		for range 100 {
			write(t, p, mp3(1)) // the clock stands still
			if v := tap(t, s); v.window > 10 {
				t.Fatalf("the window holds %d packets", v.window)
			}
		}
		for range 100 {
			write(t, p, sized(mp3(1), 300))
			if v := tap(t, s); v.window > 3+10 {
				t.Fatalf("the window holds %d packets", v.window)
			}
		}
	})
}

func TestAWindowOnceGivenOutDoesNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		for at := uint32(0); at <= 2000; at += 250 {
			write(t, p, mp3(at))
		}
		s := find(t, r)
		window, detach, err := s.Tap(&viewer{})
		if err != nil {
			t.Fatal(err)
		}
		defer detach()
		before := names(window)
		for at := uint32(2250); at <= 6000; at += 250 {
			write(t, p, mp3(at))
		}
		p.End(nil)
		if diff := cmp.Diff(before, names(window)); diff != "" {
			t.Errorf("the window changed (-before +after):\n%s", diff)
		}
	})
}
