package rtmp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Writer writes messages as chunks. It is not safe for concurrent use. After
// an error it is broken and returns that error for ever: what the peer has
// received is not known then.
type Writer struct {
	w     io.Writer
	chunk uint32
	last  map[uint32]sentHeader
	full  bool   // every message with a full header
	buf   []byte // reused; dropped when it has grown beyond keepBuffer
	err   error
}

// sentHeader is what the peer remembers of the last message of a chunk stream.
type sentHeader struct {
	timestamp, length, streamID uint32
	typ                         uint8
}

// keepBuffer is the size up to which a writer keeps its buffer: most key frames.
const keepBuffer = 512 << 10

// NewWriter returns a writer with a chunk size of [DefaultChunkSize].
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, chunk: DefaultChunkSize, last: map[uint32]sentHeader{}}
}

// SetChunkSize tells the peer a new chunk size and uses it from then on.
func (w *Writer) SetChunkSize(n uint32) error {
	return w.Write(Control(TypeSetChunkSize, n))
}

// Write writes the messages with one write to the connection. A Set Chunk
// Size message takes effect on what follows it.
//
// Headers are left out where the peer can know them. That a chunk without
// any header (format 3) begins a message is avoided altogether: peers
// disagree about its timestamp when the message before had a full header.
func (w *Writer) Write(ms ...Message) error {
	if w.err != nil {
		return w.err
	}
	buf := w.buf[:0]
	for _, m := range ms {
		var err error
		if buf, err = w.encode(buf, m); err != nil {
			w.err = err
			return err
		}
	}
	if cap(buf) <= keepBuffer {
		w.buf = buf
	} else {
		w.buf = nil
	}
	if _, err := w.w.Write(buf); err != nil {
		w.err = fmt.Errorf("writing chunks: %w", err)
	}
	return w.err
}

func (w *Writer) encode(b []byte, m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, err
	}
	if w.full {
		return w.adopt(appendFull(b, m, w.chunk), m)
	}
	is := sentHeader{m.Timestamp, uint32(len(m.Body)), m.StreamID, m.Type}
	was, known := w.last[m.ChunkStream]
	w.last[m.ChunkStream] = is

	// A delta is used only where it needs no extended field, which some
	// servers take for an absolute time.
	delta := is.timestamp - was.timestamp
	switch {
	case !known || is.streamID != was.streamID || delta >= extended:
		b = appendFull(b, m, w.chunk)
	case is.length != was.length || is.typ != was.typ:
		b = appendBasic(b, 1, m.ChunkStream)
		b = append(append24(append24(b, delta), is.length), m.Type)
		b = appendBody(b, m, w.chunk, 0)
	default:
		b = append24(appendBasic(b, 2, m.ChunkStream), delta)
		b = appendBody(b, m, w.chunk, 0)
	}
	return w.adopt(b, m)
}

// adopt takes over the chunk size that m, which has been encoded, tells the peer.
func (w *Writer) adopt(b []byte, m Message) ([]byte, error) {
	if m.Type != TypeSetChunkSize {
		return b, nil
	}
	n, err := chunkSize(m)
	w.chunk = n
	return b, err
}

// AppendMessage encodes m with a full header, so that it can be understood
// without the messages before it, and appends it to b. When it fails it
// returns b as it was.
func AppendMessage(b []byte, m Message, chunkSize uint32) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, err
	}
	if chunkSize == 0 || chunkSize > MaxChunkSize {
		return b, fmt.Errorf("chunk size %d: %w", chunkSize, ErrProtocol)
	}
	return appendFull(b, m, chunkSize), nil
}

// MessageSize returns how many bytes [AppendMessage] adds for m.
func MessageSize(m Message, chunkSize uint32) int {
	basic := len(appendBasic(nil, 0, m.ChunkStream))
	chunks := max(1, (len(m.Body)+int(chunkSize)-1)/int(chunkSize))
	n := chunks*basic + 11 + len(m.Body)
	if m.Timestamp >= extended {
		n += chunks * 4
	}
	return n
}

func (m Message) check() error {
	if len(m.Body) > MaxMessage {
		return fmt.Errorf("message of %d bytes: %w", len(m.Body), ErrLimit)
	}
	if m.ChunkStream < minChunkStream || m.ChunkStream > maxChunkStream {
		return fmt.Errorf("chunk stream %d: %w", m.ChunkStream, ErrProtocol)
	}
	return nil
}

// chunkSize returns the value of a Set Chunk Size message (5.4.1).
func chunkSize(m Message) (uint32, error) {
	n, err := m.ControlValue()
	if err != nil {
		return 0, err
	}
	if n == 0 || n > MaxChunkSize {
		return 0, fmt.Errorf("chunk size %d: %w", n, ErrProtocol)
	}
	return n, nil
}

// MaxHeader is the longest header of a chunk: its basic header, that of the
// message, and the extended timestamp.
const MaxHeader = 3 + 11 + 4

// AppendHeader appends the header of the first chunk of m to b, a full one, for
// a body of n bytes that the caller lays out: the one of m is not looked at. n
// is at most [MaxMessage], and the chunk stream one that there is.
func AppendHeader(b []byte, m Message, n int) []byte {
	b = appendBasic(b, 0, m.ChunkStream)
	b = append24(b, min(m.Timestamp, extended))
	b = append(append24(b, uint32(n)), m.Type) //nolint:gosec // bounded by the caller
	b = binary.LittleEndian.AppendUint32(b, m.StreamID)
	if m.Timestamp < extended {
		return b
	}
	return binary.BigEndian.AppendUint32(b, m.Timestamp)
}

// AppendContinuation appends the header of each further chunk of a message
// whose first one has that of [AppendHeader] to b.
func AppendContinuation(b []byte, m Message) []byte {
	b = appendBasic(b, 3, m.ChunkStream)
	if m.Timestamp < extended {
		return b
	}
	return binary.BigEndian.AppendUint32(b, m.Timestamp)
}

func appendFull(b []byte, m Message, chunk uint32) []byte {
	b = AppendHeader(b, m, len(m.Body))
	if m.Timestamp < extended {
		return appendBody(b, m, chunk, 0)
	}
	return appendBody(b, m, chunk, m.Timestamp)
}

// appendBody appends the body in chunks. An extended timestamp is repeated in
// every one of them (5.3.1.3): ffmpeg and rtmpdump lose their place without it.
func appendBody(b []byte, m Message, chunk, ext uint32) []byte {
	body := m.Body
	for uint64(len(body)) > uint64(chunk) {
		b = append(b, body[:chunk]...)
		body = body[chunk:]
		b = appendBasic(b, 3, m.ChunkStream)
		if ext != 0 {
			b = binary.BigEndian.AppendUint32(b, ext)
		}
	}
	return append(b, body...)
}

// appendBasic appends a basic header (5.3.1.1).
func appendBasic(b []byte, format uint8, id uint32) []byte {
	switch {
	case id < 64:
		return append(b, format<<6|byte(id))
	case id < 320:
		return append(b, format<<6, byte(id-64))
	}
	return append(b, format<<6|1, byte(id-64), byte((id-64)>>8))
}

func append24(b []byte, v uint32) []byte {
	return append(b, byte(v>>16), byte(v>>8), byte(v))
}

func uint24(b []byte) uint32 {
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}
