package stream_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/flvtest"
	"sluice/internal/stream"
	"sluice/media"
)

// seen is a stream and what its first viewer gets of it.
type seen struct {
	*stream.Stream
	*viewer
}

// send publishes packets at once, with a viewer for every stream that they
// become.
func send(t *testing.T, packets []media.Packet) []seen {
	t.Helper()
	r := newRegistry()
	p := publish(t, r)
	var all []seen
	for _, pkt := range packets {
		write(t, p, pkt)
		s := r.Find(path)
		if s != nil && (len(all) == 0 || all[len(all)-1].Stream != s) {
			all = append(all, seen{s, tap(t, s)})
		}
	}
	pass(time.Minute)
	if s := r.Find(path); s != nil && len(all) == 0 {
		all = append(all, seen{s, tap(t, s)})
	}
	p.End(stream.ErrUnpublished)
	return all
}

// one sends a file that becomes one stream.
func one(t *testing.T, file string) seen {
	t.Helper()
	all := send(t, flvtest.Packets(t, file))
	if len(all) != 1 {
		t.Fatalf("%s became %d streams, want 1", file, len(all))
	}
	return all[0]
}

// bodies returns the frames of one kind, so that what two viewers got can be
// compared.
func (v *viewer) bodies(kind media.Kind) []string {
	var out []string
	for _, p := range v.packets {
		if p.Kind == kind && p.Type == media.Frame {
			out = append(out, string(p.Body))
		}
	}
	return out
}

func TestAFileComesThroughAsItIs(t *testing.T) {
	for file, want := range map[string][]string{
		"h264_aac.flv":                 {"audio AAC", "video H.264"},
		"h264_bframes_aac.flv":         {"audio AAC", "video H.264"},
		"h264_mp3.flv":                 {"audio MP3", "video H.264"},
		"h264_alaw8k.flv":              {"audio G.711 A-law", "video H.264"},
		"h264_mulaw8k.flv":             {"audio G.711 µ-law", "video H.264"},
		"h264_only.flv":                {"video H.264"},
		"aac_only.flv":                 {"audio AAC"},
		"hevc_aac_enhanced.flv":        {"audio AAC", "video H.265"},
		"av1_opus_enhanced.flv":        {"audio Opus", "video AV1"},
		"vp9_opus_enhanced.flv":        {"audio Opus", "video VP9"},
		"h264_flac_enhanced.flv":       {"audio FLAC", "video H.264"},
		"h264_ac3_enhanced.flv":        {"audio AC-3", "video H.264"},
		"hevc_hdr10_colorinfo.flv":     {"video H.265"},
		"multitrack_2v2a.flv":          {"audio AAC", "audio AAC 1", "video H.264", "video H.264 1"},
		"mutants/dup_seq.flv":          {"audio AAC", "video H.264"},
		"mutants/empty_audio.flv":      {"audio AAC", "video H.264"},
		"mutants/negative_cts.flv":     {"audio AAC", "video H.264"},
		"mutants/flags5_audioonly.flv": {"audio AAC"},
	} {
		t.Run(file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := one(t, file)
				if diff := cmp.Diff(want, tracks(s.Stream)); diff != "" {
					t.Errorf("tracks (-want +got):\n%s", diff)
				}
				// The file from the key frame on, at the times of the file.
				sent := flvtest.Packets(t, file)
				sent = slices.DeleteFunc(sent, func(p media.Packet) bool { return p.Type != media.Frame || p.Kind == media.Data })
				first := sent[0].DTS
				var got []*media.Packet
				for _, p := range s.packets {
					if p.Type == media.Frame && p.Kind != media.Data {
						got = append(got, p)
					}
				}
				sent = sent[slices.IndexFunc(sent, func(p media.Packet) bool { return p.DTS-first == got[0].DTS && p.Kind == got[0].Kind }):]
				if s.HasVideo() && !got[0].Key {
					t.Errorf("it begins with %s", name(got[0]))
				}
				if len(got) != len(sent) {
					t.Fatalf("%d frames came through, want %d", len(got), len(sent))
				}
				for i, p := range sent {
					p.DTS -= first
					same := p.Codec == got[i].Codec && p.CTS == got[i].CTS && p.Payload == got[i].Payload
					if !same || name(&p) != name(got[i]) || !bytes.Equal(p.Body, got[i].Body) {
						t.Fatalf("frame %d: %s, want %s, or other contents", i, name(got[i]), name(&p))
					}
				}
			})
		})
	}
}

func TestEveryClockOfTheSameFileGivesTheSameStream(t *testing.T) {
	for _, file := range []string{"jump_fwd60.flv", "ts_wrap32.flv", "ts_24bit.flv", "meta_ts_nonzero.flv"} {
		t.Run(file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plain, mutant := one(t, "h264_aac.flv"), one(t, "mutants/"+file)
				for _, kind := range []media.Kind{media.Audio, media.Video} {
					if !slices.Equal(plain.bodies(kind), mutant.bodies(kind)) {
						t.Errorf("the %v is another one", kind)
					}
					want, got := plain.times(kind), mutant.times(kind)
					for i := range got {
						// A jump goes on by the step before it, which differs
						// from the true one by the rounding to milliseconds.
						if d := got[i] - want[i]; d < -1 || d > 1 {
							t.Fatalf("%v frame %d is at %d ms, want %d", kind, i, got[i], want[i])
						}
					}
				}
			})
		})
	}
}

func TestJumpsInBothDirectionsAreNotSeenByViewers(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"60 s forwards": time.Minute, "10 min forwards": 10 * time.Minute, "1 s backwards": -time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				packets := flvtest.Packets(t, "h264_aac.flv")
				for i := range packets {
					if packets[i].DTS >= 2*time.Second {
						packets[i].DTS += jump
					}
				}
				plain, all := one(t, "h264_aac.flv"), send(t, packets)
				if len(all) != 1 {
					t.Fatalf("%d streams, want 1", len(all))
				}
				for _, kind := range []media.Kind{media.Audio, media.Video} {
					want, got := plain.times(kind), all[0].times(kind)
					for i := range want {
						if d := got[i] - want[i]; d < -1 || d > 1 {
							t.Fatalf("%v frame %d is at %d ms, want %d", kind, i, got[i], want[i])
						}
					}
				}
			})
		})
	}
}

func TestRepeatedConfigurationsAreSwallowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range one(t, "mutants/dup_seq.flv").packets {
			if p.Type == media.Config {
				t.Errorf("a viewer got %s", name(p))
			}
		}
	})
}

func TestAPublisherThatStartsBetweenKeyFramesBeginsAtTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(t, "mutants/start_on_pframe.flv")
		i := slices.IndexFunc(s.packets, func(p *media.Packet) bool { return p.Kind == media.Video })
		if i != 0 || !s.packets[0].Key {
			t.Errorf("the first packets are %v", s.names()[:5])
		}
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(s.Stream)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}

func TestVideoThatComesWithinTheProbeIsInTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := one(t, "mutants/late_video.flv") // after 1.4 s
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(s.Stream)); diff != "" {
			t.Errorf("tracks (-want +got):\n%s", diff)
		}
	})
}

func TestVideoThatComesAfterTheProbeBeginsAnotherStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packets := slices.DeleteFunc(flvtest.Packets(t, "h264_aac.flv"), func(p media.Packet) bool {
			return p.Kind == media.Video && p.Type == media.Frame && p.DTS < 1800*time.Millisecond
		})
		all := send(t, packets)
		if len(all) != 2 || !errors.Is(all[0].Err(), stream.ErrChanged) {
			t.Fatalf("%d streams, want one of sound that ends with ErrChanged and one of both", len(all))
		}
		if diff := cmp.Diff([]string{"audio AAC"}, tracks(all[0].Stream)); diff != "" {
			t.Errorf("tracks at first (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"audio AAC", "video H.264"}, tracks(all[1].Stream)); diff != "" {
			t.Errorf("tracks then (-want +got):\n%s", diff)
		}
		if first := all[1].packets[0]; !first.Key || first.DTS != 0 {
			t.Errorf("the second stream begins with %s", name(first))
		}
	})
}

func TestAnotherConfigurationInAFileBeginsAnotherStream(t *testing.T) {
	for file, want := range map[string][]string{
		"mutants/sps_change_nogap.flv": {"audio AAC", "video H.264"},
		"mutants/avc_to_hevc.flv":      {"audio AAC", "video H.265"},
	} {
		t.Run(file, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := send(t, flvtest.Packets(t, file))
				if len(all) != 2 || !errors.Is(all[0].Err(), stream.ErrChanged) {
					t.Fatalf("%d streams, want two of which the first ends with ErrChanged", len(all))
				}
				second := all[1]
				if diff := cmp.Diff(want, tracks(second.Stream)); diff != "" {
					t.Errorf("tracks (-want +got):\n%s", diff)
				}
				if first := second.packets[0]; !first.Key || first.DTS > 100*time.Millisecond {
					t.Errorf("the second stream begins with %s", name(first))
				}
				if last := second.packets[len(second.packets)-1].DTS; last < 3*time.Second || last > 5*time.Second {
					t.Errorf("the second stream ends at %v", last)
				}
			})
		})
	}
}
