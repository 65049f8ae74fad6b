package flv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"sluice/amf0"
	"sluice/media"
)

// headLen is how much of a tag's body a scanner looks at. Enough for every
// header of audio and video but one with long modifiers.
const headLen = 64

// scanner walks over the tags of a file without reading their bodies. It is
// strict where a [Reader] forgives: it ends before the first tag that is not
// there as a whole, be it cut off or overwritten.
type scanner struct {
	r     io.ReaderAt
	size  int64 // of the file, or more
	pos   int64 // of the next tag
	wrong int   // PreviousTagSizes that were passed over
	buf   []byte
	at    int64 // offset of buf in the file
	head  [headLen]byte
}

// fileTag is a tag that stands in a file.
type fileTag struct {
	TagHeader
	offset int64
	packet media.Packet // what its first bytes say; valid until the next tag
}

func newScanner(r io.ReaderAt, size int64) *scanner {
	const most = 64 << 10
	return &scanner{r: r, size: size, buf: make([]byte, 0, max(min(size, most), 0))}
}

// header reads the file header and stands before the first tag then.
func (s *scanner) header() (Header, error) {
	b, err := s.peek(0, fileHeaderLen)
	if err != nil {
		return Header{}, err
	}
	h, n, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	s.pos = int64(n) + prevSizeLen
	return h, nil
}

// next returns the next tag and goes past it. At the end of the whole tags it
// returns [io.EOF] and stays there.
func (s *scanner) next() (fileTag, error) {
	b, err := s.peek(s.pos, TagHeaderLen+headLen)
	if err != nil {
		return fileTag{}, err
	}
	h, n, err := ParseTagHeader(b)
	if err != nil {
		return fileTag{}, io.EOF
	}
	tag := fileTag{TagHeader: h, offset: s.pos}
	head := s.head[:copy(s.head[:min(headLen, int(h.BodyLen))], b[n:])]
	end := s.pos + TagHeaderLen + int64(h.BodyLen)
	if b, err = s.peek(end, prevSizeLen); err != nil {
		return fileTag{}, err
	}
	if len(b) < prevSizeLen || binary.BigEndian.Uint32(b) != h.BodyLen+TagHeaderLen {
		return fileTag{}, io.EOF
	}
	if h.known() {
		tag.packet = ParseBody(h.Type, head)
	}
	s.pos = end + prevSizeLen
	return tag, nil
}

// body reads the body of a tag, unless it is longer than what is worth a look.
func (s *scanner) body(tag fileTag) ([]byte, error) {
	if tag.BodyLen > MaxScript {
		return nil, fmt.Errorf("%w: %d bytes of script or configuration", ErrTagTooLong, tag.BodyLen)
	}
	b := make([]byte, tag.BodyLen)
	if _, err := s.r.ReadAt(b, tag.offset+TagHeaderLen); err != nil {
		return nil, cut(err)
	}
	return b, nil
}

// metadata reads the onMetaData, if that is the next tag, and returns its
// properties and the length of its body.
func (s *scanner) metadata() (amf0.Object, int, error) {
	before := s.pos
	tag, err := s.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	case tag.packet.Type != media.Metadata || tag.packet.Kind != media.Data || tag.BodyLen > MaxScript:
		s.pos = before
		return nil, 0, nil
	}
	body, err := s.body(tag)
	return readMetadata(&media.Packet{Body: body}), len(body), err
}

// peek returns n bytes of the file at an offset, or what there is of them. They
// are valid until the next call.
func (s *scanner) peek(at int64, n int) ([]byte, error) {
	if at >= s.size {
		return nil, nil
	}
	n = int(min(int64(n), s.size-at))
	if from := at - s.at; from < 0 || from+int64(n) > int64(len(s.buf)) {
		got, err := s.r.ReadAt(s.buf[:cap(s.buf)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("flv: reading: %w", err)
		}
		s.buf, s.at = s.buf[:got], at
	}
	b := s.buf[at-s.at:]
	return b[:min(n, len(b))], nil
}

// ReadWriterAt is a file that can be read and written anywhere.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Recover finishes a file of the given size whose writer did not come to do
// it. Behind the Size of what it returns there is nothing but the beginning of
// a tag; cut it off. The index is written where the file has room for it.
func Recover(f ReadWriterAt, size int64) (FileInfo, error) {
	s := newScanner(f, size)
	h, err := s.header()
	if err != nil {
		return FileInfo{}, err
	}
	begin := s.pos
	old, metaLen, err := s.metadata()
	if err != nil {
		return FileInfo{}, err
	}
	props := recoveredProperties(h, old)
	room := (metaLen - newContents(h.Video, 0).metadataLen(props)) / (2 * numberLen)
	c := newContents(h.Video, max(room, minIndex))

	for {
		tag, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return FileInfo{}, err
		}
		c.add(tag.offset, tag.DTS, &tag.packet)
	}
	if room >= minIndex && begin == HeaderLen {
		l := layout{props: props, len: metaLen}
		err = l.finish(f, c, s.pos)
	}
	return c.info(s.pos), err
}
