package rtmp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"sluice/rtmp"
)

// written returns what a writer makes of the messages, one write for each.
func written(t *testing.T, ms ...rtmp.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	w := rtmp.NewWriter(&b)
	for _, m := range ms {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestWriterRepeatsTheExtendedTimestampInEveryChunk(t *testing.T) {
	t.Parallel()
	m := sound(1<<24, filled(300, 0xaa)...)
	want := wire(
		"04 ffffff 00012c 08 01000000 01000000", times(128, "aa"),
		"c4 01000000", times(128, "aa"),
		"c4 01000000", times(44, "aa"),
	)
	got := written(t, m)
	if !bytes.Equal(got, want) {
		t.Errorf("Write() wrote\n%x, want\n%x", got, want)
	}
	if ms, err := readBytes(got); err != nil || sameMessages([]rtmp.Message{m}, ms) != "" {
		t.Errorf("it is read as %+v, %v", ms, err)
	}
	alone, err := rtmp.AppendMessage(nil, m, rtmp.DefaultChunkSize)
	if err != nil || !bytes.Equal(alone, want) {
		t.Errorf("AppendMessage() = %x, %v; want\n%x", alone, err, want)
	}
}

func TestWriterExtendsTimestampsFromTheLeastOn(t *testing.T) {
	t.Parallel()
	for ts, want := range map[uint32]string{
		0:              "04 000000 000001 08 01000000 aa",
		0xfffffe:       "04 fffffe 000001 08 01000000 aa",
		0xffffff:       "04 ffffff 000001 08 01000000 00ffffff aa",
		math.MaxUint32: "04 ffffff 000001 08 01000000 ffffffff aa",
	} {
		if got := written(t, sound(ts, 0xaa)); !bytes.Equal(got, wire(want)) {
			t.Errorf("timestamp %#x is written as %x, want %s", ts, got, want)
		}
	}
}

func TestWriterUsesTheShortestFormOfAChunkStreamID(t *testing.T) {
	t.Parallel()
	for id, want := range map[uint32]string{
		2: "02", 63: "3f", 64: "0000", 319: "00ff", 320: "010001", 365: "012d01", 65599: "01ffff",
	} {
		got := written(t, on(id, sound(0, 0xaa)))
		if want := wire(want, "000000 000001 08 01000000 aa"); !bytes.Equal(got, want) {
			t.Errorf("chunk stream %d is written as %x, want %x", id, got, want)
		}
	}
	for _, id := range []uint32{0, 1, 65600, math.MaxUint32} {
		if b, err := rtmp.AppendMessage([]byte{7}, on(id, sound(0)), 128); !errors.Is(err, rtmp.ErrProtocol) || len(b) != 1 {
			t.Errorf("chunk stream %d: AppendMessage() = %x, %v; want ErrProtocol", id, b, err)
		}
	}
}

func TestCase039NoMessageBeginsWithoutAHeader(t *testing.T) {
	t.Parallel()
	ms := []rtmp.Message{
		sound(0, 1), sound(20, 2), sound(40, 3), sound(60, 4, 4), sound(80, 5, 5),
		{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 4, Timestamp: 80, Body: []byte{6, 6}},
		{Type: rtmp.TypeVideo, StreamID: 2, ChunkStream: 4, Timestamp: 100, Body: []byte{7, 7}},
		{Type: rtmp.TypeVideo, StreamID: 2, ChunkStream: 4, Timestamp: 90, Body: []byte{8, 8}},
		{Type: rtmp.TypeVideo, StreamID: 2, ChunkStream: 4, Timestamp: 90, Body: []byte{9, 9}},
	}
	want := wire(
		"04 000000 000001 08 01000000 01", // the first message has the full header
		"84 000014 02", "84 000014 03",    // the same length, at the same distance: never format 3
		"44 000014 000002 08 0404", "84 000014 0505", // another length
		"44 000000 000002 09 0606",          // another type
		"04 000064 000002 09 02000000 0707", // another stream
		"04 00005a 000002 09 02000000 0808", // back in time
		"84 000000 0909",
	)
	got := written(t, ms...)
	if !bytes.Equal(got, want) {
		t.Errorf("Write() wrote\n%x, want\n%x", got, want)
	}
	if read, err := readBytes(got); err != nil || sameMessages(ms, read) != "" {
		t.Errorf("it is read as %+v, %v", read, err)
	}
}

func TestWriterNeverExtendsADelta(t *testing.T) {
	t.Parallel()
	// Some servers take an extended delta for an absolute timestamp.
	got := written(t, sound(0xfffffff0, 0xaa), sound(0x10, 0xbb), sound(0x10+0xfffffe, 0xcc), sound(0x10+0xfffffe+0xffffff, 0xdd))
	want := wire(
		"04 ffffff 000001 08 01000000 fffffff0 aa", "84 000020 bb", "84 fffffe cc",
		"04 ffffff 000001 08 01000000 0200000d dd",
	)
	if !bytes.Equal(got, want) {
		t.Errorf("Write() wrote\n%x, want\n%x", got, want)
	}
}

func TestWriterAdoptsTheChunkSizeThatItSends(t *testing.T) {
	t.Parallel()
	var w writes
	out := rtmp.NewWriter(&w)
	if err := out.SetChunkSize(60000); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(sound(0, filled(60001, 0xaa)...), rtmp.Control(rtmp.TypeSetChunkSize, 1), sound(1, 1, 2)); err != nil {
		t.Fatal(err)
	}
	if len(w) != 2 || !bytes.Equal(w[0], wire("02 000000 000004 01 00000000 0000ea60")) {
		t.Errorf("%d writes, the first %x", len(w), w[0])
	}
	want := wire(
		"04 000000 00ea61 08 01000000", times(60000, "aa"), "c4 aa",
		"82 000000 00000001", // Set Chunk Size again
		"44 000001 000002 08 01 c4 02",
	)
	if !bytes.Equal(w[1], want) {
		t.Errorf("Write() wrote %d bytes ending in %x, want %d ending in %x", len(w[1]), w[1][len(w[1])-20:], len(want), want[len(want)-20:])
	}
}

func TestWriterRefusesWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		m    rtmp.Message
		want error
	}{
		"long message":    {rtmp.Message{Type: rtmp.TypeVideo, ChunkStream: 6, Body: make([]byte, rtmp.MaxMessage+1)}, rtmp.ErrLimit},
		"chunk stream 1":  {on(1, sound(0)), rtmp.ErrProtocol},
		"chunk size 0":    {rtmp.Control(rtmp.TypeSetChunkSize, 0), rtmp.ErrProtocol},
		"chunk size 2^31": {rtmp.Control(rtmp.TypeSetChunkSize, 1<<31), rtmp.ErrProtocol},
	} {
		var b bytes.Buffer
		w := rtmp.NewWriter(&b)
		if err := w.Write(tc.m); !errors.Is(err, tc.want) || b.Len() != 0 {
			t.Errorf("%s: Write() = %v and wrote %d bytes; want %v", name, err, b.Len(), tc.want)
		}
		if err := w.Write(sound(0)); !errors.Is(err, tc.want) {
			t.Errorf("%s: the next Write() = %v; want the same error", name, err)
		}
	}
	for _, size := range []uint32{0, 1 << 31} {
		if _, err := rtmp.AppendMessage(nil, sound(0), size); !errors.Is(err, rtmp.ErrProtocol) {
			t.Errorf("AppendMessage() with chunk size %d = %v, want ErrProtocol", size, err)
		}
	}
	broken := errors.New("broken")
	w := rtmp.NewWriter(failing{broken})
	for range 2 {
		if err := w.Write(sound(0)); !errors.Is(err, broken) {
			t.Errorf("Write() = %v, want that of the connection", err)
		}
	}
}

func TestMessagesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for name, tc := range chunkCases() {
		if ms, err := readBytes(written(t, tc.want...)); err != nil || sameMessages(tc.want, ms) != "" {
			t.Errorf("%s: written and read: %v\n%s", name, err, sameMessages(tc.want, ms))
		}
		for _, size := range []uint32{1, 2, 127, 128, 60000, rtmp.MaxChunkSize} {
			b, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, size), rtmp.DefaultChunkSize)
			want := []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, size)}
			for _, m := range tc.want {
				if m.Type == rtmp.TypeSetChunkSize || err != nil {
					continue
				}
				was := len(b)
				b, err = rtmp.AppendMessage(b, m, size)
				if n := rtmp.MessageSize(m, size); n != len(b)-was {
					t.Errorf("%s: MessageSize() = %d, want %d", name, n, len(b)-was)
				}
				want = append(want, m)
			}
			if err != nil {
				t.Fatal(err)
			}
			if ms, err := readBytes(b); err != nil || sameMessages(want, ms) != "" {
				t.Errorf("%s in chunks of %d: %v\n%s", name, size, err, sameMessages(want, ms))
			}
		}
	}
}

func TestControlMessagesHaveTheirBodies(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]rtmp.Message{
		"02 000000 000004 05 00000000 002625a0":               rtmp.Control(rtmp.TypeWindowAckSize, 2_500_000),
		"02 000000 000005 06 00000000 002625a0 02":            rtmp.PeerBandwidth(2_500_000, rtmp.LimitDynamic),
		"02 000000 000004 01 00000000 0000ea60":               rtmp.Control(rtmp.TypeSetChunkSize, 60000),
		"02 000000 000006 04 00000000 0000 00000001":          rtmp.UserControl{Event: rtmp.EventStreamBegin, Value: 1}.Message(),
		"02 000000 00000a 04 00000000 0003 00000001 00000bb8": rtmp.UserControl{Event: rtmp.EventSetBufferLength, Value: 1, Extra: 3000}.Message(),
	} {
		if got := written(t, m); !bytes.Equal(got, wire(want)) {
			t.Errorf("wrote %x, want %s", got, want)
		}
		if m.Type != rtmp.TypeUserControl {
			continue
		}
		if u, err := rtmp.ParseUserControl(m.Body); err != nil || !bytes.Equal(u.Message().Body, m.Body) {
			t.Errorf("ParseUserControl(%x) = %+v, %v", m.Body, u, err)
		}
	}
	if v, err := rtmp.Control(rtmp.TypeAck, 7).ControlValue(); v != 7 || err != nil {
		t.Errorf("ControlValue() = %d, %v; want 7", v, err)
	}
	if _, err := (rtmp.Message{Type: rtmp.TypeAck, Body: []byte{1, 2, 3}}).ControlValue(); !errors.Is(err, rtmp.ErrProtocol) {
		t.Errorf("ControlValue() of three bytes = %v, want ErrProtocol", err)
	}
}

func TestCase040AcknowledgementsComeUnaskedAndWrap(t *testing.T) {
	t.Parallel()
	a := rtmp.NewAckCounter(0)
	if _, due := a.Due(1_249_999); due {
		t.Error("an acknowledgement is due before half of the default window")
	}
	if n, due := a.Due(1_250_000); !due || n != 1_250_000 {
		t.Errorf("Due(1,250,000) = %d, %v; want 1,250,000", n, due)
	}
	if _, due := a.Due(2_499_999); due {
		t.Error("the second acknowledgement is due too early")
	}
	if n, due := a.Due(3_000_000); !due || n != 3_000_000 {
		t.Errorf("Due(3,000,000) = %d, %v; want 3,000,000", n, due)
	}

	const start = math.MaxUint32 - 1_000_000
	a = rtmp.NewAckCounter(start)
	var last uint32
	for received, want := uint64(1_250_000), uint32(249_999); received < 1<<33; received, want = received+1_250_000, want+1_250_000 {
		n, due := a.Due(received)
		if !due || n != want {
			t.Fatalf("Due(%d) = %d, %v; want %d", received, n, due, want)
		}
		if n < last && n > 1_250_000 {
			t.Fatalf("the sequence falls from %d to %d: a reset, not a wrap", last, n)
		}
		last = n
	}
}

func TestThePeerChoosesTheWindow(t *testing.T) {
	t.Parallel()
	a := rtmp.NewAckCounter(100)
	a.SetWindow(5000)
	for _, bad := range []uint32{0, 1 << 31, math.MaxUint32} {
		a.SetWindow(bad)
	}
	if _, due := a.Due(2499); due {
		t.Error("an acknowledgement is due before half of the window")
	}
	if n, due := a.Due(2500); !due || n != 2600 {
		t.Errorf("Due(2500) = %d, %v; want 2600", n, due)
	}
	a.SetWindow(1)
	if _, due := a.Due(2500 + 2047); due {
		t.Error("a window of one byte is taken at its word")
	}
	if n, due := a.Due(2500 + 2048); !due || n != 2600+2048 {
		t.Errorf("Due(4548) = %d, %v; want 4648", n, due)
	}
}

func BenchmarkWriterWrite(b *testing.B) {
	for _, size := range []int{200, 12_000, 120_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := rtmp.NewWriter(io.Discard)
			if err := w.SetChunkSize(60000); err != nil {
				b.Fatal(err)
			}
			m := rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Body: make([]byte, size)}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				m.Timestamp += 40
				if err := w.Write(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	m := rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Timestamp: 1 << 25, Body: make([]byte, 12_000)}
	buf := make([]byte, 0, 1<<14)
	b.ReportAllocs()
	b.SetBytes(int64(len(m.Body)))
	for b.Loop() {
		if _, err := rtmp.AppendMessage(buf, m, 60000); err != nil {
			b.Fatal(err)
		}
	}
}
