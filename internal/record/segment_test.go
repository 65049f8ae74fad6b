package record_test

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/internal/conf"
	"sluice/internal/record"
	"sluice/media"
)

// ofKind returns the packets of sound, or those of pictures.
func ofKind(all []media.Packet, kind media.Kind) []media.Packet {
	return slices.DeleteFunc(slices.Clone(all), func(p media.Packet) bool { return p.Kind != kind })
}

// fromKey leaves out what comes before the first key frame.
func fromKey(all []media.Packet) []media.Packet {
	return all[slices.IndexFunc(all, func(p media.Packet) bool { return p.Key }):]
}

func TestAFileThatReachesItsSizeGoesOnInTheNextAtAKeyFrame(t *testing.T) {
	t.Parallel()
	const limit = conf.MiB
	s := configured(t, func(c *record.Config) { c.Segment.Size = limit })
	p := s.publish(t, "live/test", "h264_aac.flv").until(500 * time.Millisecond)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(100 * time.Second) // some 4 MiB
	s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	items := s.list(t, "").Items
	slices.Reverse(items) // oldest first
	if len(items) < 3 {
		t.Fatalf("the list has %+v", items)
	}
	const gop = 64 * conf.KiB // a second has some 41 KiB
	var got []media.Packet
	for i, f := range items {
		info, err := os.Stat(s.file(f))
		if err != nil {
			t.Fatal(err)
		}
		size := conf.Size(info.Size())
		if f.State != record.Finished || f.Bytes != info.Size() || size > limit+gop || i < len(items)-1 && size < limit {
			t.Errorf("file %d has %v: %+v", i, size, f)
		}
		all := packetsBefore(t, s.file(f))
		if first := ofKind(all, media.Video)[0]; !first.Key {
			t.Errorf("file %d begins with a picture that is no key frame", i)
		}
		got = append(got, all...)
		plays(t, s.file(f))
		indexed(t, s.file(f), packets(t, s.file(f)))
	}
	sent := fromKey(p.sent(0, p.next))
	for _, kind := range []media.Kind{media.Audio, media.Video} {
		got, want := ofKind(got, kind), ofKind(sent, kind)
		if !slices.EqualFunc(got, want, func(a, b media.Packet) bool { return bytes.Equal(a.Body, b.Body) }) {
			t.Errorf("the files have other %v than was sent: %d frames, want %d", kind, len(got), len(want))
		}
	}
}
