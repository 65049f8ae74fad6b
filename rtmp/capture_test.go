package rtmp_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/rtmp"
)

// row is a line of a capture's list of messages.
type row struct {
	At     int    `json:"at"`     // offset of the first chunk in the capture
	Format uint8  `json:"fmt"`    // of the first chunk
	CSID   uint32 `json:"csid"`   // chunk stream
	Type   uint8  `json:"type"`   // of the message
	SID    uint32 `json:"sid"`    // message stream
	TS     uint32 `json:"ts"`     // timestamp
	Ext    int    `json:"ext"`    // 1: the timestamp or the delta was an extended one
	Len    int    `json:"len"`    // of the body
	Chunks int    `json:"chunks"` // number of chunks
	Head   string `json:"head"`   // the first 12 bytes of the body
}

const handshakeLen = 1 + 2*blockLen

func rowOf(m rtmp.Message, at int, t rtmp.Trace) row {
	r := row{
		At: at, Format: t.Format, CSID: m.ChunkStream, Type: m.Type, SID: m.StreamID, TS: m.Timestamp,
		Len: len(m.Body), Chunks: t.Chunks, Head: hex.EncodeToString(m.Body[:min(12, len(m.Body))]),
	}
	if t.Extended {
		r.Ext = 1
	}
	return r
}

// captures returns the names of all captures.
func captures(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/rtmp_c2s_*.bin")
	if err != nil || len(files) < 6 {
		tb.Fatalf("%d captures, %v", len(files), err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f[:len(f)-len(".bin")])
	}
	return files
}

// capture returns the bytes of a capture, handshake included.
func capture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// expected returns the list of a capture's messages.
func expected(tb testing.TB, name string) []row {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".expect.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	var rows []row
	for line := range bytes.Lines(b) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}

// replay reads a whole capture, its handshake too.
func replay(tb testing.TB, in io.Reader) ([]rtmp.Message, []row, rtmp.ReaderStats) {
	tb.Helper()
	b := bufio.NewReader(in)
	if err := rtmp.ServerHandshake(b, io.Discard, 0, noise(1)); err != nil {
		tb.Fatal(err)
	}
	var (
		ms   []rtmp.Message
		rows []row
		r    = rtmp.NewReader(b)
	)
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ms, rows, r.Stats()
		}
		if err != nil {
			tb.Fatalf("after %d messages: %v", len(rows), err)
		}
		ms = append(ms, m)
		rows = append(rows, rowOf(m, handshakeLen+int(r.Trace().Offset), r.Trace()))
	}
}

func TestCase035CapturesAreReadAsListed(t *testing.T) {
	t.Parallel()
	for _, name := range captures(t) {
		want := expected(t, name)
		_, got, stats := replay(t, bytes.NewReader(capture(t, name)))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s differs from its list (-want +got):\n%s", name, d)
		}
		if stats != (rtmp.ReaderStats{}) {
			t.Errorf("%s: Stats() = %+v, want none", name, stats)
		}
	}

	steps := 0
	rows := expected(t, "rtmp_c2s_ffmpeg51_pub_alaw_fmt3")
	for i, r := range rows {
		if r.Format == 3 && r.TS-rows[i-1].TS == 20 {
			steps++
		}
	}
	if steps != 48 {
		t.Errorf("%d messages begin with format 3 at steps of 20 ms, want 48", steps)
	}
	for name, first := range map[string]uint32{
		"rtmp_c2s_synthetic_extts":      20_000_000,
		"rtmp_c2s_synthetic_tsnear2e31": 2_147_483_200,
	} {
		var extended []uint32
		for _, r := range expected(t, name) {
			if r.Ext == 1 {
				extended = append(extended, r.TS)
			}
		}
		if len(extended) != 2 || extended[0] != first {
			t.Errorf("%s has the extended timestamps %d, want two from %d", name, extended, first)
		}
	}
}

// pieces is a reader that returns 1 to 7 bytes at a time.
type pieces struct {
	b   []byte
	rng *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(1+p.rng.IntN(7), len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func TestCase036CapturesMayArriveInPieces(t *testing.T) {
	t.Parallel()
	for _, name := range captures(t) {
		want, _, _ := replay(t, bytes.NewReader(capture(t, name)))
		for seed := range uint64(5) {
			in := &pieces{capture(t, name), rand.New(rand.NewPCG(36, seed))}
			ms, rows, _ := replay(t, in)
			if d := cmp.Diff(expected(t, name), rows); d != "" {
				t.Errorf("%s in pieces of seed %d differs from its list (-want +got):\n%s", name, seed, d)
			}
			if d := sameMessages(want, ms); d != "" {
				t.Errorf("%s in pieces of seed %d has other bodies:\n%s", name, seed, d)
			}
		}
	}
}

func TestCase037EverythingMayShareOneChunkStream(t *testing.T) {
	t.Parallel()
	ms, rows, _ := replay(t, bytes.NewReader(capture(t, "rtmp_c2s_obslike_synthetic")))
	if len(ms) != 80 || ms[0].Type != rtmp.TypeSetChunkSize {
		t.Fatalf("%d messages, the first of type %d; want 80, the first Set Chunk Size", len(ms), ms[0].Type)
	}
	var (
		back [][2]uint32
		last uint32
	)
	for i, m := range ms {
		switch m.Type {
		case rtmp.TypeAudio, rtmp.TypeVideo, rtmp.TypeData:
			if m.ChunkStream != 4 {
				t.Errorf("message %d of type %d is on chunk stream %d, want 4", i, m.Type, m.ChunkStream)
			}
			if m.Timestamp < last {
				back = append(back, [2]uint32{last, m.Timestamp})
				if rows[i].Ext != 1 {
					t.Errorf("message %d goes back without an extended delta", i)
				}
			}
			last = m.Timestamp
		}
	}
	if d := cmp.Diff([][2]uint32{{93, 69}}, back); d != "" {
		t.Errorf("steps back in time differ (-want +got):\n%s", d)
	}

	connect, err := amf0.DecodeAll(ms[1].Body)
	if err != nil || len(connect) != 3 {
		t.Fatalf("connect = %v, %v", connect, err)
	}
	if app, _ := amf0.Properties(connect[2]).Get("app"); app != "live/room?auth=k1" {
		t.Errorf("app = %v", app)
	}
	publish, err := amf0.DecodeAll(ms[5].Body)
	if err != nil || len(publish) != 5 || publish[0] != "publish" || publish[3] != "cam1?token=a/b" {
		t.Errorf("publish = %v, %v", publish, err)
	}
}
