package stream_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/media"
)

// show publishes H.264 and AAC packets and returns what a viewer gets of
// them, after the given time on the wall between any two.
func show(t *testing.T, every time.Duration, packets ...media.Packet) *viewer {
	t.Helper()
	p, s := live(t, newRegistry(), uint32(packets[0].DTS.Milliseconds()))
	v := tap(t, s)
	for _, pkt := range packets[1:] {
		pass(every)
		write(t, p, pkt)
	}
	if s.Err() != nil {
		t.Errorf("the stream ended: %v", s.Err())
	}
	return v
}

func checkTimes(t *testing.T, v *viewer, kind media.Kind, want ...int64) {
	t.Helper()
	if diff := cmp.Diff(want, v.times(kind)); diff != "" {
		t.Errorf("times of %v (-want +got):\n%s", kind, diff)
	}
}

func TestTheTimelineBeginsNearZeroWhateverThePublishersClockSays(t *testing.T) {
	for _, from := range []uint32{0, 1, 10_000_000, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff} {
		synctest.Test(t, func(t *testing.T) {
			v := show(t, 0, key(from), inter(from+40), aac(from+23), inter(from+80), aac(from+46))
			checkTimes(t, v, media.Video, 0, 40, 80)
			checkTimes(t, v, media.Audio, 0, 23, 46)
		})
	}
}

func TestTheTrackThatBeginsEarlierBeginsAtZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		// The sound comes behind the picture, but belongs before it.
		write(t, p, avcConfig(1), aacConfig(1), key(500), aac(300))
		v := tap(t, find(t, r))
		write(t, p, aac(323), inter(540))
		checkTimes(t, v, media.Video, 200, 240)
		checkTimes(t, v, media.Audio, 0, 23)
	})
}

func TestAClockThatSaysNothingAboutTheOtherIsSetByArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), aacConfig(1), aac(1000), aac(1100), key(90_000_000), aac(1123))
		v := tap(t, find(t, r))
		write(t, p, inter(90_000_040), aac(1146))
		checkTimes(t, v, media.Video, 100, 140)
		checkTimes(t, v, media.Audio, 123, 146)
	})
}

func TestTheTimelineGoesOnWhenThePublishersClockWraps(t *testing.T) {
	t.Run("at 2^32", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := uint32(0xffffffff) - 49
			v := show(t, 0, key(end), aac(end+23), inter(end+40), aac(end+46), inter(30), aac(19), inter(70), aac(42))
			checkTimes(t, v, media.Video, 0, 40, 80, 120)
			checkTimes(t, v, media.Audio, 0, 23, 46, 69, 92)
		})
	})
	t.Run("at 2^24, as old senders do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := uint32(0xffffff) - 49
			v := show(t, 0, key(end), aac(end+23), inter(end+40), aac(end+46), inter(30), aac(19), inter(70), aac(42))
			// A jump goes on by the step before it.
			checkTimes(t, v, media.Video, 0, 40, 80, 120)
			checkTimes(t, v, media.Audio, 0, 23, 46, 69, 92)
		})
	})
	t.Run("through 2^31 in one track before the other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			at := uint32(1<<31 - 50)
			v := show(t, 0, key(at), inter(at+40), inter(at+80), inter(at+120), aac(at+23), aac(at+46), aac(at+69))
			checkTimes(t, v, media.Video, 0, 40, 80, 120)
			checkTimes(t, v, media.Audio, 0, 23, 46, 69)
		})
	})
}

// jumped is 200 ms of a stream, then 200 ms behind a jump of its clock.
func jumped(to uint32) []media.Packet {
	const from = 100_000
	var packets []media.Packet
	add := func(from uint32) {
		for at := range uint32(200) {
			if at%40 == 0 {
				packets = append(packets, inter(from+at))
			}
			if at%20 == 0 {
				packets = append(packets, aac(from+at))
			}
		}
	}
	add(from)
	packets[0] = key(from)
	packets = slices.Delete(packets, 1, 2) // live writes it
	add(to)
	return packets
}

func TestAJumpOfThePublishersClockIsNotSeen(t *testing.T) {
	for name, to := range map[string]uint32{
		"60 s forwards":             160_200,
		"600 s forwards":            700_200,
		"6 s forwards":              106_200,
		"1 s backwards":             99_200,
		"300 ms backwards":          99_900,
		"back to 0":                 0,
		"backwards through 0":       0xffffff00,
		"half a turn":               100_200 + 1<<31,
		"almost half a turn back":   100_200 + 1<<31 + 1000,
		"no jump, for comparison":   100_200,
		"one frame back, likewise":  100_180,
		"as far as is barely a gap": 103_160,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := show(t, 20*time.Millisecond, jumped(to)...)
				video, audio := v.times(media.Video), v.times(media.Audio)
				switch to {
				case 103_160:
					checkTimes(t, v, media.Video, 0, 40, 80, 120, 160, 3160, 3200, 3240, 3280, 3320)
				case 100_180:
					checkTimes(t, v, media.Video, 0, 40, 80, 120, 160, 180, 220, 260, 300, 340)
				default:
					checkTimes(t, v, media.Video, 0, 40, 80, 120, 160, 200, 240, 280, 320, 360)
				}
				if audio[10] != video[5] || audio[19] != video[9]+20 {
					t.Errorf("behind the jump there is picture at %d … %d, sound at %d … %d",
						video[5], video[9], audio[10], audio[19])
				}
			})
		})
	}
}

// A jump that one track's frames make seem a little longer than the other's
// may lie on both sides of what is taken for a jump.
func TestBothTracksKeepTheirDistanceAtTheEdgeOfAJump(t *testing.T) {
	for to := int64(99_900); to <= 103_400; to++ {
		if to > 99_990 && to < 103_100 {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			v := show(t, 0, jumped(uint32(to))...)
			video, audio := v.times(media.Video), v.times(media.Audio)
			// At the end both have caught up with what was held still.
			if d := audio[19] - video[9]; d < 20-40 || d > 20+40 {
				t.Errorf("jump to %d: at the end the sound is at %d, the picture at %d", to, audio[19], video[9])
			}
			if !slices.IsSorted(video) || !slices.IsSorted(audio) {
				t.Errorf("jump to %d: %v %v", to, video, audio)
			}
		})
	}
}

func TestSoundThatRunsAheadKeepsItsDistanceOverAJump(t *testing.T) {
	for _, ahead := range []uint32{100, 400, 900} {
		synctest.Test(t, func(t *testing.T) {
			const from = 100_000
			packets := []media.Packet{key(from)}
			for at := uint32(20); at < 4000; at += 20 {
				clock := uint32(from)
				if at >= 2000 {
					clock = 0xfffffc00 // and on through 0
				}
				if at%40 == 0 {
					packets = append(packets, inter(clock+at))
				}
				packets = append(packets, aac(clock+at+ahead))
			}
			v := show(t, 20*time.Millisecond, packets...)
			video, audio := v.times(media.Video), v.times(media.Audio)
			last := audio[len(audio)-1] - int64(ahead) - video[len(video)-1]
			if last < 20-40 || last > 20+40 {
				t.Errorf("sound %d ms ahead is %d ms off at the end", ahead, last-20)
			}
		})
	}
}

func TestSmallStepsBackwardsAreHeldStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := show(t, 0, key(1000), inter(1040), inter(990), inter(1030), inter(1070), aac(900), aac(1000), aac(1010))
		checkTimes(t, v, media.Video, 0, 40, 40, 40, 70)
		checkTimes(t, v, media.Audio, 0, 0, 0, 10)
	})
}

func TestTracksAreComparedWithThemselvesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A second of sound, then a second of picture, and so on: nobody's
		// clock steps back.
		v := show(t, 0, key(0), aac(500), aac(1000), inter(500), inter(1000), aac(1500), aac(2000), inter(1500), inter(2000))
		checkTimes(t, v, media.Video, 0, 500, 1000, 1500, 2000)
		checkTimes(t, v, media.Audio, 0, 500, 1000, 1500, 2000)
	})
}

func TestARealPauseIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		write(t, p, inter(40), aac(23))
		pass(time.Minute)
		write(t, p, inter(60_040), aac(60_023), inter(60_080))
		checkTimes(t, v, media.Video, 0, 40, 60_040, 60_080)
		checkTimes(t, v, media.Audio, 0, 23, 60_023)
	})
}

func TestAPauseOfOneTrackIsBelievedByTheOthersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// All at once, as a publisher does that sends a file without waiting:
		// sound that is silent for a minute.
		packets := []media.Packet{key(0)}
		for at := uint32(40); at < 60_000; at += 40 {
			packets = append(packets, inter(at))
		}
		packets = append(packets, aac(60_000), inter(60_000), aac(60_023))
		v := show(t, 0, packets...)
		checkTimes(t, v, media.Audio, 0, 60_000, 60_023)
		if video := v.times(media.Video); video[len(video)-1] != 60_000 {
			t.Errorf("the picture is at %d, want 60000", video[len(video)-1])
		}
	})
}

func TestSlowPicturesInABurstKeepTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A picture every ten seconds above dense sound.
		packets := []media.Packet{key(0)}
		for at := uint32(20); at <= 60_000; at += 20 {
			packets = append(packets, aac(at))
			if at%10_000 == 0 {
				packets = append(packets, key(at))
			}
		}
		v := show(t, 0, packets...)
		checkTimes(t, v, media.Video, 0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000)
	})
}

func TestAStalledConnectionIsNoJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0)
		v := tap(t, s)
		pass(20 * time.Second)
		write(t, p, inter(40), aac(23), inter(80), aac(46))
		checkTimes(t, v, media.Video, 0, 40, 80)
		checkTimes(t, v, media.Audio, 0, 23, 46)
	})
}

func TestTheTimelineRunsThroughWeeksWithoutAFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 0xffff0000)
		v := tap(t, s)
		v.packets = v.packets[:0]
		const hour = 3_600_000
		for n := uint32(1); n < 24*24; n++ { // the publisher's clock wraps in the first minute
			pass(ms(hour))
			write(t, p, inter(0xffff0000+n*hour), aac(0xffff0000+n*hour+10))
			at := int64(n) * hour
			if diff := cmp.Diff([]int64{at, at + 10}, append(v.times(media.Video), v.times(media.Audio)...)); diff != "" {
				t.Fatalf("hour %d (-want +got):\n%s", n, diff)
			}
			v.packets = v.packets[:0]
		}
		if s.Err() != nil {
			t.Errorf("the stream ended: %v", s.Err())
		}
	})
}

func TestCompositionTimesPassUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := live(t, newRegistry(), 5000)
		v := tap(t, s)
		for _, cts := range []time.Duration{80 * time.Millisecond, -40 * time.Millisecond} {
			pkt := inter(5040)
			pkt.CTS = cts
			write(t, p, pkt)
			if got := v.packets[len(v.packets)-1].CTS; got != cts {
				t.Errorf("CTS = %v, want %v", got, cts)
			}
		}
	})
}

func TestScriptDataFollowsTheTimelineOfTheMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, script(77), avcConfig(1), aacConfig(1), aac(1000), script(1010), key(900), script(950))
		s := find(t, r)
		v := tap(t, s)
		write(t, p, inter(1040), script(1050), script(0), script(3_000_000), script(1045), inter(1080), script(1090))
		want := []string{
			"key 0", "data 110", "video 140", "data 150", "data 150", "data 150", "data 150", "video 180", "data 190",
		}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}

func TestScriptDataBesideTheMediaIsBoundToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), aacConfig(1), key(1000), script(900), aac(900))
		v := tap(t, find(t, r))
		want := []string{"key 100", "data 0", "audio 0"}
		if diff := cmp.Diff(want, v.names()); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}
