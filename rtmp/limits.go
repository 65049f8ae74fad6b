package rtmp

import "fmt"

// Limits of what a peer may send. Nothing is allocated by what a header says:
// memory grows with the bytes that have arrived.
const (
	// MaxVideo, MaxAudio, MaxData, MaxCommand and MaxControl are the longest
	// messages of their types, in bytes. An aggregate may be as long as a
	// video message.
	MaxVideo   = 8 << 20
	MaxAudio   = 1 << 20
	MaxData    = 256 << 10
	MaxCommand = 64 << 10
	MaxControl = 64
	// MaxPartial is the sum of all unfinished messages of a connection.
	MaxPartial = 16 << 20
	// MaxPartialIdle is the same for a client that does not publish.
	MaxPartialIdle = 256 << 10
	// MaxChunkStreams is the number of chunk streams a connection may use.
	MaxChunkStreams = 64
	// MaxAggregated is the number of messages in an aggregate.
	MaxAggregated = 4096
)

// The chunk stream's own numbers (RTMP specification, 5.3 and 5.4.1).
const (
	// DefaultChunkSize is the chunk size before any Set Chunk Size.
	DefaultChunkSize = 128
	// MaxChunkSize is the largest legal chunk size.
	MaxChunkSize = 0x7fffffff
	// MaxMessage is the longest message that the length field can express.
	MaxMessage = 1<<24 - 1

	minChunkStream = 2
	maxChunkStream = 65599
	extended       = 0xffffff // in a timestamp field: four bytes follow
)

// firstBody is how much of a message's body is allocated before any of its bytes
// have arrived.
const firstBody = 64

// A chunk costs about as much as 64 bytes. What a peer's chunks carry less is a
// debt, which longer chunks and time pay back: so a connection may send 32,768
// empty chunks at once and 8,192 in a second. No encoder comes near that, not even
// one that sends a file as fast as it can, and a flood of chunks of one byte ends
// at once.
const (
	chunkPrice    = 64
	maxDebt       = 32_768 * chunkPrice
	debtPerSecond = 8_192 * chunkPrice
)

// maxLength returns the longest body of a message type, and whether the type
// is known.
func maxLength(typ uint8) (n uint32, known bool) {
	switch typ {
	case TypeVideo, TypeAggregate:
		return MaxVideo, true
	case TypeAudio:
		return MaxAudio, true
	case TypeData, TypeDataAMF3:
		return MaxData, true
	case TypeCommand, TypeCommandAMF3:
		return MaxCommand, true
	case TypeSetChunkSize, TypeAbort, TypeAck, TypeUserControl, TypeWindowAckSize, TypeSetPeerBandwidth:
		return MaxControl, true
	}
	return MaxMessage, false
}

// unwanted tells whether messages of a type that begin now are skipped: those of
// unknown types, and media while there is nobody for it.
func (r *Reader) unwanted(typ uint8) bool {
	switch typ {
	case TypeAudio, TypeVideo, TypeData, TypeDataAMF3, TypeAggregate:
		return r.deaf
	}
	_, known := maxLength(typ)
	return !known
}

func checkLength(typ uint8, n uint32) error {
	if most, _ := maxLength(typ); n > most {
		return fmt.Errorf("message of type %d with %d bytes: %w", typ, n, ErrLimit)
	}
	return nil
}
