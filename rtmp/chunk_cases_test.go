package rtmp_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/rtmp"
)

// chunkCase are bytes behind the handshake and what a reader makes of them.
type chunkCase struct {
	wire []byte
	want []rtmp.Message
	end  error // nil: the input ends between two messages
}

// wire joins hexadecimal with spaces.
func wire(parts ...string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// times repeats the bytes of a hexadecimal number.
func times(n int, s string) string { return strings.Repeat(s, n) }

// sound returns an audio message in stream 1 on chunk stream 4.
func sound(timestamp uint32, body ...byte) rtmp.Message {
	return rtmp.Message{Type: rtmp.TypeAudio, StreamID: 1, ChunkStream: 4, Timestamp: timestamp, Body: body}
}

// on returns m on another chunk stream.
func on(id uint32, m rtmp.Message) rtmp.Message {
	m.ChunkStream = id
	return m
}

// filled returns n bytes of the value c.
func filled(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

// chunkCases are shared by the numbered cases, the truncation test, the
// writer's tests and the fuzz targets.
func chunkCases() map[string]chunkCase {
	video := func(id uint32, body []byte) rtmp.Message {
		return rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: id, Body: body}
	}
	longExtended := append(filled(128, 0xaa), 0xbb, 0xbb)
	format3 := []rtmp.Message{sound(26, 0xaa), sound(52, 0xbb), sound(78, 0xcc)}
	return map[string]chunkCase{
		"set chunk size": {
			wire: wire("02 000000 000004 01 00000000 00001000", "06 000000 000bb8 09 01000000", times(3000, "dd")),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, 4096), video(6, filled(3000, 0xdd))},
		},
		"forms of the chunk stream id": {
			wire: wire(
				"00 00   000001 000001 08 01000000 0a", "00 ff   000001 000001 08 01000000 0b",
				"01 0001 000001 000001 08 01000000 0c", "01 ffff 000001 000001 08 01000000 0d",
				"41 0000 000001 000001 08 0e", "c0 00 0f", "3f 000001 000001 08 01000000 10",
			),
			want: []rtmp.Message{
				on(64, sound(1, 0x0a)), on(319, sound(1, 0x0b)), on(320, sound(1, 0x0c)), on(65599, sound(1, 0x0d)),
				on(64, sound(2, 0x0e)), on(64, sound(3, 0x0f)), on(63, sound(1, 0x10)),
			},
		},
		"format 3 begins messages": {
			wire: wire("04 00001a 000001 08 01000000 aa", "c4 bb", "c4 cc"),
			want: format3,
		},
		"all formats": {
			wire: wire("04 00001a 000001 08 01000000 aa", "c4 bb", "c4 cc", "44 000014 000001 08 dd", "c4 ee", "84 00000a ff"),
			want: append(format3[:3:3], sound(98, 0xdd), sound(118, 0xee), sound(128, 0xff)),
		},
		"extended timestamp": {
			wire: wire("04 ffffff 000082 08 01000000 01000000", times(128, "aa"), "c4 01000000 bbbb"),
			want: []rtmp.Message{sound(1<<24, longExtended...)},
		},
		"extended timestamp, then format 3": {
			wire: wire("04 ffffff 000001 08 01000000 01000000 aa", "44 ffffff 000001 08 01000000 bb", "c4 01000000 cc", "c4 dd"),
			want: []rtmp.Message{sound(1<<24, 0xaa), sound(2<<24, 0xbb), sound(3<<24, 0xcc), sound(4<<24, 0xdd)},
		},
		"extended timestamp left out": {
			wire: wire("04 ffffff 000082 08 01000000 01000000", times(128, "aa"), "c4 bbbb", "84 000001", times(128, "cc"), "c4 dddd"),
			want: []rtmp.Message{sound(1<<24, longExtended...), sound(1<<24+1, append(filled(128, 0xcc), 0xdd, 0xdd)...)},
		},
		"extended timestamp left out before half of it": {
			wire: wire("04 ffffff 000082 08 01000000 01000000", times(128, "aa"), "c4 0100", "04 000001 000000 08 01000000"),
			want: []rtmp.Message{sound(1<<24, append(filled(128, 0xaa), 1, 0)...), sound(1)},
		},
		"least extended timestamp": {
			wire: wire("04 ffffff 000001 08 01000000 00ffffff aa"),
			want: []rtmp.Message{sound(0xffffff, 0xaa)},
		},
		"payload that looks like the timestamp": {
			wire: wire("04 ffffff 000086 08 01000000 01000000", times(128, "aa"), "c4 01000000 01000000bbbb", "84 000005", times(128, "cc"), "c4 010000000202"),
			want: []rtmp.Message{
				sound(1<<24, append(filled(128, 0xaa), 1, 0, 0, 0, 0xbb, 0xbb)...),
				sound(1<<24+5, append(filled(128, 0xcc), 1, 0, 0, 0, 2, 2)...),
			},
		},
		"time goes back": {
			wire: wire("04 00005d 000001 08 01000000 aa", "44 ffffff 000001 08 ffffffe8 aa"),
			want: []rtmp.Message{sound(93, 0xaa), sound(69, 0xaa)},
		},
		"time wraps": {
			wire: wire("04 ffffff 000001 08 01000000 fffffff0 aa", "44 000020 000001 08 bb"),
			want: []rtmp.Message{sound(0xfffffff0, 0xaa), sound(0x10, 0xbb)},
		},
		"format 1 first": {
			wire: wire("42 000000 000006 04 0007 00000309"),
			want: []rtmp.Message{rtmp.UserControl{Event: rtmp.EventPingResponse, Value: 777}.Message()},
		},
		"format 2 first": {wire: wire("85 000000"), end: rtmp.ErrProtocol},
		"format 3 first": {wire: wire("c5"), end: rtmp.ErrProtocol},
		"interleaved": {
			wire: wire("06 000000 0000c8 09 01000000", times(128, "11"), "04 000000 000003 08 01000000 aabbcc", "c6", times(72, "11")),
			want: []rtmp.Message{sound(0, 0xaa, 0xbb, 0xcc), video(6, filled(200, 0x11))},
		},
		"set chunk size within a message": {
			wire: wire("06 000000 00012c 09 01000000", times(128, "11"), "02 000000 000004 01 00000000 00001000", "c6", times(172, "11")),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, 4096), video(6, filled(300, 0x11))},
		},
		"chunk size 1": {
			wire: wire("02 000000 000004 01 00000000 00000001", "04 000000 000003 08 01000000 aa", "c4 bb", "c4 cc"),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, 1), sound(0, 0xaa, 0xbb, 0xcc)},
		},
		"chunk size 2^31-1": {
			wire: wire("02 000000 000004 01 00000000 7fffffff", "04 000000 0000c8 08 01000000", times(200, "aa")),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, 0x7fffffff), sound(0, filled(200, 0xaa)...)},
		},
		"chunk size 128 Mi": {
			wire: wire("02 000000 000004 01 00000000 08000000", "04 000000 0000c8 08 01000000", times(200, "aa")),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeSetChunkSize, 134217728), sound(0, filled(200, 0xaa)...)},
		},
		"chunk size 0":            {wire: wire("02 000000 000004 01 00000000 00000000"), end: rtmp.ErrProtocol},
		"chunk size 2^31":         {wire: wire("02 000000 000004 01 00000000 80000000"), end: rtmp.ErrProtocol},
		"chunk size of two bytes": {wire: wire("02 000000 000002 01 00000000 0001"), end: rtmp.ErrProtocol},
		"abort": {
			wire: wire("04 000000 0000c8 08 01000000", times(128, "aa"), "02 000000 000004 02 00000000 00000004", "04 000007 000001 08 01000000 bb"),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeAbort, 4), sound(7, 0xbb)},
		},
		"abort of nothing": {
			wire: wire("02 000000 000004 02 00000000 00000004", "02 000000 000004 02 00000000 00000002", "04 000007 000001 08 01000000 bb"),
			want: []rtmp.Message{rtmp.Control(rtmp.TypeAbort, 4), rtmp.Control(rtmp.TypeAbort, 2), sound(7, 0xbb)},
		},
		"abort of no chunk stream": {wire: wire("02 000000 000000 02 00000000"), end: rtmp.ErrProtocol},
		"empty message": {
			wire: wire("04 000000 000000 08 01000000", "04 000001 000001 08 01000000 aa"),
			want: []rtmp.Message{sound(0), sound(1, 0xaa)},
		},
		"control messages anywhere": {
			wire: wire("05 000000 000004 01 00000000 00001000", "02 000000 000004 05 07000000 00010000", "04 000000 0000c8 08 01000000", times(200, "aa")),
			want: []rtmp.Message{
				on(5, rtmp.Control(rtmp.TypeSetChunkSize, 4096)),
				{Type: rtmp.TypeWindowAckSize, StreamID: 7, ChunkStream: 2, Body: []byte{0, 1, 0, 0}},
				sound(0, filled(200, 0xaa)...),
			},
		},
		"message within a message": {
			wire: wire("04 000000 0000c8 08 01000000", times(128, "aa"), "04 000000 000001 08 01000000 bb"),
			end:  rtmp.ErrProtocol,
		},
		"unknown types": {
			wire: wire("04 000000 0000c8 63 01000000", times(128, "11"), "c4", times(72, "11"), "02 000000 000006 04 00000000 0063 00000000", "02 000000 000001 04 00000000 00", "04 000000 000001 08 01000000 aa"),
			want: []rtmp.Message{
				{Type: rtmp.TypeUserControl, ChunkStream: 2, Body: []byte{0, 99, 0, 0, 0, 0}},
				{Type: rtmp.TypeUserControl, ChunkStream: 2, Body: []byte{0}},
				sound(0, 0xaa),
			},
		},
		"cut off between two chunks": {
			wire: wire("04 000000 0000c8 08 01000000", times(128, "aa")),
			end:  io.ErrUnexpectedEOF,
		},
		"command too long": {wire: wire("03 000000 010001 14 00000000"), end: rtmp.ErrLimit},
		"data too long":    {wire: wire("03 000000 040001 12 00000000"), end: rtmp.ErrLimit},
		"audio too long":   {wire: wire("03 000000 100001 08 00000000"), end: rtmp.ErrLimit},
		"video too long":   {wire: wire("03 000000 800001 09 00000000"), end: rtmp.ErrLimit},
		"control too long": {wire: wire("03 000000 000041 04 00000000"), end: rtmp.ErrLimit},
	}
}

// read reads all messages of r, to its error.
func read(r *rtmp.Reader) ([]rtmp.Message, error) {
	var ms []rtmp.Message
	for {
		m, err := r.Next()
		if err != nil {
			return ms, err
		}
		ms = append(ms, m)
	}
}

// readBytes reads all messages of b. The end of the input between two
// messages counts as no error.
func readBytes(b []byte) ([]rtmp.Message, error) {
	ms, err := read(rtmp.NewReader(bufio.NewReader(bytes.NewReader(b))))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return ms, err
}

// sameMessages compares messages; nil and empty are the same.
func sameMessages(want, got []rtmp.Message) string {
	same := func(a, b rtmp.Message) bool {
		return bytes.Equal(a.Body, b.Body) && a.Type == b.Type && a.StreamID == b.StreamID &&
			a.ChunkStream == b.ChunkStream && a.Timestamp == b.Timestamp
	}
	if slices.EqualFunc(want, got, same) { // much faster than to look for the difference
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// feed writes b to a pipe that may be closed before it has taken everything.
func feed(to net.Conn, b []byte) {
	go func() {
		_, _ = to.Write(b) // the reader knows better how far it got
	}()
}

// checkChunks reads the case of the given name.
func checkChunks(t *testing.T, name string) {
	t.Helper()
	tc, ok := chunkCases()[name]
	if !ok {
		t.Fatalf("no case %q", name)
	}
	got, err := readBytes(tc.wire)
	if !errors.Is(err, tc.end) {
		t.Errorf("%s: the reader ends with %v, want %v", name, err, tc.end)
	}
	if d := sameMessages(tc.want, got); d != "" {
		t.Errorf("%s: the messages differ (-want +got):\n%s", name, d)
	}
}
