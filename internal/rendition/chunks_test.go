package rendition_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/fanout"
	"sluice/internal/rendition"
	"sluice/internal/stream"
	"sluice/rtmp"
)

// watchRTMP is watch for RTMP: the function returned gives the messages that
// came, as tags.
func watchRTMP(t *testing.T, r *rendition.Rendition, j rendition.Join) func() []flv.Tag {
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
	return func() []flv.Tag {
		t.Helper()
		size, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, rtmp.ServerChunkSize), rtmp.DefaultChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		in := rtmp.NewReader(bufio.NewReader(bytes.NewReader(append(size, <-done...))))
		if _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
		var tags []flv.Tag
		for {
			m, err := in.Next()
			if errors.Is(err, io.EOF) {
				return tags
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.StreamID != uint32(1) {
				t.Errorf("a message on stream %d", m.StreamID)
			}
			tags = append(tags, flv.Tag{Type: m.Type, DTS: time.Duration(m.Timestamp) * time.Millisecond, Body: m.Body})
		}
	}
}

func asRTMP() rendition.Spec { return rendition.Spec{Format: rendition.RTMP, Stream: 1} }

func TestRTMPPlayersGetMessagesThatNeedNothingBeforeThem(t *testing.T) {
	p, s := live(t)
	h := newHub(t)
	r := acquire(t, h, s, asRTMP())
	defer r.Release()
	first := watchRTMP(t, r, rendition.GOP)
	big := append(key(1), bytes.Repeat([]byte{7}, 3*rtmp.ServerChunkSize)...)
	whole := append(pic(2), make([]byte, rtmp.ServerChunkSize-len(pic(2)))...)
	p.write(flv.TagVideo, 40, pic(1))
	p.write(flv.TagVideo, 1000, big)
	second := watchRTMP(t, r, rendition.GOP)
	p.write(flv.TagVideo, 1040, whole)
	p.write(flv.TagAudio, 1041, snd(3))
	p.pub.End(stream.ErrUnpublished)

	later := []entry{
		{flv.TagVideo, 1000, string(big)},
		{flv.TagVideo, 1040, string(whole)},
		{flv.TagAudio, 1041, string(snd(3))},
	}
	begin := func(ms int64) []entry {
		return []entry{
			{flv.TagScript, 0, ""},
			{flv.TagVideo, ms, string(avcConfig())},
			{flv.TagAudio, ms, string(aacConfig())},
		}
	}
	expect(t, second(), append(begin(1000), later...))
	expect(t, first(), append(append(begin(0),
		entry{flv.TagVideo, 0, string(key(0))},
		entry{flv.TagAudio, 0, string(snd(0))},
		entry{flv.TagVideo, 40, string(pic(1))}), later...))
}

func TestRTMPMessagesBeyondTheTimeOfThreeBytes(t *testing.T) {
	p, s := live(t)
	const end = 0xffffff + 500 // milliseconds
	for ms := 500; ms <= end; ms += 500 {
		p.write(flv.TagAudio, ms, snd(byte(ms)))
	}
	big := append(key(1), make([]byte, 2*rtmp.ServerChunkSize)...)
	p.write(flv.TagVideo, end, big)
	r := acquire(t, newHub(t), s, asRTMP())
	defer r.Release()
	read := watchRTMP(t, r, rendition.GOP)
	p.write(flv.TagVideo, end+40, pic(2))
	p.pub.End(stream.ErrUnpublished)
	expect(t, read(), []entry{
		{flv.TagScript, 0, ""},
		{flv.TagVideo, end, string(avcConfig())},
		{flv.TagAudio, end, string(aacConfig())},
		{flv.TagVideo, end, string(big)},
		{flv.TagVideo, end + 40, string(pic(2))},
	})
}

func TestRTMPPlayerAtTheEdgeGetsTheBacklogSqueezed(t *testing.T) {
	p, s := live(t)
	big := append(pic(0), bytes.Repeat([]byte{9}, rtmp.ServerChunkSize)...)
	for i := range 50 {
		body := pic(byte(i))
		if i == 20 {
			body = big
		}
		p.write(flv.TagVideo, 40*(i+1), body)
		p.write(flv.TagAudio, 40*(i+1)+5, snd(byte(i)))
	}
	r := acquire(t, newHub(t), s, asRTMP())
	defer r.Release()
	_, a, joined := r.Begin(rendition.Edge)
	_, b, _ := r.Begin(rendition.Edge)
	if joined != rendition.Edge || &a[0][0] != &b[0][0] {
		t.Errorf("joined %v; the prefix was made twice: %v", joined, &a[0][0] != &b[0][0])
	}
	read := watchRTMP(t, r, rendition.Edge)
	p.write(flv.TagAudio, 2030, snd(99))
	p.pub.End(stream.ErrUnpublished)
	want := []entry{{flv.TagScript, 0, ""}, {flv.TagVideo, 1950, string(avcConfig())}, {flv.TagAudio, 1950, string(aacConfig())}, {flv.TagVideo, 1950, string(key(0))}}
	for i := range 50 {
		body := pic(byte(i))
		if i == 20 {
			body = big
		}
		want = append(want, entry{flv.TagVideo, int64(1951 + i), string(body)})
	}
	expect(t, read(), append(want, entry{flv.TagAudio, 2030, string(snd(99))}))
}

func TestAPacketCostsAnRTMPRenditionNoMoreThanAnother(t *testing.T) {
	cost := func(spec rendition.Spec) float64 {
		p, s := live(t)
		r := acquire(t, newHub(t), s, spec)
		defer r.Release()
		body := append(pic(1), make([]byte, 200)...)
		ms := 0
		return testing.AllocsPerRun(200, func() {
			ms += 40
			p.write(flv.TagVideo, ms, body)
		})
	}
	if tags, messages := cost(rendition.Spec{}), cost(asRTMP()); messages > tags {
		t.Errorf("%v allocations for a packet, %v in tags", messages, tags)
	}
}
