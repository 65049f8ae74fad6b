package rtmp

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"time"

	"sluice/amf0"
)

// Limits of what a client may ask for.
const (
	MaxMessageStreams = 8   // that createStream has made and deleteStream has not ended
	MaxCommands       = 100 // without a publish or play among them that was accepted
	MaxCommandRate    = 50  // in a second
)

// ServerChunkSize is the chunk size of whatever a server sends, once the client
// has connected.
const ServerChunkSize = 60000

// What a server announces when a client connects.
const (
	outWindowSize = 2_500_000
	fmsVersion    = "FMS/3,0,1,123" // clients look for a known server
	capabilities  = 31
)

// Chunk streams that a server answers on.
const (
	callStream   = 3
	statusStream = 5
)

const bufferSize = 16 << 10

// EventKind tells what a client wants or did.
type EventKind uint8

// The kinds of events. The first three are requests: [ServerConn.Accept] or
// [ServerConn.Refuse] must answer one before the next event is asked for.
const (
	ConnectRequest EventKind = iota + 1 // the client opens [ServerConn.App]
	PublishRequest                      // it wants to publish Name
	PlayRequest                         // it wants to play Name
	Media                               // Message is audio, video or data of what it publishes
	Ended                               // it ended its publish or play; it may begin another one
)

// Event is something that a client wants or did.
type Event struct {
	Kind    EventKind
	Name    string  // of a publish or play, its query included
	Message Message // of Media; its type is TypeAudio, TypeVideo or TypeData
}

// ServerConn is the server's end of one connection: it answers what has but
// one answer and leaves the rest to its owner.
//
//	NewServerConn ─▶ ConnectRequest ─▶ PublishRequest ─▶ Media … ─▶ Ended
//	                                       ▲                          │
//	                                       └──────────────────────────┘
//
// One publish or one play is accepted at a time; media that comes while none
// is does not surface. Next, Accept and Refuse belong to one goroutine; another
// one may use [ServerConn.Write] meanwhile.
type ServerConn struct {
	r       *Reader
	acks    *AckCounter
	app     string
	tcURL   string
	caps    Capabilities
	streams uint16 // bit i-1: createStream has made message stream i
	role    EventKind
	roleID  uint32 // the message stream of the role
	asked   request
	split   []Message // what is left of an aggregate
	answers []Message
	rate    commandRate

	mu sync.Mutex // guards w
	w  *Writer
}

// request is what the owner of the connection has to answer.
type request struct {
	kind     EventKind
	tid      float64
	stream   uint32
	reset    bool    // of a play
	encoding float64 // of a connect
}

// NewServerConn waits for the client's handshake and answers it. It returns
// [ErrNotRTMP] when the peer does not speak RTMP at all, and has sent nothing
// then. The deadlines of rw are the caller's; uptime is what the server's
// clock shows.
func NewServerConn(rw io.ReadWriter, uptime time.Duration) (*ServerConn, error) {
	in := bufio.NewReaderSize(rw, bufferSize)
	if err := ServerHandshake(in, rw, uptime, rand.Reader); err != nil {
		return nil, fmt.Errorf("shaking hands: %w", err)
	}
	c := &ServerConn{r: NewReader(in), acks: NewAckCounter(0), w: NewWriter(rw)}
	c.r.OnReceive(c.acknowledge)
	c.r.deaf = true
	return c, nil
}

// acknowledge tells the client what was received when that is due.
func (c *ServerConn) acknowledge(received uint64) error {
	seq, due := c.acks.Due(received)
	if !due {
		return nil
	}
	return c.Write(Control(TypeAck, seq))
}

// App returns the application of the connect command, its query included.
func (c *ServerConn) App() string { return c.app }

// TCURL returns the URL of the connect command, empty where it had none.
func (c *ServerConn) TCURL() string { return c.tcURL }

// Next returns what the client wants or did next. After an error the
// connection is of no further use; if the error wraps an [Error], the client
// has been told where there is a way to say it.
func (c *ServerConn) Next() (Event, error) {
	if c.asked.kind != 0 {
		return Event{}, fmt.Errorf("rtmp: a request of kind %d is unanswered", c.asked.kind)
	}
	for {
		m, err := c.message()
		if err != nil {
			return Event{}, err
		}
		ev, err := c.handle(m)
		// A client that ends its publish may not wait for the answer.
		if flushErr := c.flush(); err == nil && ev.Kind != Ended {
			err = flushErr
		}
		if err != nil || ev.Kind != 0 {
			return ev, err
		}
	}
}

// message returns the next message, those within an aggregate one by one.
func (c *ServerConn) message() (Message, error) {
	for {
		if len(c.split) > 0 {
			m := c.split[0]
			c.split = c.split[1:]
			return m, nil
		}
		m, err := c.r.Next()
		if err != nil || m.Type != TypeAggregate {
			return m, err
		}
		if c.role != PublishRequest {
			continue
		}
		if c.split, err = ParseAggregate(m); err != nil {
			return Message{}, err
		}
	}
}

// handle takes one message and returns an event if it is one.
func (c *ServerConn) handle(m Message) (Event, error) {
	switch m.Type {
	case TypeAudio, TypeVideo, TypeData, TypeDataAMF3:
		return c.media(m), nil
	case TypeCommand, TypeCommandAMF3:
		return c.command(m)
	case TypeUserControl:
		u, err := ParseUserControl(m.Body)
		if err == nil && u.Event == EventPingRequest {
			c.send(UserControl{Event: EventPingResponse, Value: u.Value}.Message())
		}
	case TypeWindowAckSize:
		if window, err := m.ControlValue(); err == nil {
			c.acks.SetWindow(window)
		}
	}
	return Event{}, nil
}

// media passes on what is published. There is one publish at a time, so it
// does not matter on which message stream the client believes itself to be.
func (c *ServerConn) media(m Message) Event {
	if c.role != PublishRequest {
		return Event{}
	}
	if m.Type == TypeDataAMF3 {
		m.Type = TypeData
		if len(m.Body) > 0 && m.Body[0] == 0 {
			m.Body = m.Body[1:]
		}
	}
	return Event{Kind: Media, Message: m}
}

// Accept answers the request of the event before with success.
func (c *ServerConn) Accept() error {
	q := c.asked
	c.asked = request{}
	switch q.kind {
	case ConnectRequest:
		c.acceptConnect(q)
	case PublishRequest:
		c.begin(q)
		c.status(q.stream, levelStatus, CodePublishStart, "Publishing began")
	case PlayRequest:
		c.begin(q)
		c.acceptPlay(q)
	default: // nothing was asked
	}
	return c.flush()
}

// begin makes the request the role of the connection.
func (c *ServerConn) begin(q request) {
	c.role, c.roleID = q.kind, q.stream
	c.r.deaf = q.kind != PublishRequest
	c.rate.total = 0
	c.send(UserControl{Event: EventStreamBegin, Value: q.stream}.Message())
}

// release ends the role of the connection.
func (c *ServerConn) release() {
	c.role, c.roleID = 0, 0
	c.r.deaf = true
}

func (c *ServerConn) acceptConnect(q request) {
	c.send(Control(TypeWindowAckSize, outWindowSize))
	c.send(PeerBandwidth(outWindowSize, LimitDynamic))
	c.send(Control(TypeSetChunkSize, ServerChunkSize)) // before the result: ffmpeg adopts it then
	info := status(levelStatus, CodeConnectSuccess, "Connection succeeded.")
	info = append(info, amf0.Property{Key: "objectEncoding", Value: q.encoding})
	if c.caps.Enhanced { // others have been seen to stumble
		info = append(info, offer()...)
	}
	c.call(callStream, 0, cmdResult, q.tid, amf0.Object{
		{Key: "fmsVer", Value: fmsVersion},
		{Key: "capabilities", Value: capabilities},
	}, info)
}

func (c *ServerConn) acceptPlay(q request) {
	if q.reset {
		c.status(q.stream, levelStatus, CodePlayReset, "Playing and resetting")
	}
	c.status(q.stream, levelStatus, CodePlayStart, "Playing began")
	if body, err := amf0.AppendAll(nil, "|RtmpSampleAccess", true, true); err == nil {
		c.send(Message{Type: TypeData, StreamID: q.stream, ChunkStream: statusStream, Body: body})
	}
}

// Refuse answers the request of the event before with an error. What the
// client does then is its own choice; most close the connection.
func (c *ServerConn) Refuse(code, description string) error {
	q := c.asked
	c.asked = request{}
	if q.kind == ConnectRequest {
		c.app = ""
		c.call(callStream, 0, cmdError, q.tid, nil, status(levelError, code, description))
	} else {
		c.status(q.stream, levelError, code, description)
	}
	return c.flush()
}

// Fail tells the client that its publish or play ends with an error, and ends
// it.
func (c *ServerConn) Fail(code, description string) error {
	c.status(c.roleID, levelError, code, description)
	c.release()
	return c.flush()
}

// Write sends messages with one write to the connection. It may be called
// from any goroutine.
func (c *ServerConn) Write(ms ...Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Write(ms...)
}

// flush sends the answers that have been gathered.
func (c *ServerConn) flush() error {
	if len(c.answers) == 0 {
		return nil
	}
	err := c.Write(c.answers...)
	c.answers = nil
	return err
}

// send gathers an answer.
func (c *ServerConn) send(m Message) { c.answers = append(c.answers, m) }

// call sends a command. Its values are all of types that can be encoded.
func (c *ServerConn) call(chunkStream, stream uint32, values ...any) {
	if body, err := amf0.AppendAll(nil, values...); err == nil {
		c.send(Message{Type: TypeCommand, StreamID: stream, ChunkStream: chunkStream, Body: body})
	}
}

// result answers a call that wants an answer.
func (c *ServerConn) result(cmd command, values ...any) {
	if cmd.wantsAnswer() {
		c.call(callStream, 0, append([]any{cmdResult, cmd.tid, nil}, values...)...)
	}
}

// status sends a status on a message stream, with transaction 0.
func (c *ServerConn) status(stream uint32, level, code, description string) {
	c.call(statusStream, stream, cmdStatus, 0, nil, status(level, code, description))
}

// newStream returns the lowest id of a message stream that is free.
func (c *ServerConn) newStream() (id uint32, ok bool) {
	free := bits.TrailingZeros16(^c.streams)
	if free >= MaxMessageStreams {
		return 0, false
	}
	c.streams |= 1 << free
	return uint32(free) + 1, true
}

// hasStream tells whether a client may publish or play on that id. Cameras use
// 0 or 1 without asking.
func (c *ServerConn) hasStream(id uint32) bool {
	return id <= 1 || id <= MaxMessageStreams && c.streams&(1<<(id-1)) != 0
}

func (c *ServerConn) dropStream(id uint32) {
	if id >= 1 && id <= MaxMessageStreams {
		c.streams &^= 1 << (id - 1)
	}
}

// commandRate bounds what a client may call.
type commandRate struct {
	total  int // since the last accepted publish or play
	begun  time.Time
	second int // since begun
}

func (r *commandRate) count(idle bool) error {
	if now := time.Now(); now.Sub(r.begun) >= time.Second {
		r.begun, r.second = now, 0
	}
	r.second++
	if idle {
		r.total++
	}
	switch {
	case r.second > MaxCommandRate:
		return fmt.Errorf("more than %d commands in a second: %w", MaxCommandRate, ErrLimit)
	case r.total > MaxCommands:
		return fmt.Errorf("more than %d commands without a publish or play: %w", MaxCommands, ErrLimit)
	}
	return nil
}
