package rtmp_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/internal/memtest"
	"sluice/rtmp"
)

// detached returns a connection whose client asked to play, and said more
// right behind that.
func detached(tb testing.TB, play []byte, behind ...[]byte) *rtmp.Detached {
	tb.Helper()
	connect, err := amf0.AppendAll(nil, "connect", 1, amf0.Object{{Key: "app", Value: "live"}})
	if err != nil {
		tb.Fatal(err)
	}
	said, err := rtmp.AppendMessage(nil, rtmp.Message{Type: rtmp.TypeCommand, ChunkStream: 3, Body: connect}, rtmp.DefaultChunkSize)
	if err != nil {
		tb.Fatal(err)
	}
	input := bytes.Join(append([][]byte{append([]byte{3}, make([]byte, 2*1536)...), said, play}, behind...), nil)
	c, err := rtmp.NewServerConn(&talk{Reader: bytes.NewReader(input)}, 0)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		ev, err := c.Next()
		if err != nil {
			tb.Fatalf("waiting for the play: %v", err)
		}
		if ev.Kind == rtmp.PlayRequest {
			return c.Detach()
		}
		if err := c.Accept(); err != nil {
			tb.Fatal(err)
		}
	}
}

// answers reads what a server sends in its chunk size.
func answers(t *testing.T, b []byte) []rtmp.Message {
	t.Helper()
	size, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, rtmp.ServerChunkSize), rtmp.DefaultChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	return messages(t, append(size, b...))[1:]
}

func ping(tb testing.TB, n uint32) []byte {
	tb.Helper()
	m := rtmp.UserControl{Event: rtmp.EventPingRequest, Value: n}.Message()
	b, err := rtmp.AppendMessage(nil, m, rtmp.DefaultChunkSize)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDetachedConnectionAnswersWithoutReadingOrWriting(t *testing.T) {
	t.Parallel()
	d := detached(t, called(t, 1, "play", 4, nil, "cam1", -2000), ping(t, 5))
	reply, ended, err := d.Input(nil)
	pong := rtmp.UserControl{Event: rtmp.EventPingResponse, Value: 5}.Message()
	if diff := cmp.Diff([]rtmp.Message{pong}, answers(t, reply)); diff != "" || ended || err != nil {
		t.Errorf("what came with the play: ended %v, %v (-want +got):\n%s", ended, err, diff)
	}
	accepted, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if d.Stream() != 1 {
		t.Errorf("it plays on message stream %d", d.Stream())
	}
	finished, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range answers(t, append(accepted, finished...)) {
		if m.Type == rtmp.TypeCommand && m.StreamID == 1 {
			values, err := amf0.DecodeAll(m.Body)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, codeOf(t, values))
			continue
		}
		codes = append(codes, string(append([]byte{'0' + m.Type, ' '}, m.Body...)))
	}
	want := []string{
		"4 \x00\x00\x00\x00\x00\x01",
		"NetStream.Play.Reset", "NetStream.Play.Start", "B \x02\x00\x11|RtmpSampleAccess\x01\x01\x01\x01",
		"4 \x00\x01\x00\x00\x00\x01", "NetStream.Play.UnpublishNotify",
	}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("the client is told other things (-want +got):\n%s", diff)
	}
	// Each can be read alone: the owner's own messages may come in between.
	answers(t, finished)
}

func TestDetachedConnectionTellsWhenItsClientIsDone(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string][][]any{
		"deleteStream":                  {{"deleteStream", 7, nil, 1}},
		"closeStream with a name":       {{"closeStream", 0, nil, "cam1"}},
		"what means nothing, then both": {{"pause", 5, nil, true, 0}, {"receiveAudio", 6, nil, false}, {"deleteStream", 7, nil, 1}},
	} {
		d := detached(t, called(t, 1, "play", 4, nil, "cam1"))
		if _, err := d.Accept(); err != nil {
			t.Fatal(err)
		}
		for i, call := range calls {
			reply, ended, err := d.Input(called(t, 1, call...))
			if last := i == len(calls)-1; ended != last || err != nil || len(reply) != 0 {
				t.Errorf("%s: call %d: ended %v, %v, reply %x", name, i, ended, err, reply)
			}
		}
	}
}

func TestSecondPlayIsRefusedWhileTheFirstWaitsAndWhileItPlays(t *testing.T) {
	t.Parallel()
	d := detached(t, called(t, 1, "play", 4, nil, "cam1"))
	for range 2 {
		reply, ended, err := d.Input(called(t, 1, "play", 5, nil, "cam2"))
		if ended || err != nil {
			t.Fatalf("ended %v, %v", ended, err)
		}
		got := heard{replies: answers(t, reply)}.last(t)
		if codeOf(t, got) != rtmp.CodePlayFailed {
			t.Errorf("answered with %v", got)
		}
		if _, err := d.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	refused, err := detached(t, called(t, 1, "play", 4, nil, "cam1")).Refuse(rtmp.CodePlayNotFound, "no")
	if got := (heard{replies: answers(t, refused)}).last(t); codeOf(t, got) != rtmp.CodePlayNotFound || err != nil {
		t.Errorf("refused with %v, %v", got, err)
	}
}

func TestDetachedConnectionIsBounded(t *testing.T) {
	t.Parallel()
	size, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, rtmp.MaxChunkSize), rtmp.DefaultChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	video := rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Body: make([]byte, 1<<20)}
	large, err := rtmp.AppendMessage(nil, video, 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	var small []byte // two commands that do not end
	for id := range uint32(2) {
		call := rtmp.Message{Type: rtmp.TypeCommand, ChunkStream: 6 + id, Body: make([]byte, 60_000)}
		whole, err := rtmp.AppendMessage(nil, call, rtmp.DefaultChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		small = append(small, whole[:12+128+400*(1+128)]...)
	}
	for name, input := range map[string][]byte{"one large chunk": append(size, large...), "many small ones": small} {
		d := detached(t, called(t, 1, "play", 4, nil, "cam1"))
		var err error
		taken := 0
		for b := range chunked(input, 4096) {
			if _, _, err = d.Input(b); err != nil {
				break
			}
			taken += len(b)
		}
		if !errors.Is(err, rtmp.ErrLimit) || taken > rtmp.MaxPushed+8192 {
			t.Errorf("%s: %v after %d bytes", name, err, taken)
		}
	}
}

// chunked cuts b into pieces of n bytes.
func chunked(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

func TestDetachedConnectionAcknowledgesWhatItReceives(t *testing.T) {
	t.Parallel()
	d := detached(t, called(t, 1, "play", 4, nil, "cam1"))
	junk := said(t, rtmp.TypeAudio, 1, make([]byte, 10_000))
	acks := 0
	for range 300 {
		reply, _, err := d.Input(junk)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range answers(t, reply) {
			if m.Type == rtmp.TypeAck {
				acks++
			}
		}
	}
	if acks != 2 {
		t.Errorf("%d acknowledgements of 3 MB", acks)
	}
}

// FuzzDetached gives a connection that plays the same input at once and in
// pieces. It does the same both times, and never more than it was asked to.
func FuzzDetached(f *testing.F) {
	for _, b := range [][]byte{
		ping(f, 7),
		{0x04, 0xff, 0xff, 0xff, 0, 0, 0x82, 8, 1, 0, 0, 0, 1, 0, 0, 0, 0xaa, 0xc4, 1, 0, 0, 0, 0xbb},
		{0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
		{0x00, 0x10, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0x01, 1, 0, 0xc3},
	} {
		f.Add(b, uint8(3))
	}
	for _, call := range [][]any{{"deleteStream", 7, nil, 1}, {"_checkbw", 4, nil}, {"play", 5, nil, "x"}} {
		body, err := amf0.AppendAll(nil, call...)
		if err != nil {
			f.Fatal(err)
		}
		b, err := rtmp.AppendMessage(nil, rtmp.Message{Type: rtmp.TypeCommand, StreamID: 1, ChunkStream: 3, Body: body}, 128)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(1))
	}
	play, err := amf0.AppendAll(nil, "play", 4, nil, "cam1")
	if err != nil {
		f.Fatal(err)
	}
	ask, err := rtmp.AppendMessage(nil, rtmp.Message{Type: rtmp.TypeCommand, StreamID: 1, ChunkStream: 3, Body: play}, 128)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte, size uint8) {
		run := func(n int) (replies []byte, ended bool, err error) {
			memtest.Bound(t, len(greeted(ask, input)), func() {
				d := detached(t, ask)
				if _, err := d.Accept(); err != nil {
					t.Fatal(err)
				}
				replies = replies[:0]
				for b := range chunked(input, n) {
					var reply []byte
					reply, ended, err = d.Input(b)
					if replies = append(replies, reply...); ended || err != nil {
						break
					}
				}
			})
			return replies, ended, err
		}
		whole, ended, err := run(max(1, len(input)))
		pieces, endedToo, errToo := run(1 + int(size))
		if !bytes.Equal(whole, pieces) || ended != endedToo || (err == nil) != (errToo == nil) {
			t.Fatalf("at once: %x, ended %v, %v\nin pieces of %d: %x, ended %v, %v", whole, ended, err, 1+int(size), pieces, endedToo, errToo)
		}
		if err != nil && !errors.Is(err, rtmp.ErrProtocol) && !errors.Is(err, rtmp.ErrLimit) {
			t.Fatalf("ended with %v", err)
		}
		if len(whole) > 1024+32*len(input) {
			t.Fatalf("%d bytes are answered with %d", len(input), len(whole))
		}
		if r := rtmp.NewReader(bufioReader(whole)); len(whole) > 0 && len(whole) <= 128 {
			if _, err := r.Next(); err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("the answer %x cannot be read: %v", whole, err)
			}
		}
	})
}

// It is not parallel, for it measures.
func TestAChunkThatComesByteByByteCostsWhatItIsLong(t *testing.T) {
	size, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, rtmp.MaxChunkSize), rtmp.DefaultChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	call := rtmp.Message{Type: rtmp.TypeCommand, ChunkStream: 6, Body: make([]byte, 60_000)}
	input, err := rtmp.AppendMessage(size, call, rtmp.MaxChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	d := detached(t, called(t, 1, "play", 4, nil, "cam1"))
	took := memtest.Allocated(func() {
		for b := range chunked(input[:len(input)-1], 1) {
			if _, _, err := d.Input(b); err != nil {
				t.Fatal(err)
			}
		}
	})
	if took > 10*uint64(len(input)) {
		t.Errorf("%d bytes took %d of memory", len(input), took)
	}
}
