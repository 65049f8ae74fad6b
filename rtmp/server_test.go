package rtmp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/amf0"
	"sluice/rtmp"
)

// talk is a connection whose client has said everything before the server
// listens.
type talk struct {
	io.Reader
	bytes.Buffer
}

func (t *talk) Read(p []byte) (int, error) { return t.Reader.Read(p) }

// heard is what came of a talk: what the owner of the connection was told,
// what the client was told, and how it ended.
type heard struct {
	events  []rtmp.Event
	replies []rtmp.Message
	end     error
}

// kinds returns the kinds of the events.
func (h heard) kinds() []rtmp.EventKind {
	var out []rtmp.EventKind
	for _, ev := range h.events {
		out = append(out, ev.Kind)
	}
	return out
}

// commands returns the commands that the client was sent, decoded, each behind
// the message stream that it came on.
func (h heard) commands(t *testing.T) [][]any {
	t.Helper()
	var out [][]any
	for _, m := range h.replies {
		if m.Type != rtmp.TypeCommand {
			continue
		}
		values, err := amf0.DecodeAll(m.Body)
		if err != nil {
			t.Fatalf("the server sent %x: %v", m.Body, err)
		}
		out = append(out, append([]any{m.StreamID}, values...))
	}
	return out
}

// last returns the last command that the client was sent.
func (h heard) last(t *testing.T) []any {
	t.Helper()
	all := h.commands(t)
	if len(all) == 0 {
		t.Fatalf("the server sent no command, and ended with %v", h.end)
	}
	return all[len(all)-1]
}

// accept is an owner that accepts everything.
func accept(c *rtmp.ServerConn, _ rtmp.Event) error { return c.Accept() }

// listen lets a server hear the chunks, which follow a handshake; owner
// answers the requests.
func listen(t *testing.T, owner func(*rtmp.ServerConn, rtmp.Event) error, chunks ...[]byte) heard {
	t.Helper()
	conn := &talk{Reader: bytes.NewReader(greeted(chunks...))}
	var h heard
	h.end = converse(t, conn, owner, func(ev rtmp.Event) { h.events = append(h.events, ev) })
	h.replies = messages(t, conn.Bytes()[3073:])
	return h
}

// greeted is the chunks behind the handshake of a client.
func greeted(chunks ...[]byte) []byte {
	hello := append([]byte{3}, make([]byte, 2*1536)...)
	return append(hello, bytes.Join(chunks, nil)...)
}

// converse hears a client out, whose requests owner answers, and returns how that
// ended.
func converse(t *testing.T, client io.ReadWriter, owner func(*rtmp.ServerConn, rtmp.Event) error, note func(rtmp.Event)) error {
	t.Helper()
	c, err := rtmp.NewServerConn(client, 0)
	if err != nil {
		t.Fatalf("NewServerConn() error = %v", err)
	}
	for {
		ev, err := c.Next()
		if err != nil {
			return err //nolint:wrapcheck // as it is
		}
		note(ev)
		switch ev.Kind {
		case rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.PlayRequest:
			if err := owner(c, ev); err != nil {
				t.Fatalf("answering %+v: %v", ev, err)
			}
		default: // nothing to answer
		}
	}
}

func messages(t *testing.T, b []byte) []rtmp.Message {
	t.Helper()
	r := rtmp.NewReader(bufioReader(b))
	var out []rtmp.Message
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("reading what the server sent: %v", err)
		}
		out = append(out, m)
	}
}

// octets reads hexadecimal digits; blanks are cosmetic.
func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// said is a message as chunks.
func said(t *testing.T, typ uint8, stream uint32, body []byte) []byte {
	t.Helper()
	b, err := rtmp.AppendMessage(nil, rtmp.Message{Type: typ, StreamID: stream, ChunkStream: 3, Body: body}, rtmp.DefaultChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// called is a command on a message stream, as chunks.
func called(t *testing.T, stream uint32, values ...any) []byte {
	t.Helper()
	body, err := amf0.AppendAll(nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	return said(t, rtmp.TypeCommand, stream, body)
}

// connected is the connect command of protocol.md's case 41.
func connected(t *testing.T) []byte {
	t.Helper()
	return octets(t, "03 000000 000023 14 00000000 020007636f6e6e65637400 3ff0000000000000 03 0003617070 0200046c697665 000009")
}

func codeOf(t *testing.T, cmd []any) string {
	t.Helper()
	info := amf0.Properties(cmd[len(cmd)-1])
	code, _ := info.Get("code")
	s, _ := code.(string)
	return s
}

func TestCase041MinimalConnectIsAnswered(t *testing.T) {
	t.Parallel()
	h := listen(t, accept, connected(t))
	if diff := cmp.Diff([]rtmp.EventKind{rtmp.ConnectRequest}, h.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	want := []any{
		uint32(0), "_result", 1.0,
		amf0.Object{{Key: "fmsVer", Value: "FMS/3,0,1,123"}, {Key: "capabilities", Value: 31.0}},
		amf0.Object{
			{Key: "level", Value: "status"},
			{Key: "code", Value: "NetConnection.Connect.Success"},
			{Key: "description", Value: "Connection succeeded."},
			{Key: "objectEncoding", Value: 0.0},
		},
	}
	if diff := cmp.Diff(want, h.last(t)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	var before []string
	for _, m := range h.replies[:3] {
		before = append(before, fmt.Sprintf("%d %d %x", m.ChunkStream, m.Type, m.Body))
	}
	if diff := cmp.Diff([]string{"2 5 002625a0", "2 6 002625a002", "2 1 0000ea60"}, before); diff != "" {
		t.Errorf("before the answer (-want +got):\n%s", diff)
	}
	if len(h.replies) != 4 {
		t.Errorf("the server sent %d messages, want 4", len(h.replies))
	}
}

func TestCase042CreateStreamAnswersOne(t *testing.T) {
	t.Parallel()
	create := octets(t, "02000c63726561746553747265616d00401000000000000005")
	h := listen(t, accept, connected(t), said(t, rtmp.TypeCommand, 0, create))
	last := h.replies[len(h.replies)-1]
	want := octets(t, "02 0007 5F726573756C74  00 4010000000000000  05  00 3FF0000000000000")
	if !bytes.Equal(last.Body, want) || last.StreamID != 0 {
		t.Errorf("the server sent %x on message stream %d, want %x on 0", last.Body, last.StreamID, want)
	}
}

func TestCase043PublishIsAnsweredOnItsMessageStream(t *testing.T) {
	t.Parallel()
	publish := octets(t, "0200077075626c6973680040140000000000000502000463616d310200046c697665")
	h := listen(t, accept, connected(t), called(t, 0, "createStream", 4, nil), said(t, rtmp.TypeCommand, 1, publish))
	want := []any{uint32(1), "onStatus", 0.0, nil, amf0.Object{
		{Key: "level", Value: "status"},
		{Key: "code", Value: "NetStream.Publish.Start"},
		{Key: "description", Value: "Publishing began"},
	}}
	if diff := cmp.Diff(want, h.last(t)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	begin := h.replies[len(h.replies)-2]
	if begin.Type != rtmp.TypeUserControl || !bytes.Equal(begin.Body, octets(t, "0000 00000001")) {
		t.Errorf("before it came %+v, want StreamBegin(1)", begin)
	}
	if ev := h.events[1]; ev.Kind != rtmp.PublishRequest || ev.Name != "cam1" {
		t.Errorf("event %+v, want a request to publish cam1", ev)
	}
}

func TestCase044ConnectAsAMF3CommandWithAndWithoutSelector(t *testing.T) {
	t.Parallel()
	body := connected(t)[12:]
	want := listen(t, accept, connected(t)).replies
	for name, body := range map[string][]byte{"with": append([]byte{0}, body...), "without": body} {
		h := listen(t, accept, said(t, rtmp.TypeCommandAMF3, 0, body))
		if diff := cmp.Diff(want, h.replies); diff != "" {
			t.Errorf("%s the selector (-want +got):\n%s", name, diff)
		}
	}
}

func TestCase045ObjectEncodingThreeIsEchoedAndAMF3ValuesAreRead(t *testing.T) {
	t.Parallel()
	connect, err := amf0.AppendAll(nil, "connect", 1, amf0.Object{
		{Key: "app", Value: "live"}, {Key: "objectEncoding", Value: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Properties as AMF3: the integer 5, the string "ab", and a marker that there is not.
	for _, avm := range []string{"11 04 05", "11 06 05 6162", "11 01"} {
		body := append([]byte{}, connect[:len(connect)-3]...)
		body = append(body, 0, 1, 'x')
		body = append(append(body, octets(t, avm)...), 0, 0, 9)
		h := listen(t, accept, said(t, rtmp.TypeCommandAMF3, 0, append([]byte{0}, body...)))
		answer := h.last(t)
		enc, _ := amf0.Properties(answer[len(answer)-1]).Get("objectEncoding")
		if codeOf(t, answer) != "NetConnection.Connect.Success" || enc != 3.0 {
			t.Errorf("with the value %s the answer is %v", avm, answer)
		}
	}
	bad := append(connect[:len(connect)-3:len(connect)-3], octets(t, "000178 11 7f 000009")...)
	h := listen(t, accept, said(t, rtmp.TypeCommandAMF3, 0, append([]byte{0}, bad...)))
	if !errors.Is(h.end, rtmp.ErrProtocol) {
		t.Errorf("an unknown AMF3 marker ends with %v, want %v", h.end, rtmp.ErrProtocol)
	}
}

func TestCase046ConnectWithoutApplicationIsRefused(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]any{
		"no object": {"connect", 1},
		"null":      {"connect", 1, nil},
		"no app":    {"connect", 1, amf0.Object{{Key: "tcUrl", Value: "rtmp://host"}}},
		"empty app": {"connect", 1, amf0.Object{{Key: "app", Value: ""}}},
		"odd app":   {"connect", 1, amf0.Object{{Key: "app", Value: amf0.Object{}}}},
	} {
		h := listen(t, accept, called(t, 0, values...))
		answer := h.last(t)
		if answer[1] != "_error" || answer[2] != 1.0 || codeOf(t, answer) != "NetConnection.Connect.InvalidApp" {
			t.Errorf("%s: answer %v, want _error 1 InvalidApp", name, answer)
		}
		if !errors.Is(h.end, rtmp.ErrName) {
			t.Errorf("%s: ended with %v, want %v", name, h.end, rtmp.ErrName)
		}
	}
}

func TestCase047CallsWithoutTransactionAndUnknownOnesAreNotAnswered(t *testing.T) {
	t.Parallel()
	quiet := len(listen(t, accept, connected(t)).replies)
	for _, call := range [][]any{
		{"releaseStream", 0, nil, "cam1"},
		{"somethingElse", 7, nil},
		{"somethingElse", 0},
		{"receiveAudio", 0, nil, true},
		{"pause", 0, nil, true, 0},
		{"createStream", 0, nil}, // nobody would know the answer
	} {
		h := listen(t, accept, connected(t), called(t, 0, call...))
		if got := len(h.replies) - quiet; got != 0 || !errors.Is(h.end, io.EOF) {
			t.Errorf("%v: %d answers and %v, want none and the end of the input", call, got, h.end)
		}
	}
	h := listen(t, accept, connected(t), called(t, 0, "releaseStream", 2, nil, "cam1"))
	if diff := cmp.Diff([]any{uint32(0), "_result", 2.0, nil, amf0.Undefined{}}, h.last(t)); diff != "" {
		t.Errorf("releaseStream 2 (-want +got):\n%s", diff)
	}
}

func TestFCPublishAndItsLikeAreAnsweredAsEncodersExpect(t *testing.T) {
	t.Parallel()
	quiet := len(listen(t, accept, connected(t)).replies)
	info := func(code, text string) amf0.Object {
		return amf0.Object{
			{Key: "level", Value: "status"},
			{Key: "code", Value: code},
			{Key: "description", Value: text},
		}
	}
	for _, tt := range []struct {
		call []any
		want [][]any
	}{
		{[]any{"FCPublish", 3, nil, "cam1"}, [][]any{
			{uint32(0), "onFCPublish", 0.0, nil, info("NetStream.Publish.Start", "FCPublish")},
			{uint32(0), "_result", 3.0, nil, amf0.Undefined{}},
		}},
		{[]any{"FCPublish", 0, nil, "cam1"}, [][]any{
			{uint32(0), "onFCPublish", 0.0, nil, info("NetStream.Publish.Start", "FCPublish")},
		}},
		{[]any{"FCUnpublish", 6, nil, "cam1"}, [][]any{
			{uint32(0), "onFCUnpublish", 0.0, nil, info("NetStream.Unpublish.Success", "Publishing ended")},
			{uint32(0), "_result", 6.0, nil, amf0.Undefined{}},
		}},
		{[]any{"_checkbw", 4, nil}, [][]any{{uint32(0), "_result", 4.0, nil}}},
		{[]any{"getStreamLength", 3, nil, "cam1"}, [][]any{{uint32(0), "_result", 3.0, nil, 0.0}}},
		{[]any{"FCSubscribe", 3, nil, "cam1"}, [][]any{
			{uint32(0), "onFCSubscribe", 0.0, nil, info("NetStream.Play.Start", "FCSubscribe")},
		}},
	} {
		h := listen(t, accept, connected(t), called(t, 0, tt.call...))
		if diff := cmp.Diff(tt.want, h.commands(t)[quiet-3:]); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.call, diff)
		}
	}
}

func TestCase048PublishOnMessageStreamZeroIsAccepted(t *testing.T) {
	t.Parallel()
	audio := func(stream uint32) []byte { return said(t, rtmp.TypeAudio, stream, []byte{0xaf, 1, 2}) }
	for _, id := range []uint32{0, 1} { // neither has been created
		h := listen(t, accept, connected(t), called(t, id, "publish", 5, nil, "cam1", "live"), audio(0), audio(1))
		if answer := h.commands(t)[1]; answer[0] != id || codeOf(t, answer) != "NetStream.Publish.Start" {
			t.Errorf("publish on %d is answered with %v", id, answer)
		}
		want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Media, rtmp.Media}
		if diff := cmp.Diff(want, h.kinds()); diff != "" {
			t.Errorf("publish on %d, events (-want +got):\n%s", id, diff)
		}
	}
	h := listen(t, accept, connected(t), called(t, 5, "publish", 5, nil, "cam1", "live"))
	if answer := h.last(t); codeOf(t, answer) != "NetStream.Publish.BadName" || len(h.events) != 1 {
		t.Errorf("publish on a stream that was never created is answered with %v", answer)
	}
}

func TestCase049NinthCreateStreamIsRefused(t *testing.T) {
	t.Parallel()
	chunks := [][]byte{connected(t)}
	for i := range 9 {
		chunks = append(chunks, called(t, 0, "createStream", 2+i, nil))
	}
	chunks = append(chunks, called(t, 0, "deleteStream", 0, nil, 3), called(t, 0, "createStream", 20, nil))
	got := listen(t, accept, chunks...).commands(t)[1:]
	for i := range 8 {
		if diff := cmp.Diff([]any{uint32(0), "_result", float64(2 + i), nil, float64(1 + i)}, got[i]); diff != "" {
			t.Errorf("createStream %d (-want +got):\n%s", i, diff)
		}
	}
	if got[8][1] != "_error" || got[8][2] != 10.0 {
		t.Errorf("the 9th is answered with %v, want _error 10", got[8])
	}
	if diff := cmp.Diff([]any{uint32(0), "_result", 20.0, nil, 3.0}, got[9]); diff != "" {
		t.Errorf("after deleteStream (-want +got):\n%s", diff)
	}
}

func TestCase065EndingWhatWasNeverBegunDoesNoHarm(t *testing.T) {
	t.Parallel()
	for _, call := range [][]any{
		{"deleteStream", 7, nil, 77},
		{"deleteStream", 7, nil, -1},
		{"deleteStream", 7, nil, math.NaN()},
		{"deleteStream", 7, nil, math.Inf(1)},
		{"deleteStream", 7},
		{"closeStream", 0, nil, "cam1"},
		{"closeStream", 0},
		{"FCUnpublish", 0},
	} {
		h := listen(t, accept, connected(t), called(t, 9, call...), called(t, 0, "publish", 5, nil, "cam1"))
		want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest}
		if diff := cmp.Diff(want, h.kinds()); diff != "" || !errors.Is(h.end, io.EOF) {
			t.Errorf("%v ends with %v (-want +got):\n%s", call, h.end, diff)
		}
	}
	publish := called(t, 1, "publish", 5, nil, "cam1")
	other := listen(t, accept, connected(t), publish, called(t, 0, "deleteStream", 7, nil, 5))
	if diff := cmp.Diff([]rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest}, other.kinds()); diff != "" {
		t.Errorf("deleteStream of another stream (-want +got):\n%s", diff)
	}
	gst := listen(t, accept, connected(t), publish, called(t, 1, "closeStream", 0, nil, "cam1"), publish,
		called(t, 0, "deleteStream", 0, nil, "cam1"))
	want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Ended, rtmp.PublishRequest, rtmp.Ended}
	if diff := cmp.Diff(want, gst.kinds()); diff != "" {
		t.Errorf("GStreamer's arguments (-want +got):\n%s", diff)
	}
}

// flood repeats a piece of input without keeping more than one of it.
type flood struct {
	piece []byte
	left  int
	at    int
}

func (f *flood) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.piece[f.at:])
	if f.at += n; f.at == len(f.piece) {
		f.at = 0
		f.left--
	}
	return n, nil
}

// It measures the memory in use, and so runs alone.
func TestCase068MediaBeforePublishIsForgotten(t *testing.T) {
	hello := append([]byte{3}, make([]byte, 2*1536)...)
	hello = append(hello, connected(t)...)
	for _, typ := range []uint8{rtmp.TypeAudio, rtmp.TypeVideo, rtmp.TypeData} {
		media := &flood{piece: said(t, typ, 1, make([]byte, 64<<10)), left: 2048} // 128 MiB
		conn := &talk{Reader: io.MultiReader(bytes.NewReader(hello), media,
			bytes.NewReader(called(t, 1, "publish", 5, nil, "cam1")))}
		c, err := rtmp.NewServerConn(conn, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		if err := c.Accept(); err != nil {
			t.Fatal(err)
		}
		before := heap()
		ev, err := c.Next()
		if err != nil || ev.Kind != rtmp.PublishRequest || ev.Name != "cam1" {
			t.Errorf("Next() = %+v, %v; want the request to publish", ev, err)
		}
		if grown := heap() - before; grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		runtime.KeepAlive(c)
	}
}

func TestAStrangerHoldsLittleMemory(t *testing.T) {
	hello := append([]byte{3}, make([]byte, 2*1536)...)
	// Messages of 8 MiB on 40 chunk streams, none of them finished.
	begun := octets(t, "02 000000 000004 01 00000000 00100000")
	for id := range byte(40) {
		begun = append(begun, 4+id, 0, 0, 0, 0x80, 0, 0, rtmp.TypeVideo, 1, 0, 0, 0)
		begun = append(begun, make([]byte, 1<<20)...)
	}
	in := bytes.NewReader(slices.Concat(hello, connected(t), begun))
	c, err := rtmp.NewServerConn(&talk{Reader: in}, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	if err := c.Accept(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Next() = %v", err)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(c)
	runtime.KeepAlive(in)
}

func TestCommandsOfAStrangerAreBoundTogether(t *testing.T) {
	t.Parallel()
	begun := octets(t, "02 000000 000004 01 00000000 0000ff00")
	for id := range byte(10) {
		begun = append(begun, 4+id, 0, 0, 0, 0, 0xff, 0xff, rtmp.TypeCommand, 1, 0, 0, 0)
		begun = append(begun, make([]byte, 0xff00)...)
	}
	if h := listen(t, accept, connected(t), begun); !errors.Is(h.end, rtmp.ErrLimit) {
		t.Errorf("ended with %v", h.end)
	}
}

func TestAMessageBegunBeforeThePublishIsNotOfIt(t *testing.T) {
	t.Parallel()
	// Two pieces of a picture, a publish between them.
	first := append([]byte{6, 0, 0, 0, 0, 0, 200, rtmp.TypeVideo, 1, 0, 0, 0}, make([]byte, 128)...)
	rest := append([]byte{0xc6}, make([]byte, 72)...)
	h := listen(t, accept, connected(t), first, called(t, 1, "publish", 5, nil, "cam1"), rest, said(t, rtmp.TypeAudio, 1, []byte{0xaf}))
	if d := cmp.Diff([]rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Media}, h.kinds()); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSecondPublishOnAConnectionIsRefusedAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	h := listen(t, accept, connected(t),
		called(t, 0, "createStream", 2, nil), called(t, 0, "createStream", 3, nil),
		called(t, 1, "publish", 4, nil, "cam1"), called(t, 2, "publish", 5, nil, "cam2"),
		called(t, 2, "play", 6, nil, "cam2"), said(t, rtmp.TypeAudio, 1, []byte{0xaf, 1, 2}))
	want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Media}
	if diff := cmp.Diff(want, h.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	got := h.commands(t)
	if second := got[len(got)-2]; second[0] != uint32(2) || codeOf(t, second) != "NetStream.Publish.BadName" {
		t.Errorf("the second publish is answered with %v", second)
	}
	if play := h.last(t); play[0] != uint32(2) || codeOf(t, play) != "NetStream.Play.Failed" {
		t.Errorf("the play is answered with %v", play)
	}
}

// deaf is a client that hears nothing any more after so many bytes.
type deaf struct {
	*talk
	left int
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return d.talk.Write(p)
}

func TestClientThatUnpublishesMayBeGoneBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	said := bytes.Join([][]byte{
		append([]byte{3}, make([]byte, 2*1536)...), connected(t),
		called(t, 0, "publish", 5, nil, "cam1"), called(t, 0, "FCUnpublish", 6, nil, "cam1"),
	}, nil)
	heard := listen(t, accept, connected(t), called(t, 0, "publish", 5, nil, "cam1"))
	size := 3073
	for _, m := range heard.replies {
		size += rtmp.MessageSize(m, 60000)
	}
	c, err := rtmp.NewServerConn(&deaf{&talk{Reader: bytes.NewReader(said)}, size}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Ended} {
		ev, err := c.Next()
		if err != nil || ev.Kind != want {
			t.Fatalf("Next() = %+v, %v; want kind %d", ev, err, want)
		}
		if want != rtmp.Ended && c.Accept() != nil {
			t.Fatal("the client is deaf too early")
		}
	}
	if _, err := c.Next(); err == nil {
		t.Error("Next() goes on")
	}
}

func TestNumberAsStreamNameIsText(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{"123": 123, "": nil, "007": "007"} {
		h := listen(t, accept, connected(t), called(t, 0, "publish", 5, nil, v, "live"))
		if ev := h.events[len(h.events)-1]; ev.Kind != rtmp.PublishRequest || ev.Name != want {
			t.Errorf("the name %v gives %+v", v, ev)
		}
	}
}

func TestPingIsAnsweredAndOtherEventsAreNot(t *testing.T) {
	t.Parallel()
	quiet := len(listen(t, accept, connected(t)).replies)
	h := listen(t, accept, connected(t),
		octets(t, "02 000000 000006 04 00000000 0006 00ABCDEF"), // ping
		octets(t, "02 000000 000006 04 00000000 0063 00000000"), // event 99
		octets(t, "02 000000 000001 04 00000000 00"),            // too short
		octets(t, "02 000000 00000A 04 00000000 0003 00000001 00000BB8"))
	if len(h.replies) != quiet+1 || !errors.Is(h.end, io.EOF) {
		t.Fatalf("the server sent %d messages and ended with %v", len(h.replies)-quiet, h.end)
	}
	if got := h.replies[quiet]; got.Type != rtmp.TypeUserControl || !bytes.Equal(got.Body, octets(t, "0007 00ABCDEF")) {
		t.Errorf("the ping is answered with %+v", got)
	}
}

func TestReceivedBytesAreAcknowledgedWithinOneLargeMessage(t *testing.T) {
	t.Parallel()
	h := listen(t, accept, connected(t), called(t, 0, "publish", 5, nil, "cam1"),
		said(t, rtmp.TypeVideo, 0, make([]byte, 4_000_000)))
	var acks []uint32
	for _, m := range h.replies {
		if m.Type == rtmp.TypeAck {
			v, err := m.ControlValue()
			if err != nil {
				t.Fatal(err)
			}
			acks = append(acks, v)
		}
	}
	if len(acks) != 3 || acks[0] < 1_250_000 || acks[0] > 1_250_000+128<<10 {
		t.Errorf("acknowledged %v, want three times, first at 1,250,000", acks)
	}
}

func TestAggregateSurfacesAsItsMessages(t *testing.T) {
	t.Parallel()
	body := octets(t, "08 000002 000064 00 000000 AF01 0000000D 09 000005 000078 00 000000 2701000000 00000010")
	h := listen(t, accept, connected(t), said(t, rtmp.TypeAggregate, 0, body),
		called(t, 0, "publish", 5, nil, "cam1"), said(t, rtmp.TypeAggregate, 0, body))
	want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.Media, rtmp.Media}
	if diff := cmp.Diff(want, h.kinds()); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	if a, v := h.events[2].Message, h.events[3].Message; a.Type != rtmp.TypeAudio || v.Type != rtmp.TypeVideo || v.Timestamp-a.Timestamp != 20 {
		t.Errorf("the aggregate gave %+v and %+v", a, v)
	}
	bad := listen(t, accept, connected(t), called(t, 0, "publish", 5, nil, "cam1"), said(t, rtmp.TypeAggregate, 0, body[:len(body)-6]))
	if !errors.Is(bad.end, rtmp.ErrProtocol) {
		t.Errorf("a cut aggregate ends with %v, want %v", bad.end, rtmp.ErrProtocol)
	}
}

func TestDataMessageOfAMF3LosesItsSelector(t *testing.T) {
	t.Parallel()
	script := []byte("\x02\x00\x0aonMetaData\x05")
	h := listen(t, accept, connected(t), called(t, 0, "publish", 5, nil, "cam1"),
		said(t, rtmp.TypeDataAMF3, 0, append([]byte{0}, script...)), said(t, rtmp.TypeDataAMF3, 0, script), said(t, rtmp.TypeDataAMF3, 0, nil))
	for i, want := range [][]byte{script, script, nil} {
		if m := h.events[2+i].Message; m.Type != rtmp.TypeData || !bytes.Equal(m.Body, want) {
			t.Errorf("data message %d is %+v", i, m)
		}
	}
}

func TestCommandsAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n int) [][]byte {
		chunks := [][]byte{connected(t)}
		for range n {
			chunks = append(chunks, called(t, 0, "hello", 0))
		}
		return chunks
	}
	if h := listen(t, accept, many(rtmp.MaxCommandRate-1)...); !errors.Is(h.end, io.EOF) {
		t.Errorf("%d commands end with %v", rtmp.MaxCommandRate, h.end)
	}
	if h := listen(t, accept, many(2*rtmp.MaxCommandRate)...); !errors.Is(h.end, rtmp.ErrLimit) {
		t.Errorf("%d commands end with %v, want %v", 2*rtmp.MaxCommandRate, h.end, rtmp.ErrLimit)
	}
}

func TestCommandThatCannotBeReadEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":           "",
		"number for name": "00 3ff0000000000000",
		"cut":             "02 0007 636f",
		"unknown marker":  "02 0004 706c6179 00 3ff0000000000000 05 7f",
		"nesting":         "02 0004 706c6179 00 3ff0000000000000" + strings.Repeat("0a00000001", 1000),
	} {
		h := listen(t, accept, connected(t), said(t, rtmp.TypeCommand, 0, octets(t, body)))
		if !errors.Is(h.end, rtmp.ErrProtocol) {
			t.Errorf("%s: ended with %v, want %v", name, h.end, rtmp.ErrProtocol)
		}
	}
	junk := octets(t, "02 0007 7075626c697368 00 4014000000000000 05 02 0004 63616d31 7f ffff")
	h := listen(t, accept, connected(t), said(t, rtmp.TypeCommand, 0, junk))
	if ev := h.events[len(h.events)-1]; ev.Kind != rtmp.PublishRequest || ev.Name != "cam1" {
		t.Errorf("junk behind the name: %+v, %v", ev, h.end)
	}
	if h := listen(t, accept, called(t, 0, "createStream", 2, nil)); !errors.Is(h.end, rtmp.ErrProtocol) {
		t.Errorf("createStream before connect ends with %v", h.end)
	}
	if h := listen(t, accept, connected(t), connected(t)); !errors.Is(h.end, rtmp.ErrProtocol) {
		t.Errorf("a second connect ends with %v", h.end)
	}
}

func TestCommandsAreNoWayToSpendMemory(t *testing.T) {
	t.Parallel()
	dense := amf0.Object{}
	for i := range 200 {
		dense = append(dense, amf0.Property{Key: fmt.Sprint(i)})
	}
	if h := listen(t, accept, connected(t), called(t, 0, "createStream", 4, dense)); !errors.Is(h.end, rtmp.ErrProtocol) || !errors.Is(h.end, amf0.ErrLimit) {
		t.Errorf("a call with 200 properties ends with %v", h.end)
	}
	h := listen(t, accept, connected(t), called(t, 0, "setPeerInfo", 4, dense), called(t, 1, "publish", 5, nil, "cam1"))
	if diff := cmp.Diff([]rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest}, h.kinds()); diff != "" || !errors.Is(h.end, io.EOF) {
		t.Errorf("behind a call that nobody understands, ended with %v (-want +got):\n%s", h.end, diff)
	}
}

func TestRequestsCanBeRefused(t *testing.T) {
	t.Parallel()
	refuse := func(c *rtmp.ServerConn, ev rtmp.Event) error {
		switch ev.Kind {
		case rtmp.PublishRequest:
			return c.Refuse(rtmp.CodePublishDenied, "no")
		case rtmp.PlayRequest:
			return c.Refuse(rtmp.CodePlayNotFound, "no")
		default:
			return c.Accept()
		}
	}
	h := listen(t, refuse, connected(t), called(t, 1, "publish", 5, nil, "cam1"), said(t, rtmp.TypeAudio, 1, []byte{0xaf, 1, 2}),
		called(t, 1, "play", 6, nil, "cam1"))
	want := []rtmp.EventKind{rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.PlayRequest}
	if diff := cmp.Diff(want, h.kinds()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for i, code := range []string{rtmp.CodePublishDenied, rtmp.CodePlayNotFound} {
		got := h.commands(t)[1+i]
		if level, _ := amf0.Properties(got[4]).Get("level"); got[0] != uint32(1) || got[2] != 0.0 || codeOf(t, got) != code || level != "error" {
			t.Errorf("answer %d is %v", i, got)
		}
	}
	no := listen(t, func(c *rtmp.ServerConn, _ rtmp.Event) error {
		return c.Refuse(rtmp.CodeConnectRejected, "no")
	}, connected(t))
	if got := no.last(t); got[1] != "_error" || got[2] != 1.0 || codeOf(t, got) != rtmp.CodeConnectRejected {
		t.Errorf("connect is answered with %v", got)
	}
}

func TestUnansweredRequestStopsNext(t *testing.T) {
	t.Parallel()
	hello := append([]byte{3}, make([]byte, 2*1536)...)
	c, err := rtmp.NewServerConn(&talk{Reader: bytes.NewReader(append(hello, connected(t)...))}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		t.Fatal(err)
	}
	if ev, err := c.Next(); err == nil || ev.Kind != 0 {
		t.Errorf("Next() = %+v, %v; want an error", ev, err)
	}
}
