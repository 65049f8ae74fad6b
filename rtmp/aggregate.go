package rtmp

import (
	"encoding/binary"
	"fmt"
)

// The parts of an aggregate have the shape of FLV tags (7.1.6).
const (
	aggregateHeader  = 11
	aggregateTrailer = 4
)

// ParseAggregate returns the audio, video and data messages of an aggregate;
// other types in it are skipped. Their bodies are parts of m's. When the
// aggregate is broken, the messages before the break come with the error.
func ParseAggregate(m Message) ([]Message, error) {
	var first uint32
	b := m.Body
	ms := make([]Message, 0, countAggregated(b))
	for n := 0; len(b) > 0; n++ {
		if n == MaxAggregated {
			return ms, fmt.Errorf("aggregate of more than %d messages: %w", MaxAggregated, ErrLimit)
		}
		if len(b) < aggregateHeader {
			return ms, fmt.Errorf("aggregate ends within a header: %w", ErrProtocol)
		}
		typ, length := b[0], int(uint24(b[1:]))
		timestamp := uint24(b[4:]) | uint32(b[7])<<24
		if len(b)-aggregateHeader-aggregateTrailer < length {
			return ms, fmt.Errorf("aggregate ends within a message of %d bytes: %w", length, ErrProtocol)
		}
		if n == 0 {
			first = timestamp
		}
		body := b[aggregateHeader : aggregateHeader+length : aggregateHeader+length]
		b = b[aggregateHeader+length+aggregateTrailer:] // the length again, for players that go backwards

		switch typ {
		case TypeAggregate:
			return ms, fmt.Errorf("aggregate within an aggregate: %w", ErrProtocol)
		case TypeAudio, TypeVideo, TypeData, TypeDataAMF3:
			if err := checkLength(typ, uint32(length)); err != nil {
				return ms, err
			}
			ms = append(ms, Message{
				Type:        typ,
				StreamID:    m.StreamID,
				ChunkStream: m.ChunkStream,
				Timestamp:   m.Timestamp + timestamp - first,
				Body:        body,
			})
		}
	}
	return ms, nil
}

// countAggregated returns how many messages an aggregate seems to have.
func countAggregated(b []byte) int {
	n := 0
	for len(b) >= aggregateHeader+aggregateTrailer && n < MaxAggregated {
		length := int(uint24(b[1:]))
		b = b[min(aggregateHeader+aggregateTrailer+length, len(b)):]
		n++
	}
	return n
}

// AppendAggregated appends m to the body of an aggregate.
func AppendAggregated(b []byte, m Message) ([]byte, error) {
	if len(m.Body) > MaxMessage {
		return b, fmt.Errorf("message of %d bytes: %w", len(m.Body), ErrLimit)
	}
	n := uint32(len(m.Body))
	b = append24(append(b, m.Type), n)
	b = append(append24(b, m.Timestamp&0xffffff), byte(m.Timestamp>>24), 0, 0, 0)
	b = append(b, m.Body...)
	return binary.BigEndian.AppendUint32(b, n+aggregateHeader), nil
}
