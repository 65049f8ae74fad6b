package stream_test

import (
	"testing"
	"testing/synctest"

	"sluice/internal/stream"
	"sluice/media"
)

func colours(text string) media.Packet {
	return media.Packet{Kind: media.Video, Type: media.Metadata, Codec: media.H264, Body: []byte("\xd4avc1" + text), Payload: 5}
}

func noColours() media.Packet {
	return media.Packet{Kind: media.Video, Type: media.Reset, Codec: media.H264, Body: []byte("\xd4avc1null"), Payload: 5}
}

func checkCodecMetadata(t *testing.T, s *stream.Stream, want ...media.Packet) {
	t.Helper()
	got := s.CodecMetadata()
	if len(got) != len(want) {
		t.Fatalf("CodecMetadata() returns %d packets, want %d", len(got), len(want))
	}
	for i, p := range want {
		if string(got[i].Body) != string(p.Body) {
			t.Errorf("packet %d is %q, want %q", i, got[i].Body, p.Body)
		}
	}
}

func TestCodecMetadataFromBeforeTheFirstFrameIsKept(t *testing.T) {
	for name, first := range map[string][]media.Packet{
		"behind the configuration": {avcConfig(1), colours("a"), colours("b"), aacConfig(1)},
		"before the configuration": {colours("b"), avcConfig(1), aacConfig(1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry()
				p := publish(t, r)
				write(t, p, first...)
				write(t, p, key(0), aac(0))
				checkCodecMetadata(t, find(t, r), colours("b"))
			})
		})
	}
}

func TestCodecMetadataIsThatOfTheNewestMessageOfItsTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p, s := live(t, r, 0)
		checkCodecMetadata(t, s)
		layout := media.Packet{Kind: media.Audio, Type: media.Metadata, Codec: media.AAC, Body: []byte("\x94mp4a"), Payload: 5}
		write(t, p, colours("a"), layout)
		checkCodecMetadata(t, s, colours("a"), layout)
		write(t, p, colours("b"))
		checkCodecMetadata(t, s, layout, colours("b"))
		write(t, p, sized(colours(""), 256<<10+1))
		checkCodecMetadata(t, s, layout, colours("b"))
		write(t, p, noColours())
		checkCodecMetadata(t, s, layout)
	})
}

func TestCodecMetadataThatIsTakenBackReachesNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), colours("a"), noColours(), aacConfig(1), key(0), aac(0))
		checkCodecMetadata(t, find(t, r))
	})
}

func TestATrackOfSoundTellsItsFirstFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry()
		p := publish(t, r)
		write(t, p, avcConfig(1), key(0), g711(10), g711(20))
		for _, track := range find(t, r).Tracks() {
			if first := track.First; (first != nil) != (track.Kind == media.Audio) || first != nil && string(first.Body) != string(g711(10).Body) {
				t.Errorf("the first frame of %v is %+v", track.Kind, first)
			}
		}
	})
}
