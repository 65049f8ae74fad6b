package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/stream"
	"sluice/media"
)

// path is what the tests publish where the path does not matter.
const path = "live/test"

func ms(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// The packets of an H.264 and AAC publisher. The bodies tell the packets apart.

func avcConfig(n byte) media.Packet {
	return media.Packet{Kind: media.Video, Type: media.Config, Codec: media.H264, Body: []byte{0x17, 0, 0, 0, 0, n}, Payload: 5}
}

func aacConfig(n byte) media.Packet {
	return media.Packet{Kind: media.Audio, Type: media.Config, Codec: media.AAC, Body: []byte{0xaf, 0, 0x12, n}, Payload: 2}
}

func key(at uint32) media.Packet {
	return media.Packet{
		Kind: media.Video, Codec: media.H264, Key: true, DTS: ms(at),
		Body: fmt.Appendf(nil, "\x17\x01key %d", at), Payload: 5,
	}
}

func inter(at uint32) media.Packet {
	return media.Packet{Kind: media.Video, Codec: media.H264, DTS: ms(at), Body: fmt.Appendf(nil, "\x27\x01inter %d", at), Payload: 5}
}

func aac(at uint32) media.Packet {
	return media.Packet{Kind: media.Audio, Codec: media.AAC, DTS: ms(at), Body: fmt.Appendf(nil, "\xaf\x01audio %d", at), Payload: 2}
}

func mp3(at uint32) media.Packet {
	return media.Packet{Kind: media.Audio, Codec: media.MP3, DTS: ms(at), Body: fmt.Appendf(nil, "\x2fmp3 %d", at), Payload: 1}
}

func g711(at uint32) media.Packet {
	return media.Packet{Kind: media.Audio, Codec: media.G711A, DTS: ms(at), Body: fmt.Appendf(nil, "\x72g711 %d", at), Payload: 1}
}

func onMetaData(text string) media.Packet {
	return media.Packet{Kind: media.Data, Type: media.Metadata, Body: []byte("\x02\x00\x0aonMetaData" + text)}
}

func script(at uint32) media.Packet {
	return media.Packet{Kind: media.Data, DTS: ms(at), Body: fmt.Appendf(nil, "\x02\x00\x0aonTextData %d", at)}
}

// sized returns p with a body of n bytes.
func sized(p media.Packet, n int) media.Packet {
	p.Body = make([]byte, n)
	return p
}

// on returns p on another track than the default one.
func on(track uint8, p media.Packet) media.Packet {
	p.Track = track
	return p
}

func publish(t *testing.T, r *stream.Registry) *stream.Publisher {
	t.Helper()
	p, err := r.Publish(path)
	if err != nil {
		t.Fatalf("Publish(%q) error = %v", path, err)
	}
	t.Cleanup(func() { p.End(nil) })
	return p
}

func write(t *testing.T, p *stream.Publisher, packets ...media.Packet) {
	t.Helper()
	for _, pkt := range packets {
		if err := p.Write(pkt); err != nil {
			t.Fatalf("Write(%s) error = %v", name(&pkt), err)
		}
	}
}

// live publishes the beginning of a stream with audio and video: a
// configuration each, then a key frame and sound at that time.
func live(t *testing.T, r *stream.Registry, at uint32) (*stream.Publisher, *stream.Stream) {
	t.Helper()
	p := publish(t, r)
	write(t, p, avcConfig(1), aacConfig(1), key(at), aac(at))
	return p, find(t, r)
}

func find(t *testing.T, r *stream.Registry) *stream.Stream {
	t.Helper()
	s := r.Find(path)
	if s == nil {
		t.Fatal("Find() = nil, want the stream")
	}
	return s
}

func findNone(t *testing.T, r *stream.Registry, when string) {
	t.Helper()
	if s := r.Find(path); s != nil {
		t.Fatalf("%s Find() = a stream with %v, want none", when, tracks(s))
	}
}

// pass lets time pass, inside a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// viewer is a Tap that keeps what it gets, the window before it included.
type viewer struct {
	window  int // so many of the packets are from the window
	packets []*media.Packet
	reasons []error
	detach  func()
}

func (v *viewer) Packet(p *media.Packet) { v.packets = append(v.packets, p) }
func (v *viewer) End(reason error)       { v.reasons = append(v.reasons, reason) }

func tap(t *testing.T, s *stream.Stream) *viewer {
	t.Helper()
	v := &viewer{}
	window, detach, err := s.Tap(v)
	if err != nil {
		t.Fatalf("Tap() error = %v", err)
	}
	v.detach = detach
	v.window = len(window)
	v.packets = append(window, v.packets...)
	return v
}

// names tells what a viewer got, "key 40" for the key frame at 40 ms.
func (v *viewer) names() []string { return names(v.packets) }

func (v *viewer) times(kind media.Kind) []int64 {
	var out []int64
	for _, p := range v.packets {
		if p.Kind == kind {
			out = append(out, p.DTS.Milliseconds())
		}
	}
	return out
}

func names(packets []*media.Packet) []string {
	out := make([]string, 0, len(packets))
	for _, p := range packets {
		out = append(out, name(p))
	}
	return out
}

func name(p *media.Packet) string {
	what := p.Kind.String()
	switch {
	case p.Kind == media.Data && p.Type == media.Metadata:
		what = "metadata"
	case p.Type == media.Config:
		what += " config"
	case p.Type == media.Sequence:
		what += " end"
	case p.Type != media.Frame:
		what += " other"
	case p.Key:
		what = "key"
	}
	if p.Track > 0 {
		what += fmt.Sprintf("/%d", p.Track)
	}
	return fmt.Sprintf("%s %d", what, p.DTS.Milliseconds())
}

// tracks tells what tracks a stream has, "video H.264" and so on, sorted.
func tracks(s *stream.Stream) []string {
	var out []string
	for _, tr := range s.Tracks() {
		text := tr.Kind.String() + " " + tr.Codec.String()
		if tr.ID > 0 {
			text += fmt.Sprintf(" %d", tr.ID)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}
