package conformance_test

import (
	"slices"
	"testing"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

func TestCase093TheTracksOfAMultitrackFileAreSentAlone(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	_, sent := harness.Tags(t, flvtest.Path(t, "multitrack_2v2a.flv"))
	legacy, other := tracksOf(sent)
	got := watchAll(t, s, "case093", sent, "http", "ws", "http?track=0", "http?track=1", "ws?track=1")
	for _, way := range []string{"http", "ws", "http?track=0"} {
		sameTags(t, legacy, got[way].tags)
	}
	for _, way := range []string{"http?track=1", "ws?track=1"} {
		sameTags(t, other, got[way].tags)
		heads := map[uint8]string{flv.TagVideo: "\x90avc1", flv.TagAudio: "\x90mp4a"}
		for _, tag := range got[way].tags {
			if flv.ParseBody(tag.Type, tag.Body).Type != media.Config {
				continue
			}
			if head := string(tag.Body[:5]); head != heads[tag.Type] {
				t.Errorf("%s: the configuration in tags of type %d begins with %q, want %q", way, tag.Type, head, heads[tag.Type])
			}
			delete(heads, tag.Type)
		}
		if len(heads) > 0 {
			t.Errorf("%s: there is no configuration that begins with %q", way, heads)
		}
	}
}

// tracksOf returns the tags without an enhanced header, which are of track 0, and those
// that track 1 consists of when it is alone.
func tracksOf(tags []flv.Tag) (legacy, other []flv.Tag) {
	for _, tag := range tags {
		for _, p := range flv.AppendPackets(nil, tag.Type, tag.Body) {
			switch {
			case p.Kind == media.Video && tag.Body[0]&0x80 == 0, p.Kind == media.Audio && tag.Body[0]>>4 != 9:
				legacy = append(legacy, tag)
			case p.Track == 1:
				other = append(other, flv.Tag{Type: tag.Type, DTS: tag.DTS, Body: flv.SingleTrack(&p).Body})
			}
		}
	}
	return legacy, other
}

func TestATrackIsSentAloneAsAnOrdinaryStream(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, name := range []string{"multitrack_2v2a", "multitrack_h264_hevc", "mutants/multitrack_manyinone"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, sent := harness.Tags(t, flvtest.Path(t, name+".flv"))
			var all []media.Packet
			for _, tag := range sent {
				all = flv.AppendPackets(all, tag.Type, tag.Body)
			}
			// What was sent before the picture's first key frame is nobody's.
			all = all[slices.IndexFunc(all, func(p media.Packet) bool { return p.Key && p.Track == 0 }):]
			got := watchAll(t, s, "track/"+name, sent, "http?track=0", "http?track=1", "http?profile=web&track=1")
			for track, way := range []string{"http?track=0", "http?track=1"} {
				for _, kind := range []media.Kind{media.Audio, media.Video} {
					want := frameBytes(all, kind, uint8(track)) //nolint:gosec // 0 or 1
					if len(want) == 0 {
						want = frameBytes(all, kind, 0)
					}
					var ps []media.Packet
					for _, tag := range got[way].tags {
						ps = append(ps, flv.ParseBody(tag.Type, tag.Body))
					}
					if is := frameBytes(ps, kind, 0); len(is) == 0 || !slices.Equal(want, is) {
						t.Errorf("%s: %d frames of %v, want all of %d", way, len(is), kind, len(want))
					}
				}
			}
			checkWeb(t, got["http?track=1"], got["http?profile=web&track=1"])
		})
	}
}

// frameBytes returns what the frames of a track carry.
func frameBytes(ps []media.Packet, kind media.Kind, track uint8) []string {
	var out []string
	for _, p := range ps {
		if p.Kind == kind && p.Track == track && p.Type == media.Frame {
			out = append(out, string(p.Bytes()))
		}
	}
	return out
}
