package rendition_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/flv"
	"sluice/internal/fanout"
	"sluice/internal/flvtest"
	"sluice/internal/rendition"
	"sluice/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The bodies of a small stream.
func avcConfig() []byte {
	return []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 0, 1, 0, 0}
}
func aacConfig() []byte { return []byte{0xaf, 0, 0x12, 0x10} }
func key(n byte) []byte { return []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, n} }
func pic(n byte) []byte { return []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, n} }
func snd(n byte) []byte { return []byte{0xaf, 1, n} }

type publisher struct {
	t    *testing.T
	reg  *stream.Registry
	pub  *stream.Publisher
	path string
}

func publish(t *testing.T) *publisher {
	t.Helper()
	reg := stream.NewRegistry(stream.DefaultLimits())
	pub, err := reg.Publish("live/test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pub.End(stream.ErrUnpublished) })
	return &publisher{t, reg, pub, "live/test"}
}

func (p *publisher) write(typ uint8, ms int, body []byte) {
	p.t.Helper()
	pkt := flv.ParseBody(typ, body)
	pkt.DTS = time.Duration(ms) * time.Millisecond
	if err := p.pub.Write(pkt); err != nil {
		p.t.Fatal(err)
	}
}

// live publishes audio and video up to where the stream is live.
func live(t *testing.T) (*publisher, *stream.Stream) {
	t.Helper()
	p := publish(t)
	p.write(flv.TagVideo, 0, avcConfig())
	p.write(flv.TagAudio, 0, aacConfig())
	p.write(flv.TagVideo, 0, key(0))
	p.write(flv.TagAudio, 0, snd(0))
	s := p.reg.Find(p.path)
	if s == nil {
		t.Fatal("the stream is not live")
	}
	return p, s
}

func newHub(t *testing.T) *rendition.Hub {
	t.Helper()
	h := rendition.NewHub(rendition.Options{MaxLag: 3 * time.Second, Memory: 64 << 20}, slog.New(slog.DiscardHandler))
	t.Cleanup(h.Close)
	return h
}

func acquire(t *testing.T, h *rendition.Hub, s *stream.Stream, spec rendition.Spec) *rendition.Rendition {
	t.Helper()
	r, err := h.Acquire(s, spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// watch begins to read a rendition; the function returned gives what came
// until the rendition's end.
func watch(t *testing.T, r *rendition.Rendition, j rendition.Join) func() (flv.Header, []flv.Tag) {
	t.Helper()
	server, client := net.Pipe()
	v := fanout.NewViewer(server, r.Log())
	v.Begin, v.First, _ = r.Begin(j)
	done := make(chan []byte, 1)
	go func() { _ = fanout.NewSweeper(time.Minute).Serve(v) }()
	go func() {
		b, _ := io.ReadAll(client)
		done <- b
	}()
	return func() (flv.Header, []flv.Tag) {
		t.Helper()
		h, tags, err := flvtest.Read(bytes.NewReader(<-done))
		if err != nil {
			t.Fatal(err)
		}
		return h, tags
	}
}

type entry struct {
	typ  uint8
	ms   int64
	body string
}

func entries(tags []flv.Tag) []entry {
	var out []entry
	for _, tag := range tags {
		e := entry{tag.Type, tag.DTS.Milliseconds(), string(tag.Body)}
		if tag.Type == flv.TagScript {
			e.body = "" // its content is flv.LiveMetadata's
		}
		out = append(out, e)
	}
	return out
}

func expect(t *testing.T, got []flv.Tag, want []entry) {
	t.Helper()
	g := entries(got)
	if len(g) != len(want) {
		t.Fatalf("got %d tags, want %d:\n%v\n%v", len(g), len(want), g, want)
	}
	for i := range want {
		if g[i] != want[i] {
			t.Errorf("tag %d is %+v, want %+v", i, g[i], want[i])
		}
	}
}

func TestAViewerBeginsWithHeaderMetadataConfigurationsAndTheGOPWindow(t *testing.T) {
	p, s := live(t)
	p.write(flv.TagVideo, 40, pic(1))
	p.write(flv.TagVideo, 1000, key(2))
	p.write(flv.TagAudio, 1001, snd(3))
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{})
	defer r.Release()
	read := watch(t, r, rendition.GOP)
	p.write(flv.TagVideo, 1040, pic(4))
	p.pub.End(stream.ErrUnpublished)

	head, tags := read()
	if !head.Audio || !head.Video {
		t.Errorf("header %+v", head)
	}
	expect(t, tags, []entry{
		{flv.TagScript, 0, ""},
		{flv.TagVideo, 1000, string(avcConfig())},
		{flv.TagAudio, 1000, string(aacConfig())},
		{flv.TagVideo, 1000, string(key(2))},
		{flv.TagAudio, 1001, string(snd(3))},
		{flv.TagVideo, 1040, string(pic(4))},
	})
}

func TestALaterViewerSharesTheRenditionAndItsPrefix(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	a := acquire(t, h, s, rendition.Spec{})
	b := acquire(t, h, s, rendition.Spec{})
	defer a.Release()
	defer b.Release()
	if a != b {
		t.Error("two viewers got two renditions of one form")
	}
	_, first, _ := a.Begin(rendition.GOP)
	p.write(flv.TagVideo, 40, pic(1))
	_, second, _ := b.Begin(rendition.GOP)
	if &first[0][0] != &second[0][0] {
		t.Error("the prefix was made twice for one key frame")
	}
	p.write(flv.TagVideo, 80, key(2))
	if _, third, _ := b.Begin(rendition.GOP); &first[0][0] == &third[0][0] {
		t.Error("the prefix still has the time of the key frame before")
	}
	if c := acquire(t, h, s, rendition.Spec{Framing: fanout.Chunked}); c == a {
		t.Error("another framing is the same rendition")
	} else {
		c.Release()
	}
}

func TestAudioAloneCanBeJoinedTwiceASecond(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{NoVideo: true})
	defer r.Release()
	for i := range 100 {
		p.write(flv.TagAudio, 20*(i+1), snd(byte(i)))
	}
	read := watch(t, r, rendition.GOP)
	p.pub.End(stream.ErrUnpublished)
	head, tags := read()
	if head.Video || !head.Audio {
		t.Errorf("header %+v", head)
	}
	first := tags[2].DTS // behind metadata and configuration
	if first < time.Second || tags[len(tags)-1].DTS != 2*time.Second {
		t.Errorf("audio from %v to %v, want the newest second at most", first, tags[len(tags)-1].DTS)
	}
}

func TestMetadataIsRelayedOncePerChangeAtTimeZero(t *testing.T) {
	p, s := live(t)
	meta := func(w byte) []byte {
		return append([]byte("\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x05width\x00"), 0x40, w, 0, 0, 0, 0, 0, 0, 0, 0, 9)
	}
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{})
	defer r.Release()
	read := watch(t, r, rendition.GOP)
	for i, w := range []byte{1, 1, 2} {
		p.write(flv.TagScript, 100+i, meta(w))
	}
	p.write(flv.TagAudio, 200, snd(9))
	p.pub.End(stream.ErrUnpublished)
	_, tags := read()
	scripts := 0
	for _, tag := range tags {
		if tag.Type == flv.TagScript {
			scripts++
			if tag.DTS != 0 || !bytes.Contains(tag.Body, []byte("hasVideo")) {
				t.Errorf("metadata at %v: %q", tag.DTS, tag.Body)
			}
		}
	}
	if scripts != 3 { // the prefix, and two different ones
		t.Errorf("%d script tags", scripts)
	}
}

func TestNothingLeftIsAnError(t *testing.T) {
	_, s := live(t)
	if _, err := newHub(t).Acquire(s, rendition.Spec{NoAudio: true, NoVideo: true}); !errors.Is(err, rendition.ErrNoTrack) {
		t.Errorf("Acquire() error = %v", err)
	}
}

func TestAnEndedStreamHasNoRendition(t *testing.T) {
	p, s := live(t)
	p.pub.End(stream.ErrUnpublished)
	if _, err := newHub(t).Acquire(s, rendition.Spec{}); !errors.Is(err, stream.ErrUnpublished) {
		t.Errorf("Acquire() error = %v", err)
	}
}

func TestARenditionLingersAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := live(t)
		h := newHub(t)
		a := acquire(t, h, s, rendition.Spec{})
		a.Release()
		<-time.After(9 * time.Second)
		b := acquire(t, h, s, rendition.Spec{})
		if a != b {
			t.Error("it was gone within ten seconds")
		}
		<-time.After(20 * time.Second)
		b.Release()
		<-time.After(11 * time.Second)
		c := acquire(t, h, s, rendition.Spec{})
		if c == b {
			t.Error("it was still there after eleven seconds without a viewer")
		}
		c.Release()
	})
}

func TestAJoinWithoutAKeyFrameWaitsForTheNext(t *testing.T) {
	limits := stream.DefaultLimits()
	limits.WindowPackets = 3
	reg := stream.NewRegistry(limits)
	pub, err := reg.Publish("live/test")
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t, reg, pub, "live/test"}
	p.write(flv.TagVideo, 0, avcConfig())
	p.write(flv.TagAudio, 0, aacConfig())
	p.write(flv.TagVideo, 0, key(0))
	p.write(flv.TagAudio, 0, snd(0))
	for i := range 5 {
		p.write(flv.TagVideo, 40*(i+1), pic(byte(i)))
	}
	h := newHub(t)
	r := acquire(t, h, reg.Find("live/test"), rendition.Spec{})
	defer r.Release()
	if _, _, joined := r.Begin(rendition.GOP); joined != rendition.Next {
		t.Errorf("joined %v", joined)
	}
	read := watch(t, r, rendition.GOP)
	p.write(flv.TagVideo, 400, pic(8))
	p.write(flv.TagVideo, 440, key(9))
	pub.End(stream.ErrUnpublished)
	_, tags := read()
	last := tags[len(tags)-1]
	if len(tags) != 4 || !bytes.Equal(last.Body, key(9)) {
		t.Errorf("%d tags, the last one %x", len(tags), last.Body)
	}
}

func TestRawPassesEverythingThatWasPublished(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{})
	defer r.Release()
	read := watch(t, r, rendition.GOP)
	want := []entry{
		{flv.TagScript, 0, ""},
		{flv.TagVideo, 0, string(avcConfig())},
		{flv.TagAudio, 0, string(aacConfig())},
		{flv.TagVideo, 0, string(key(0))},
		{flv.TagAudio, 0, string(snd(0))},
	}
	for i, tag := range []flv.Tag{
		{Type: flv.TagAudio, Body: nil},
		{Type: flv.TagVideo, Body: []byte{0x57, 0}},
		{Type: flv.TagVideo, Body: []byte{0x17, 2, 0, 0, 0}},
		{Type: flv.TagVideo, Body: bytes.Repeat([]byte{0x27, 1}, 70_000)},
	} {
		p.write(tag.Type, 40*(i+1), tag.Body)
		want = append(want, entry{tag.Type, int64(40 * (i + 1)), string(tag.Body)})
	}
	p.pub.End(stream.ErrUnpublished)
	_, tags := read()
	expect(t, tags, want)
}

func BenchmarkAppend(b *testing.B) {
	reg := stream.NewRegistry(stream.DefaultLimits())
	pub, err := reg.Publish("live/test")
	if err != nil {
		b.Fatal(err)
	}
	defer pub.End(stream.ErrUnpublished)
	at := time.Duration(0)
	write := func(typ uint8, body []byte) {
		pkt := flv.ParseBody(typ, body)
		pkt.DTS = at
		if err := pub.Write(pkt); err != nil {
			b.Fatal(err)
		}
	}
	write(flv.TagVideo, avcConfig())
	write(flv.TagAudio, aacConfig())
	write(flv.TagVideo, key(0))
	write(flv.TagAudio, snd(0))
	h := rendition.NewHub(rendition.Options{MaxLag: time.Second, Memory: 64 << 20}, slog.New(slog.DiscardHandler))
	defer h.Close()
	for _, f := range []fanout.Framing{fanout.Plain, fanout.Chunked, fanout.WebSocket} {
		r, err := h.Acquire(reg.Find("live/test"), rendition.Spec{Framing: f})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Release()
	}
	body := append(pic(1), make([]byte, 4000)...)
	keyBody := append(key(1), make([]byte, 4000)...)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		at += 40 * time.Millisecond
		if n%50 == 0 {
			write(flv.TagVideo, keyBody)
		} else {
			write(flv.TagVideo, body)
		}
	}
}

var _ stream.Tap = (*rendition.Rendition)(nil)

func TestAViewerAtTheEdgeGetsTheBacklogSqueezedThenLiveMedia(t *testing.T) {
	for _, framing := range []fanout.Framing{fanout.Plain} {
		p, s := live(t)
		for i := range 50 {
			p.write(flv.TagVideo, 40*(i+1), pic(byte(i)))
			p.write(flv.TagAudio, 40*(i+1)+5, snd(byte(i)))
		}
		h := newHub(t)
		r := acquire(t, h, s, rendition.Spec{Framing: framing, Profile: rendition.Web})
		_, a, joined := r.Begin(rendition.Auto)
		_, b, _ := r.Begin(rendition.Edge)
		if joined != rendition.Edge || &a[0][0] != &b[0][0] {
			t.Errorf("joined %v; the prefix was made twice: %v", joined, &a[0][0] != &b[0][0])
		}
		read := watch(t, r, rendition.Edge)
		p.write(flv.TagAudio, 2030, snd(99))
		p.write(flv.TagVideo, 2040, pic(99))
		p.pub.End(stream.ErrUnpublished)
		_, tags := read()
		want := []entry{{flv.TagScript, 0, ""}, {flv.TagVideo, 1950, string(avcConfig())}, {flv.TagAudio, 1950, string(aacConfig())}, {flv.TagVideo, 1950, string(key(0))}}
		for i := range 50 {
			want = append(want, entry{flv.TagVideo, int64(1951 + i), string(pic(byte(i)))})
		}
		want = append(want, entry{flv.TagAudio, 2030, string(snd(99))}, entry{flv.TagVideo, 2040, string(pic(99))})
		expect(t, tags, want)
		r.Release()
	}
}

func TestARawViewerJoinsAtTheKeyFrameWhileThatIsFresh(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{})
	defer r.Release()
	p.write(flv.TagVideo, 2000, pic(1))
	if _, _, joined := r.Begin(rendition.Auto); joined != rendition.GOP {
		t.Errorf("joined %v 2 s behind the key frame", joined)
	}
	p.write(flv.TagVideo, 2001, pic(1))
	if _, _, joined := r.Begin(rendition.Auto); joined != rendition.Edge {
		t.Errorf("joined %v more than 2 s behind the key frame", joined)
	}
}

func TestTooMuchToSqueezeJoinsAtTheNextKeyFrameIfThatIsNear(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	r := acquire(t, h, s, rendition.Spec{Profile: rendition.Web})
	defer r.Release()
	join := func() rendition.Join { _, _, j := r.Begin(rendition.Edge); return j }
	for ms := 1000; ms <= 11_000; ms += 1000 {
		p.write(flv.TagVideo, ms, pic(1))
	}
	if j := join(); j != rendition.GOP {
		t.Errorf("joined %v, with nothing known of the next key frame", j)
	}
	p.write(flv.TagVideo, 12_000, key(1)) // so they come every 12 s
	for ms := 13_000; ms <= 21_000; ms += 1000 {
		p.write(flv.TagVideo, ms, pic(1))
	}
	if j := join(); j != rendition.Edge {
		t.Errorf("joined %v within the limit", j)
	}
	for ms := 22_000; ms <= 22_100; ms += 50 {
		p.write(flv.TagVideo, ms, pic(1))
	}
	if j := join(); j != rendition.Next {
		t.Errorf("joined %v with a key frame due in less than 2 s", j)
	}
}
