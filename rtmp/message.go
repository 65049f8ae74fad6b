// Package rtmp speaks the Real-Time Messaging Protocol (Adobe's specification
// 1.0, 2012, and what encoders and players really do): the handshake, the
// chunk stream, its messages and the commands of both ends of a connection.
//
//	handshake ─▶ chunks ─▶ messages ─▶ commands
//	             Reader    Message
//	             Writer
//
// It does no logging and leaves no goroutines behind. A server's deadlines are
// set by whoever owns the connection, a client keeps its own.
package rtmp

import (
	"encoding/binary"
	"fmt"
)

// The message types (RTMP specification, 5.4, 7.1). A data or command message
// of AMF3 carries AMF0 values behind a byte 0.
const (
	TypeSetChunkSize     uint8 = 1
	TypeAbort            uint8 = 2
	TypeAck              uint8 = 3
	TypeUserControl      uint8 = 4
	TypeWindowAckSize    uint8 = 5
	TypeSetPeerBandwidth uint8 = 6
	TypeAudio            uint8 = 8
	TypeVideo            uint8 = 9
	TypeDataAMF3         uint8 = 15
	TypeCommandAMF3      uint8 = 17
	TypeData             uint8 = 18
	TypeCommand          uint8 = 20
	TypeAggregate        uint8 = 22
)

// ControlStream is the chunk stream of control messages.
const ControlStream = 2

// Message is one RTMP message. The body of an audio, video or data message is
// that of an FLV tag.
type Message struct {
	Type        uint8
	StreamID    uint32 // of the stream within the connection; 0 is the connection itself
	ChunkStream uint32 // 2 to 65599
	Timestamp   uint32 // milliseconds, modulo 2^32
	Body        []byte
}

// Control returns a control message whose body is one number: Set Chunk Size,
// Abort, Acknowledgement or Window Acknowledgement Size.
func Control(typ uint8, v uint32) Message {
	return Message{Type: typ, ChunkStream: ControlStream, Body: binary.BigEndian.AppendUint32(nil, v)}
}

// errShort is made once: a byte is all that a client has to send for one.
var errShort = fmt.Errorf("control message that is too short: %w", ErrProtocol)

// ControlValue returns the number of such a message.
func (m Message) ControlValue() (uint32, error) {
	if len(m.Body) < 4 {
		return 0, errShort
	}
	return binary.BigEndian.Uint32(m.Body), nil
}

// The limit types of [PeerBandwidth] (5.4.5).
const (
	LimitHard    uint8 = 0
	LimitSoft    uint8 = 1
	LimitDynamic uint8 = 2
)

// PeerBandwidth returns a Set Peer Bandwidth message.
func PeerBandwidth(window uint32, limit uint8) Message {
	b := binary.BigEndian.AppendUint32(nil, window)
	return Message{Type: TypeSetPeerBandwidth, ChunkStream: ControlStream, Body: append(b, limit)}
}

// The events of [UserControl] that matter (7.1.7). Others are to be ignored.
const (
	EventStreamBegin     uint16 = 0
	EventStreamEOF       uint16 = 1
	EventStreamDry       uint16 = 2
	EventSetBufferLength uint16 = 3
	EventStreamRecorded  uint16 = 4
	EventPingRequest     uint16 = 6
	EventPingResponse    uint16 = 7
)

// UserControl is the body of a User Control message.
type UserControl struct {
	Event uint16
	Value uint32 // stream id or time; 0 when the peer left it out
	Extra uint32 // the milliseconds of SetBufferLength
}

// ParseUserControl decodes the body of a User Control message.
func ParseUserControl(b []byte) (UserControl, error) {
	if len(b) < 2 {
		return UserControl{}, errShort
	}
	u := UserControl{Event: binary.BigEndian.Uint16(b)}
	if len(b) >= 6 {
		u.Value = binary.BigEndian.Uint32(b[2:])
	}
	if len(b) >= 10 {
		u.Extra = binary.BigEndian.Uint32(b[6:])
	}
	return u, nil
}

// Message returns u as a message.
func (u UserControl) Message() Message {
	b := binary.BigEndian.AppendUint16(nil, u.Event)
	b = binary.BigEndian.AppendUint32(b, u.Value)
	if u.Event == EventSetBufferLength {
		b = binary.BigEndian.AppendUint32(b, u.Extra)
	}
	return Message{Type: TypeUserControl, ChunkStream: ControlStream, Body: b}
}

// DefaultWindow is the acknowledgement window, in bytes, before the peer
// names one. Some encoders never do and still wait for acknowledgements.
const DefaultWindow = 2_500_000

// AckCounter tells when to acknowledge what was received (5.4.3). The
// sequence number wraps at 2^32 and is never reset, because encoders stop
// when it goes back.
type AckCounter struct {
	start  uint32
	window uint32
	acked  uint64
}

// NewAckCounter returns a counter that begins at the given sequence number:
// 0, or the bytes of the handshake.
func NewAckCounter(start uint32) *AckCounter {
	return &AckCounter{start: start, window: DefaultWindow}
}

// minWindow is the least window that is kept: an acknowledgement for every few
// bytes would be a write for every few bytes.
const minWindow = 4096

// SetWindow takes over the window that the peer announced, of which at least
// 4,096 bytes are kept. Values that are not legal are ignored.
func (a *AckCounter) SetWindow(n uint32) {
	if n > 0 && n <= MaxChunkSize {
		a.window = max(n, minWindow)
	}
}

// Due tells whether an acknowledgement is due when so many bytes have been
// received in all ([Reader.Received]), and the sequence number to send. It
// then counts as sent. That happens twice in a window, for the peer to never
// have to wait.
func (a *AckCounter) Due(received uint64) (sequence uint32, due bool) {
	if received-a.acked < uint64(a.window/2) {
		return 0, false
	}
	a.acked = received
	return a.start + uint32(received), true
}
