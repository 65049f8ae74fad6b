package flv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// bodyStep is the largest body that is allocated at once on the word of its
// header. A longer one grows as its bytes arrive.
const bodyStep = 16 << 10

// Reader reads tags from a file or a live response. It forgives what players
// forgive: any PreviousTagSize, any stream id, a longer file header. It is not
// safe for concurrent use.
type Reader struct {
	r      *bufio.Reader
	header Header
	begun  bool
	err    error // what ended the reading
}

// NewReader returns a Reader of r, which it reads ahead of what it returns.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 32<<10)}
}

// Header returns the file header, which it reads unless it was read before.
func (r *Reader) Header() (Header, error) {
	if r.begun || r.err != nil {
		return r.header, r.err
	}
	r.err = r.readHeader()
	r.begun = r.err == nil
	return r.header, r.err
}

func (r *Reader) readHeader() error {
	b, err := r.r.Peek(fileHeaderLen)
	if err != nil {
		return cut(err)
	}
	h, n, err := ParseHeader(b)
	if err != nil {
		return err
	}
	if _, err := r.r.Discard(n); err != nil {
		return cut(err)
	}
	r.header = h
	return nil
}

// Next returns the next audio, video or script tag; tags of other types and
// encrypted ones are skipped. Its error is [io.EOF] at the end of the input
// and [io.ErrUnexpectedEOF] when the input was cut, both after the last whole
// tag. The body belongs to the caller.
func (r *Reader) Next() (Tag, error) {
	if _, err := r.Header(); err != nil {
		return Tag{}, err
	}
	tag, err := r.next()
	r.err = err
	return tag, err
}

func (r *Reader) next() (Tag, error) {
	for {
		// The PreviousTagSize of the tag before. It is read here and not
		// behind that tag's body so that a live tag never waits for it.
		if _, err := r.r.Discard(prevSizeLen); err != nil {
			return Tag{}, cut(err)
		}
		b, err := r.r.Peek(TagHeaderLen)
		if err != nil {
			if len(b) > 0 {
				err = cut(err)
			}
			return Tag{}, reading(err)
		}
		h, n, err := ParseTagHeader(b)
		if err != nil {
			return Tag{}, err
		}
		if _, err := r.r.Discard(n); err != nil {
			return Tag{}, cut(err)
		}
		if !h.known() {
			if _, err := r.r.Discard(int(h.BodyLen)); err != nil {
				return Tag{}, cut(err)
			}
			continue
		}
		body, err := r.body(int(h.BodyLen))
		if err != nil {
			return Tag{}, cut(err)
		}
		return Tag{Type: h.Type, DTS: h.DTS, Body: body}, nil
	}
}

// body reads n bytes into memory of their own.
func (r *Reader) body(n int) ([]byte, error) {
	b := make([]byte, min(n, bodyStep))
	for got := 0; ; {
		m, err := io.ReadFull(r.r, b[got:])
		got += m
		if err != nil || got == n {
			return b, err
		}
		more := make([]byte, min(n, 2*len(b)))
		copy(more, b)
		b = more
	}
}

// known tells whether a [Reader] returns tags with this header.
func (h TagHeader) known() bool {
	return !h.Filter && (h.Type == TagAudio || h.Type == TagVideo || h.Type == TagScript)
}

// cut is err for an input that ended where it must not.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return reading(err)
}

// reading adds what was done to an error of the input, but not to the two
// that tell its end.
func reading(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("flv: reading: %w", err)
}
