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

func TestAStreamIsReadyAsSoonAsAudioAndVideoAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1), avcConfig(1), aac(0), aac(23))
		findNone(t, r, "with audio alone")
		write(t, p, key(30))
		s := find(t, r)
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		for _, tr := range s.Tracks() {
			if tr.Config == nil || tr.Config.Type != media.Config || tr.Config.Kind != tr.Kind {
				t.Errorf("the configuration of %v is %+v", tr.Kind, tr.Config)
			}
		}
		// What came before the key frame cannot be played.
		if diff := cmp.Diff([]string{"key 30"}, tap(t, s).names()); diff != "" {
			t.Errorf("window (-want +got):\n%s", diff)
		}
	})
}

func TestATrackAloneIsBelievedAfterTheProbe(t *testing.T) {
	tests := []struct {
		name   string
		config media.Packet
		frame  func(at uint32) media.Packet
		want   string
	}{
		{"audio", aacConfig(1), aac, "audio AAC"},
		{"audio without configuration", onMetaData(""), mp3, "audio MP3"},
		{"video", avcConfig(1), func(at uint32) media.Packet {
			if at == 1000 {
				return key(at)
			}
			return inter(at)
		}, "video H.264"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" by the clock on the wall", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				p := publish(t, r)
				write(t, p, tt.config)
				pass(time.Hour) // a configuration does not begin the probe
				write(t, p, tt.frame(1000))
				pass(1499 * time.Millisecond)
				findNone(t, r, "before the probe is over")
				pass(time.Millisecond)
				if diff := cmp.Diff([]string{tt.want}, tracks(find(t, r))); diff != "" {
					t.Errorf("tracks (-want +got):\n%s", diff)
				}
			})
		})
		t.Run(tt.name+" by the timeline", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				p := publish(t, r)
				write(t, p, tt.config, tt.frame(1000), tt.frame(1700), tt.frame(2499))
				findNone(t, r, "before the probe is over")
				write(t, p, tt.frame(2500))
				s := find(t, r)
				if diff := cmp.Diff([]string{tt.want}, tracks(s)); diff != "" {
					t.Errorf("tracks (-want +got):\n%s", diff)
				}
				pass(time.Minute)
				if find(t, r) != s || s.Err() != nil {
					t.Error("the timer of the probe did something to a stream that was ready")
				}
			})
		})
	}
}

func TestWaitersAreWokenByTheClockOnTheWall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		ch := wait(t.Context(), r, path)
		p := publish(t, r)
		start := time.Now()
		write(t, p, aacConfig(1), aac(0))
		if w := <-ch; w.err != nil || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("Wait() = %+v after %v", w, time.Since(start))
		}
	})
}

func TestAnEndWhileProbingLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1), aac(0))
		p.End(nil)
		pass(time.Minute)
		findNone(t, r, "after the end")
		if _, err := r.Publish(path); err != nil {
			t.Errorf("Publish() error = %v", err)
		}
	})
}

func TestAConfigurationWithoutFramesIsNoTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1), avcConfig(1), key(0))
		pass(2 * time.Second)
		s := find(t, r)
		if diff := cmp.Diff([]string{"video H.264"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		// The same again is no change either.
		write(t, p, aacConfig(1), avcConfig(1), inter(40))
		if s.Err() != nil {
			t.Errorf("the stream ended: %v", s.Err())
		}
	})
}

func TestVideoWithoutKeyFrameIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), aacConfig(1))
		at := uint32(0)
		for ; at < 9000; at += 40 {
			write(t, p, aac(at), inter(at))
			pass(ms(40))
		}
		findNone(t, r, "before the first key frame")
		write(t, p, key(at), aac(at))
		s := find(t, r)
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"key 9000", "audio 9000"}, tap(t, s).names()); diff != "" {
			t.Errorf("window (-want +got):\n%s", diff)
		}
	})
}

func TestVideoThatNeverGetsAKeyFrameDoesNotKeepTheSoundBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), aacConfig(1))
		at := uint32(0)
		for ; at < 10500; at += 20 {
			write(t, p, aac(at), inter(at))
		}
		findNone(t, r, "before seven times the probe")
		write(t, p, aac(at))
		sound := find(t, r)
		if diff := cmp.Diff([]string{"audio AAC"}, tracks(sound)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		// When it does at last, that is another stream.
		write(t, p, inter(at+40))
		if sound.Err() != nil {
			t.Errorf("the stream ended without need: %v", sound.Err())
		}
		write(t, p, key(at+80), aac(at+80))
		if !errors.Is(sound.Err(), stream.ErrChanged) {
			t.Errorf("Err() = %v, want ErrChanged", sound.Err())
		}
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(find(t, r))); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}

func TestVideoWithoutAnyKeyFrameIsNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1))
		for at := uint32(0); at < 60_000; at += 40 {
			write(t, p, inter(at))
		}
		pass(time.Minute)
		findNone(t, r, "without a key frame")
	})
}

func TestFramesWithoutTheConfigurationTheyNeedAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, key(0), aac(0), inter(40), aac(40))
		pass(time.Minute)
		findNone(t, r, "without any configuration")

		write(t, p, avcConfig(1), inter(80), key(120), aac(120))
		pass(2 * time.Second)
		s := find(t, r)
		if diff := cmp.Diff([]string{"video H.264"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		v := tap(t, s)
		write(t, p, aac(160), inter(160))
		if diff := cmp.Diff([]string{"key 0", "video 40"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestFramesOfACodecWithoutItsConfigurationAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, s := live(t, r, 0)
		v := tap(t, s)
		strange := inter(40)
		strange.Codec = media.H265
		write(t, p, strange, inter(80))
		if diff := cmp.Diff([]string{"key 0", "audio 0", "video 80"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestEveryAnnouncedTrackIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), on(1, avcConfig(2)), aacConfig(1), on(1, aacConfig(2)))
		write(t, p, key(0), aac(0))
		findNone(t, r, "while a second video track is announced")
		write(t, p, on(1, key(0)), on(1, aac(0)))
		s := find(t, r)
		if diff := cmp.Diff([]string{"audio AAC", "audio AAC 1", "video H.264", "video H.264 1"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		v := tap(t, s)
		write(t, p, inter(40), on(1, inter(40)), aac(40), on(1, aac(40)))
		if s.Err() != nil {
			t.Errorf("the stream ended: %v", s.Err())
		}
		want := []string{"key 0", "audio 0", "key/1 0", "audio/1 0", "video 40", "video/1 40", "audio 40", "audio/1 40"}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestAnotherCodecWhileProbingBeginsTheProbeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, mp3(0), mp3(24), g711(50), avcConfig(1), key(60), g711(70))
		s := find(t, r)
		if diff := cmp.Diff([]string{"audio G.711 A-law", "video H.264"}, tracks(s)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
		if s.Bytes() > int64(len(g711(50).Body)+len(key(60).Body)+len(g711(70).Body)) {
			t.Error("frames of the first codec are in the stream of the second")
		}
	})
}

func TestMessagesWithoutAFrameOfTheirTrackAreNotRelayed(t *testing.T) {
	empty := media.Packet{Kind: media.Audio, Type: media.Other, Body: []byte{}}
	bare := media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.AAC, Body: []byte{0xaf, 1}, Payload: 2}
	end := media.Packet{Kind: media.Audio, Type: media.Sequence, Codec: media.AAC, Body: []byte("\x92mp4a"), Payload: 5}
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1), avcConfig(1), empty, bare, key(0))
		pass(2 * time.Second)
		s := find(t, r)
		v := tap(t, s)
		write(t, p, empty, bare, end, inter(40))
		if diff := cmp.Diff([]string{"key 0", "video 40"}, v.names()); diff != "" {
			t.Errorf("a stream without audio (-want +got):\n%s", diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		unknown := media.Packet{Kind: media.Audio, Type: media.Other, Body: []byte{0xdf, 1, 2, 3}}
		write(t, p, empty, bare, unknown, end)
		want := []string{"key 0", "audio 0", "audio other 0", "audio other 0", "audio other 0", "audio end 0"}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("a stream with audio (-want +got):\n%s", diff)
		}
	})
}

func TestPacketsOfNoKindAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		write(t, p, media.Packet{Type: media.Other, Body: []byte{1}}, media.Packet{Kind: 200, Body: []byte{1}})
		if len(v.packets) != v.window {
			t.Errorf("packets %v, want those of the window alone", v.names())
		}
	})
}

func TestWhatIsHeldWhileProbingIsBounded(t *testing.T) {
	limits := stream.DefaultLimits()
	limits.Pending = 1 << 20
	t.Run("by bytes, video waiting for its key frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := stream.NewRegistry(limits)
			p := publish(t, r)
			write(t, p, avcConfig(1), inter(0))
			for range 10 {
				write(t, p, sized(mp3(0), 100_000))
			}
			findNone(t, r, "below the bound")
			write(t, p, sized(mp3(0), 100_000))
			find(t, r)
		})
	})
	t.Run("by number, bodies being empty", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := stream.NewRegistry(limits)
			p := publish(t, r)
			write(t, p, avcConfig(1), inter(0), mp3(0))
			n := 0
			for ; n < 100_000 && r.Find(path) == nil; n++ {
				write(t, p, media.Packet{Kind: media.Audio, Type: media.Other, Codec: media.MP3})
			}
			if n == 100_000 {
				t.Errorf("%d empty messages are held", n)
			}
		})
	})
	t.Run("by bytes of script data", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := stream.NewRegistry(limits)
			p := publish(t, r)
			write(t, p, avcConfig(1), inter(0), mp3(0))
			for range 11 {
				write(t, p, sized(script(0), 100_000))
			}
			find(t, r)
		})
	})
	t.Run("and nothing at all before the first frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := stream.NewRegistry(limits)
			p := publish(t, r)
			for range 100 {
				write(t, p, sized(script(0), 100_000), media.Packet{Kind: media.Audio, Type: media.Other, Body: make([]byte, 100_000)})
			}
			if n := p.Held(); n != 0 {
				t.Errorf("%d packets are held", n)
			}
		})
	})
}

func TestAPublisherHasABoundedNumberOfTracks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		for id := range 255 {
			write(t, p, on(uint8(id), avcConfig(byte(id))), on(uint8(id), aacConfig(byte(id))))
		}
		for id := range 255 {
			write(t, p, on(uint8(id), key(0)), on(uint8(id), aac(0)))
		}
		if n := len(find(t, r).Tracks()); n != 16 {
			t.Errorf("%d tracks, want 16", n)
		}
	})
}

func TestAnOutsizedConfigurationIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, sized(avcConfig(1), 300_000), key(0), mp3(0))
		pass(2 * time.Second)
		if diff := cmp.Diff([]string{"audio MP3"}, tracks(find(t, r))); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}

func TestAPublisherOfWhatNobodyCanDecodeIsNotTakenForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []stream.Event
		p := claim(t, newRegistry(), stream.Claim{Notify: func(e stream.Event) { events = append(events, e) }})
		write(t, p, key(0), aac(0))
		pass(2 * time.Second)
		write(t, p, key(2000), aac(2000))
		if diff := cmp.Diff([]stream.Event{stream.Undecodable}, events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		pass(8*time.Second - time.Millisecond)
		write(t, p, key(9999))
		pass(time.Millisecond)
		if err := p.Write(key(10_000)); !errors.Is(err, stream.ErrUndecodable) {
			t.Errorf("Write() after 10 s = %v, want ErrUndecodable", err)
		}
	})
}

func TestAPublisherWhosePictureAloneCannotBeDecodedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1))
		for at := uint32(0); at < 60_000; at += 1000 {
			write(t, p, key(at), aac(at))
			pass(time.Second)
		}
		if diff := cmp.Diff([]string{"audio AAC"}, tracks(find(t, r))); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}
