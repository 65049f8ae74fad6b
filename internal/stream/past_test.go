package stream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/stream"
)

// keeping returns a registry whose streams keep that much.
func keeping(k stream.Keep) *stream.Registry {
	r := newRegistry()
	r.Keep(k)
	return r
}

func checkPast(t *testing.T, s *stream.Stream, before time.Duration, want ...string) {
	t.Helper()
	v := &viewer{}
	window, detach, err := s.TapFrom(v, before)
	if err != nil {
		t.Fatalf("TapFrom() error = %v", err)
	}
	detach()
	v.packets = window
	if diff := cmp.Diff(append([]string{}, want...), v.names()); diff != "" {
		t.Errorf("from %v before (-want +got):\n%s", before, diff)
	}
}

func TestMoreThanTheWindowIsKeptForThoseWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, keeping(stream.Keep{Time: 2 * time.Second, Bytes: 1 << 20}), 0)
		write(t, p, key(1000), key(2000), aac(2010), key(3000), inter(3500))
		checkPast(t, s, 0, "key 3000", "video 3500")
		checkPast(t, s, 500*time.Millisecond, "key 3000", "video 3500")
		checkPast(t, s, 501*time.Millisecond, "key 2000", "audio 2010", "key 3000", "video 3500")
		checkPast(t, s, 1500*time.Millisecond, "key 2000", "audio 2010", "key 3000", "video 3500")
		checkPast(t, s, time.Hour, "key 1000", "key 2000", "audio 2010", "key 3000", "video 3500")
		checkWindow(t, s, "of everybody else", "key 3000", "video 3500")
	})
}

func TestWhatIsKeptIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, keeping(stream.Keep{Time: time.Hour, Bytes: 1000}), 0)
		write(t, p, sized(key(1000), 600), sized(key(2000), 600), sized(key(3000), 600), key(4000))
		v := &viewer{}
		window, detach, err := s.TapFrom(v, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		detach()
		if len(window) != 2 || window[0].DTS != ms(3000) {
			t.Errorf("%d packets are kept, from %v on", len(window), window[0].DTS)
		}
	})
}

// A camera without sound goes live when its tracks have had their time.
func TestTheBeginningIsKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(stream.Keep{Opening: 5 * time.Second})
		p := publish(t, r)
		write(t, p, avcConfig(1), key(0), inter(500), key(1000), key(2000))
		s := find(t, r)
		checkPast(t, s, time.Hour, "key 0", "video 500", "key 1000", "key 2000")
		checkPast(t, s, 0, "key 2000")
		write(t, p, key(3000), key(4900))
		checkPast(t, s, 5*time.Second, "key 0", "video 500", "key 1000", "key 2000", "key 3000", "key 4900")
		write(t, p, key(5900))
		checkPast(t, s, time.Hour, "key 5900")
	})
}

func TestNothingIsKeptBehindAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := stream.DefaultLimits()
		limits.WindowPackets = 3
		r := stream.NewRegistry(limits)
		r.Keep(stream.Keep{Time: time.Hour, Bytes: 1 << 20})
		p, s := live(t, r, 0)
		write(t, p, key(1000), inter(1040), inter(1080), inter(1120))
		checkPast(t, s, time.Hour)
		write(t, p, key(2000))
		checkPast(t, s, time.Hour, "key 2000")
	})
}

func TestSoundAloneIsKeptByItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := keeping(stream.Keep{Time: 2 * time.Second, Bytes: 1 << 20})
		p := publish(t, r)
		for at := uint32(0); at <= 6000; at += 500 {
			write(t, p, mp3(at))
			pass(500 * time.Millisecond)
		}
		s := find(t, r)
		checkPast(t, s, 1500*time.Millisecond, "audio 4500", "audio 5000", "audio 5500", "audio 6000")
	})
}

func TestWhoWatchesIsToldOfEveryStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		c := make(chan struct{}, 1)
		stop := r.Watch(c)
		p, _ := live(t, r, 0)
		<-c
		write(t, p, avcConfig(2), key(40), aac(40))
		<-c
		stop()
		p.End(nil)
		live(t, r, 0)
		synctest.Wait()
		if len(c) > 0 {
			t.Error("a token after stop")
		}
	})
}
