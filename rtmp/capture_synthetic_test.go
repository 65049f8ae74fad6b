package rtmp_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/amf0"
	"sluice/rtmp"
)

var updateCaptures = flag.Bool("update-captures", false, "write the synthetic captures and their lists anew")

// recorder writes chunks exactly as it is told, and lists them.
type recorder struct {
	out   []byte
	rows  []row
	chunk int
	last  map[uint32]uint32 // timestamps by chunk stream
	omit  bool              // leave extended timestamps out of chunks without header, as old librtmp does
}

func newRecorder(handshake []byte) *recorder {
	return &recorder{out: bytes.Clone(handshake), chunk: 128, last: map[uint32]uint32{}}
}

// put writes m with a header of the given format, 0 or 1.
func (c *recorder) put(format uint8, m rtmp.Message) {
	at := len(c.out)
	field := m.Timestamp
	if format == 1 {
		field -= c.last[m.ChunkStream]
	}
	c.last[m.ChunkStream] = m.Timestamp

	head := make([]byte, 8, 16)
	head[0] = format<<6 | byte(m.ChunkStream)
	binary.BigEndian.PutUint32(head[4:], uint32(len(m.Body))) // its first byte is covered below
	copy(head[1:], []byte{byte(field >> 16), byte(field >> 8), byte(field)})
	head[4], head[5], head[6], head[7] = head[5], head[6], head[7], m.Type
	if format == 0 {
		head = binary.LittleEndian.AppendUint32(head, m.StreamID)
	}
	var ext []byte
	if field >= 0xffffff {
		copy(head[1:], "\xff\xff\xff")
		ext = binary.BigEndian.AppendUint32(nil, field)
	}
	c.out = append(append(c.out, head...), ext...)
	if c.omit {
		ext = nil
	}

	chunks, body := 1, m.Body
	for len(body) > c.chunk {
		c.out = append(c.out, body[:c.chunk]...)
		body = body[c.chunk:]
		c.out = append(append(c.out, 3<<6|byte(m.ChunkStream)), ext...)
		chunks++
	}
	c.out = append(c.out, body...)
	c.rows = append(c.rows, rowOf(m, at, rtmp.Trace{Format: format, Chunks: chunks, Extended: field >= 0xffffff}))
}

// shifted returns the capture of an encoder whose clock began long before:
// the configurations are at 0, all else is later by the given time. The first
// audio and the first video frame come by an extended delta.
func shifted(tb testing.TB, by uint32, omit bool) *recorder {
	tb.Helper()
	from := capture(tb, "rtmp_c2s_ffmpeg51_pub_chunk128")
	ms, rows, _ := replay(tb, bytes.NewReader(from))
	c := newRecorder(from[:handshakeLen])
	c.omit = omit
	for i, m := range ms {
		const config = 0 // in the second byte of AVC and AAC
		format := rows[i].Format
		if (m.Type == rtmp.TypeAudio || m.Type == rtmp.TypeVideo) && m.Body[1] != config {
			m.Timestamp += by
			format = 1
		}
		c.put(format, m)
	}
	return c
}

// obsLike returns what OBS sends, after the source of its librtmp, with the
// media of a real capture.
func obsLike(tb testing.TB) *recorder {
	tb.Helper()
	simple := make([]byte, handshakeLen) // version 0; C2 repeats S1, of which nobody knows
	simple[0] = 3
	if _, err := io.ReadFull(noise(37), simple[9:1+blockLen]); err != nil {
		tb.Fatal(err)
	}
	c := newRecorder(simple)
	command := func(format uint8, on, in uint32, args ...any) {
		b, err := amf0.AppendAll(nil, args...)
		if err != nil {
			tb.Fatal(err)
		}
		c.put(format, rtmp.Message{Type: rtmp.TypeCommand, ChunkStream: on, StreamID: in, Body: b})
	}
	const (
		app  = "live/room?auth=k1"
		url  = "rtmp://127.0.0.1:1935/" + app
		name = "cam1?token=a/b"
	)
	c.put(0, rtmp.Control(rtmp.TypeSetChunkSize, 4096))
	c.chunk = 4096
	command(0, 3, 0, "connect", 1, amf0.Object{
		{Key: "app", Value: app},
		{Key: "type", Value: "nonprivate"},
		{Key: "flashVer", Value: "FMLE/3.0 (compatible; FMSc/1.0)"},
		{Key: "swfUrl", Value: url},
		{Key: "tcUrl", Value: url},
	})
	command(1, 3, 0, "releaseStream", 2, nil, name)
	command(1, 3, 0, "FCPublish", 3, nil, name)
	command(1, 3, 0, "createStream", 4, nil)
	command(0, 4, 1, "publish", 5, nil, name, "live")
	obsMedia(tb, c)
	command(1, 3, 0, "FCUnpublish", 6, nil, name)
	command(1, 3, 0, "deleteStream", 7, nil, 1)
	return c
}

// obsMedia writes metadata and media in OBS's order: everything on chunk
// stream 4, the audio configuration first, and a video frame that overtakes
// an audio frame, so that time goes back once.
func obsMedia(tb testing.TB, c *recorder) {
	tb.Helper()
	b, err := amf0.AppendAll(nil, "@setDataFrame", "onMetaData", amf0.ECMAArray{
		{Key: "duration", Value: 0},
		{Key: "fileSize", Value: 0},
		{Key: "width", Value: 320},
		{Key: "height", Value: 180},
		{Key: "videocodecid", Value: 7},
		{Key: "videodatarate", Value: 250},
		{Key: "framerate", Value: 25},
		{Key: "audiocodecid", Value: 10},
		{Key: "audiodatarate", Value: 64},
		{Key: "audiosamplerate", Value: 44100},
		{Key: "audiosamplesize", Value: 16},
		{Key: "audiochannels", Value: 2},
		{Key: "stereo", Value: true},
		{Key: "2.1", Value: false},
		{Key: "3.1", Value: false},
		{Key: "4.0", Value: false},
		{Key: "4.1", Value: false},
		{Key: "5.1", Value: false},
		{Key: "7.1", Value: false},
		{Key: "encoder", Value: "obs-output module"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	c.put(0, rtmp.Message{Type: rtmp.TypeData, ChunkStream: 4, StreamID: 1, Body: b})

	all, _, _ := replay(tb, bytes.NewReader(capture(tb, "rtmp_c2s_ffmpeg51_pub_chunk128")))
	var ms []rtmp.Message
	for _, m := range all {
		endOfSequence := m.Type == rtmp.TypeVideo && m.Body[1] == 2
		if (m.Type == rtmp.TypeAudio || m.Type == rtmp.TypeVideo) && !endOfSequence {
			ms = append(ms, m)
		}
	}
	ms[0], ms[1] = ms[1], ms[0]
	for _, m := range ms {
		if m.Type == rtmp.TypeVideo && m.Timestamp == 63 {
			m.Timestamp = 93
		}
		m.ChunkStream = 4
		format := uint8(1)
		if m.Timestamp == 0 {
			format = 0
		}
		c.put(format, m)
	}
}

func synthetic(tb testing.TB) map[string]*recorder {
	tb.Helper()
	return map[string]*recorder{
		"rtmp_c2s_synthetic_extts":      shifted(tb, 20_000_000, false),
		"rtmp_c2s_synthetic_tsnear2e31": shifted(tb, 2_147_483_200, false),
		"rtmp_c2s_obslike_synthetic":    obsLike(tb),
	}
}

func TestSyntheticCapturesAreAsGenerated(t *testing.T) {
	t.Parallel()
	for name, c := range synthetic(t) {
		var list strings.Builder
		for _, r := range c.rows {
			fmt.Fprintf(&list, `{"at": %d, "fmt": %d, "csid": %d, "type": %d, "sid": %d, "ts": %d, "ext": %d, "len": %d, "chunks": %d, "head": "%s"}`+"\n",
				r.At, r.Format, r.CSID, r.Type, r.SID, r.TS, r.Ext, r.Len, r.Chunks, r.Head)
		}
		for file, want := range map[string][]byte{name + ".bin": c.out, name + ".expect.jsonl": []byte(list.String())} {
			file = filepath.Join("testdata", file)
			if *updateCaptures {
				if err := os.WriteFile(file, want, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is not what the generator makes (%v); -update-captures writes it anew", file, err)
			}
		}
	}
}

func TestExtendedTimestampsMayBeMissingInAWholeCapture(t *testing.T) {
	t.Parallel()
	with, without := shifted(t, 20_000_000, false), shifted(t, 20_000_000, true)
	want, _, _ := replay(t, bytes.NewReader(with.out))
	got, rows, stats := replay(t, bytes.NewReader(without.out))
	if d := sameMessages(want, got); d != "" {
		t.Errorf("the messages differ (-want +got):\n%s", d)
	}
	if missing := (len(with.out) - len(without.out)) / 4; stats.MissingExtended != missing || missing == 0 {
		t.Errorf("Stats() = %+v, want %d missing", stats, missing)
	}
	if last := rows[len(rows)-1]; last.At != without.rows[len(rows)-1].At {
		t.Errorf("the last message is at %d, want %d", last.At, without.rows[len(rows)-1].At)
	}
}
