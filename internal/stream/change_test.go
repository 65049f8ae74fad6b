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

// checkChanged tells whether s and its viewer were ended by a change.
func checkChanged(t *testing.T, s *stream.Stream, v *viewer) {
	t.Helper()
	select {
	case <-s.Done():
	default:
		t.Fatal("the stream goes on")
	}
	if !errors.Is(s.Err(), stream.ErrChanged) {
		t.Errorf("Err() = %v, want ErrChanged", s.Err())
	}
	if len(v.reasons) != 1 || !errors.Is(v.reasons[0], stream.ErrChanged) {
		t.Errorf("the viewer was ended with %v, want ErrChanged once", v.reasons)
	}
}

func TestAnotherConfigurationBeginsAnotherStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, first := live(t, r, 5000)
		v := tap(t, first)
		write(t, p, inter(5040), avcConfig(2))
		checkChanged(t, first, v)
		findNone(t, r, "until the next key frame")

		waiter := wait(t.Context(), r, path)
		write(t, p, inter(5080), aac(5070), aac(5093))
		if w, waiting := got(waiter); !waiting {
			t.Fatalf("Wait() = %+v before the key frame", w)
		}
		write(t, p, key(5120))
		second := find(t, r)
		if w, _ := got(waiter); w.stream != second || second == first {
			t.Errorf("Wait() = %+v, want the second stream", w)
		}
		for _, tr := range second.Tracks() {
			if tr.Kind == media.Video && tr.Config.Body[5] != 2 {
				t.Errorf("the configuration is % x, want the new one", tr.Config.Body)
			}
		}
		w := tap(t, second)
		write(t, p, inter(5160))
		// Its timeline begins anew.
		if diff := cmp.Diff([]string{"key 50", "video 90"}, w.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"key 0", "audio 0", "video 40"}, v.names()); diff != "" {
			t.Errorf("packets of the first viewer (-want +got):\n%s", diff)
		}
	})
}

func TestTwoNewConfigurationsInARowAreOneChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, first := live(t, r, 0)
		v := tap(t, first)
		write(t, p, avcConfig(2), aacConfig(2), key(40), aac(40))
		checkChanged(t, first, v)
		second := find(t, r)
		write(t, p, inter(80), aac(63))
		if second.Err() != nil {
			t.Errorf("the second stream ended: %v", second.Err())
		}
	})
}

func TestTheSameConfigurationAgainIsSwallowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		write(t, p, avcConfig(1), aacConfig(1), inter(40), avcConfig(1), aac(23))
		if diff := cmp.Diff([]string{"key 0", "audio 0", "video 40", "audio 23"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
		if s.Err() != nil {
			t.Errorf("the stream ended: %v", s.Err())
		}
	})
}

func TestANewTrackBeginsAnotherStream(t *testing.T) {
	tests := []struct {
		name   string
		begin  []media.Packet
		change []media.Packet
		want   []string
	}{
		{
			"picture after sound",
			[]media.Packet{aacConfig(1), aac(0)},
			[]media.Packet{avcConfig(1), key(2000), aac(2000)},
			[]string{"audio AAC", "video H.264"},
		},
		{
			"sound after picture",
			[]media.Packet{avcConfig(1), key(0)},
			[]media.Packet{aacConfig(1), aac(2000), key(2000)},
			[]string{"audio AAC", "video H.264"},
		},
		{
			"a second sound track",
			[]media.Packet{avcConfig(1), key(0), mp3(0)},
			[]media.Packet{on(1, mp3(2000)), key(2000), mp3(2000)},
			[]string{"audio MP3", "audio MP3 1", "video H.264"},
		},
		{
			"another codec without configuration",
			[]media.Packet{avcConfig(1), key(0), mp3(0)},
			[]media.Packet{g711(2000), key(2000)},
			[]string{"audio G.711 A-law", "video H.264"},
		},
		{
			"another codec with configuration",
			[]media.Packet{avcConfig(1), key(0), mp3(0)},
			[]media.Packet{aacConfig(1), aac(2000), key(2000)},
			[]string{"audio AAC", "video H.264"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				p := publish(t, r)
				write(t, p, tt.begin...)
				pass(2 * time.Second)
				first := find(t, r)
				v := tap(t, first)
				write(t, p, tt.change...)
				checkChanged(t, first, v)
				second := find(t, r)
				if diff := cmp.Diff(tt.want, tracks(second)); diff != "" {
					t.Errorf("tracks (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestATrackThatStopsIsNotInTheNextStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, first := live(t, r, 0)
		v := tap(t, first)
		write(t, p, avcConfig(2), key(40))
		checkChanged(t, first, v)
		findNone(t, r, "while the sound may come back")
		pass(1500 * time.Millisecond)
		if diff := cmp.Diff([]string{"video H.264"}, tracks(find(t, r))); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}

func TestAChangeWhileProbingBeginsTheProbeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, aacConfig(1), aac(0))
		pass(time.Second)
		write(t, p, aacConfig(2), aac(1000))
		pass(1499 * time.Millisecond)
		findNone(t, r, "before the second probe is over")
		pass(time.Millisecond)
		s := find(t, r)
		if config := s.Tracks()[0].Config.Body; config[3] != 2 {
			t.Errorf("the configuration is % x, want the new one", config)
		}
		if diff := cmp.Diff([]string{"audio 0"}, tap(t, s).names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestTheEndOfASequenceIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		end := media.Packet{Kind: media.Video, Type: media.Sequence, Codec: media.H264, DTS: ms(40), Body: []byte{0x17, 2, 0, 0, 0}, Payload: 5}
		write(t, p, end, avcConfig(1), key(80))
		if diff := cmp.Diff([]string{"key 0", "audio 0", "video end 40", "key 80"}, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}
