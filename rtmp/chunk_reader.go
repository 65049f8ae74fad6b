package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Reader reads messages from chunks. It obeys Set Chunk Size and Abort by
// itself, and returns them nevertheless. It is not safe for concurrent use.
//
// Memory is bounded by the limits of this package whatever the peer sends,
// and grows only with bytes that have arrived.
type Reader struct {
	in        *bufio.Reader
	chunk     uint32
	streams   map[uint32]*chunkStream
	unended   int   // messages that have begun and not ended
	partial   int   // bytes of their bodies
	most      int   // of partial
	deaf      bool  // media is skipped
	whole     bool  // each chunk is all that can be read
	debt      int64 // bytes that chunks carried too little, not below 0
	settled   time.Time
	received  uint64
	onReceive func(uint64) error
	trace     Trace
	stats     ReaderStats
	scratch   [11]byte
}

// chunkStream is the state of one chunk stream (5.3.1): the last header, and
// the message that is under way.
type chunkStream struct {
	id        uint32
	timestamp uint32
	delta     uint32
	length    uint32
	streamID  uint32
	typ       uint8
	ext       bool   // the last header had an extended timestamp
	extValue  uint32 // and this was it

	begun bool // a message is under way
	skip  bool // nobody wants its bytes
	got   uint32
	body  []byte
	trace Trace
}

// readStep is the most that is read at once, so that long chunks are
// acknowledged while they arrive.
const readStep = 64 << 10

// NewReader returns a reader of what follows the handshake in r.
func NewReader(r *bufio.Reader) *Reader {
	return &Reader{
		in: r, chunk: DefaultChunkSize, streams: map[uint32]*chunkStream{},
		most: MaxPartial, settled: time.Now(),
	}
}

// Received returns the number of bytes read so far.
func (r *Reader) Received() uint64 { return r.received }

// OnReceive makes Next call f with the value of [Reader.Received] each time
// that more bytes have arrived, in the middle of long messages too: a peer
// may wait for an acknowledgement there. An error of f ends Next.
func (r *Reader) OnReceive(f func(received uint64) error) { r.onReceive = f }

// Next returns the next message; those of unknown types are skipped and
// counted. The body belongs to the caller. The error is [io.EOF] between
// messages, [io.ErrUnexpectedEOF] within one, an [ErrProtocol] or [ErrLimit]
// when the connection cannot go on, or that of the connection.
func (r *Reader) Next() (Message, error) {
	for {
		m, whole, err := r.step()
		if whole || err != nil {
			return m, err
		}
	}
}

// step reads one chunk, and returns the message that it completes, if it does.
func (r *Reader) step() (m Message, whole bool, err error) {
	cs, err := r.readChunk()
	if err != nil || cs.got < cs.length {
		return Message{}, false, err
	}
	skipped := cs.skip
	if m = r.finish(cs); !skipped {
		return m, true, r.obey(m)
	}
	if _, known := maxLength(m.Type); !known {
		r.stats.Skipped++
	}
	return Message{}, false, nil
}

func (r *Reader) finish(cs *chunkStream) Message {
	m := Message{
		Type:        cs.typ,
		StreamID:    cs.streamID,
		ChunkStream: cs.id,
		Timestamp:   cs.timestamp,
		Body:        cs.body,
	}
	r.trace = cs.trace
	r.drop(cs)
	return m
}

// drop forgets the message that is under way, not the header.
func (r *Reader) drop(cs *chunkStream) {
	if !cs.begun {
		return
	}
	r.unended--
	r.partial -= len(cs.body)
	cs.begun, cs.got, cs.body = false, 0, nil
}

// obey does what the two messages about chunks ask for (5.4.1, 5.4.2).
func (r *Reader) obey(m Message) error {
	switch m.Type {
	case TypeSetChunkSize:
		n, err := chunkSize(m)
		if err != nil {
			return err
		}
		r.chunk = n
	case TypeAbort:
		id, err := m.ControlValue()
		if err != nil {
			return err
		}
		if cs := r.streams[id]; cs != nil {
			r.drop(cs)
		}
	}
	return nil
}

// readChunk reads one chunk and returns the state of its chunk stream, whose
// message may now be complete.
func (r *Reader) readChunk() (*chunkStream, error) {
	at := r.received
	format, id, err := r.basicHeader()
	if err != nil {
		return nil, err
	}
	cs, err := r.stream(format, id)
	if err != nil {
		return nil, err
	}
	if err := r.messageHeader(cs, format); err != nil {
		return nil, noEOF(err)
	}
	if !cs.begun {
		if err := checkLength(cs.typ, cs.length); err != nil {
			return nil, err
		}
		cs.begun, cs.skip = true, r.unwanted(cs.typ)
		cs.trace = Trace{Offset: at, Format: format, Extended: cs.ext}
		r.unended++
	}
	cs.trace.Chunks++
	n := min(r.chunk, cs.length-cs.got)
	if err := r.charge(n); err != nil {
		return nil, err
	}
	if err := r.payload(cs, n); err != nil {
		return nil, noEOF(err)
	}
	return cs, nil
}

// charge takes the price of a chunk with n bytes of payload.
func (r *Reader) charge(n uint32) error {
	if r.debt = max(r.debt+chunkPrice-int64(n), 0); r.debt <= maxDebt {
		return nil
	}
	now := time.Now()
	r.debt = max(r.debt-int64(now.Sub(r.settled).Seconds()*debtPerSecond), 0)
	r.settled = now
	if r.debt > maxDebt {
		return fmt.Errorf("too many short chunks: %w", ErrLimit)
	}
	return nil
}

// basicHeader reads the format and the chunk stream id (5.3.1.1).
func (r *Reader) basicHeader() (format uint8, id uint32, err error) {
	b, err := r.read(1)
	if err != nil {
		if r.unended > 0 {
			err = noEOF(err)
		}
		return 0, 0, err
	}
	format, id = b[0]>>6, uint32(b[0]&0x3f)
	switch id {
	case 0:
		if b, err = r.read(1); err != nil {
			return 0, 0, noEOF(err)
		}
		id = 64 + uint32(b[0])
	case 1:
		if b, err = r.read(2); err != nil {
			return 0, 0, noEOF(err)
		}
		id = 64 + uint32(binary.LittleEndian.Uint16(b))
	}
	return format, id, nil
}

// stream returns the state of a chunk stream, and checks that a chunk of the
// given format may come now. librtmp begins chunk streams with format 1.
func (r *Reader) stream(format uint8, id uint32) (*chunkStream, error) {
	cs := r.streams[id]
	switch {
	case cs == nil && format > 1:
		return nil, fmt.Errorf("chunk stream %d begins with format %d: %w", id, format, ErrProtocol)
	case cs == nil && len(r.streams) == MaxChunkStreams:
		return nil, fmt.Errorf("more than %d chunk streams: %w", MaxChunkStreams, ErrLimit)
	case cs == nil:
		cs = &chunkStream{id: id}
		r.streams[id] = cs
	case cs.begun && format != 3:
		return nil, fmt.Errorf("chunk stream %d begins a message within another: %w", id, ErrProtocol)
	}
	return cs, nil
}

// messageHeader reads the rest of a chunk's header (5.3.1.2, 5.3.1.3).
func (r *Reader) messageHeader(cs *chunkStream, format uint8) error {
	if format == 3 {
		return r.noHeader(cs)
	}
	b, err := r.read([...]int{11, 7, 3}[format])
	if err != nil {
		return err
	}
	field := uint24(b)
	if format < 2 {
		cs.length, cs.typ = uint24(b[3:]), b[6]
	}
	if format == 0 {
		cs.streamID = binary.LittleEndian.Uint32(b[7:])
	}
	if cs.ext = field == extended; cs.ext {
		if b, err = r.read(4); err != nil {
			return err
		}
		field = binary.BigEndian.Uint32(b)
		cs.extValue = field
	}
	// A full header counts as a delta too, for messages without any header
	// that follow it (5.3.1.2.4).
	cs.delta = field
	if format == 0 {
		cs.timestamp = field
	} else {
		cs.timestamp += field // modulo 2^32: OBS goes back by a delta
	}
	return nil
}

// noHeader handles a chunk of format 3, which may carry the extended
// timestamp of the header before it, and should.
func (r *Reader) noHeader(cs *chunkStream) error {
	if cs.ext {
		there, err := r.extendedThere(cs.extValue)
		if err != nil {
			return err
		}
		if !there {
			r.stats.MissingExtended++
		}
	}
	if !cs.begun {
		cs.timestamp += cs.delta
	}
	return nil
}

// extendedThere skips an extended timestamp of the given value. Old librtmp
// leaves it out of chunks without a header: then what is there is payload. It
// looks no further than it must, so as not to wait for bytes that may be long
// in coming.
func (r *Reader) extendedThere(value uint32) (bool, error) {
	want := binary.BigEndian.AppendUint32(r.scratch[:0], value)
	for i, c := range want {
		b, err := r.in.Peek(i + 1)
		switch {
		case errors.Is(err, io.EOF) && (len(b) == 0 || r.whole && len(b) <= i):
			return false, nil // a message shorter than it may end here
		case len(b) <= i:
			return false, err
		case b[i] != c:
			return false, nil
		}
	}
	_, err := r.read(len(want))
	return err == nil, err
}

// payload reads n bytes of the message that is under way.
func (r *Reader) payload(cs *chunkStream, n uint32) error {
	for n > 0 {
		var step int
		var err error
		if cs.skip {
			step, err = r.in.Discard(int(min(n, readStep)))
		} else {
			step, err = r.readBody(cs, int(min(n, readStep)))
		}
		n -= uint32(step)
		cs.got += uint32(step)
		r.received += uint64(step)
		if err != nil {
			return err
		}
		if err := r.note(); err != nil {
			return err
		}
	}
	return nil
}

// readBody reads at most n bytes to the end of the body.
func (r *Reader) readBody(cs *chunkStream, n int) (int, error) {
	have := len(cs.body)
	if have == cap(cs.body) {
		room := max(firstBody, 2*have, have+min(n, r.in.Buffered())) // half of it has arrived
		grown := make([]byte, have, min(room, int(cs.length)))
		copy(grown, cs.body)
		cs.body = grown
	}
	n = min(n, cap(cs.body)-have)
	most := r.most
	if r.deaf {
		most = min(most, MaxPartialIdle)
	}
	if r.partial+n > most {
		return 0, fmt.Errorf("unfinished messages of more than %d bytes: %w", most, ErrLimit)
	}
	n, err := io.ReadFull(r.in, cs.body[have:have+n])
	cs.body = cs.body[:have+n]
	r.partial += n
	return n, err
}

// read returns the next n bytes, at most 11, which are valid until the next
// call.
func (r *Reader) read(n int) ([]byte, error) {
	b := r.scratch[:n]
	got, err := io.ReadFull(r.in, b)
	r.received += uint64(got)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (r *Reader) note() error {
	if r.onReceive == nil {
		return nil
	}
	return r.onReceive(r.received)
}

// noEOF turns the end of the input into one that is not expected.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
