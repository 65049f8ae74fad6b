package flv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"sluice/amf0"
	"sluice/media"
)

// Survey is what a file of any origin holds, and what is wrong with it.
type Survey struct {
	FileInfo // Size is that of the whole tags, from the beginning of the file on

	// Rest is the number of bytes behind the last whole tag.
	Rest int64
	// Damaged tells that Rest is neither the beginning of a tag that was cut
	// off nor all zeros, which file systems leave: there may be tags in it.
	Damaged bool
	// Complete tells that nothing is to be done: duration, size and index are
	// there and true.
	Complete bool
	// InPlace tells that [Recover] can do what is to be done.
	InPlace bool

	header   Header
	props    amf0.Object // of the first onMetaData
	contents *contents   // offsets count from the first tag of a rebuilt file
	wrong    int         // PreviousTagSizes that are not right
}

// SurveyFile walks over a file of the given size. It forgives what a [Reader]
// forgives, where a plausible tag follows. It reads the file once and keeps
// nothing of it but the index.
func SurveyFile(r io.ReaderAt, size int64) (*Survey, error) {
	sc := newScanner(r, size)
	h, err := sc.header()
	if err != nil {
		return nil, err
	}
	s := &Survey{header: h}
	sound, video := newContents(false, maxIndex), newContents(true, maxIndex)
	truth, metaLen, metaFirst, out := checker{}, 0, false, int64(0)
	for {
		tag, err := sc.nextLenient()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if tag.isMetadata() {
			if s.props == nil && tag.BodyLen <= MaxScript {
				body, err := sc.body(tag)
				if err != nil {
					return nil, err
				}
				s.props, metaLen = readMetadata(&media.Packet{Body: body}), len(body)
				truth.index, metaFirst = indexOf(s.props), tag.offset == HeaderLen
			}
			continue
		}
		truth.visit(tag.offset)
		sound.add(out, tag.DTS, &tag.packet)
		video.add(out, tag.DTS, &tag.packet)
		out += TagOverhead + int64(tag.BodyLen)
	}
	s.contents = sound
	if video.video {
		s.contents = video
	}
	s.wrong = sc.wrong
	s.FileInfo, s.Rest = s.contents.info(min(sc.pos, size)), max(size-sc.pos, 0)
	if s.Damaged, err = sc.damaged(); err != nil {
		return nil, err
	}
	intact := s.wrong == 0 && sc.pos <= size
	s.Complete = intact && s.Rest == 0 && truth.holds(s, size)
	room := newContents(h.Video, 0).metadataLen(recoveredProperties(h, s.props)) + 2*numberLen*minIndex
	s.InPlace = s.wrong == 0 && metaFirst && metaLen >= room && h.Video == s.Video // as Recover needs it
	return s, nil
}

// isMetadata tells whether a tag is an onMetaData.
func (t *fileTag) isMetadata() bool {
	return t.packet.Kind == media.Data && t.packet.Type == media.Metadata
}

// checker compares an index with the tags that are there.
type checker struct {
	index []KeyFrame
	found int
}

// visit is called for each tag, in the order of the file.
func (c *checker) visit(offset int64) {
	for c.found < len(c.index) && c.index[c.found].Offset <= offset {
		if c.index[c.found].Offset < offset {
			c.index = nil // it points between two tags
			return
		}
		c.found++
	}
}

// holds tells whether everything that a file says of itself is true.
func (c *checker) holds(s *Survey, size int64) bool {
	number := func(key string) float64 {
		v, _ := s.props.Get(key)
		n, _ := v.(float64)
		return n
	}
	const tolerance = 0.5 // others do not count the last frame
	long := number("duration")
	return number("filesize") == float64(size) && s.header == Header{s.Audio, s.Video} &&
		(math.Abs(long-s.Duration.Seconds()) <= tolerance || math.Abs(long-s.contents.end.Seconds()) <= tolerance) &&
		len(c.index) >= min(len(s.contents.index), 2) && c.found == len(c.index)
}

// nextLenient is next for a file that may have wrong PreviousTagSizes, or none
// at its end: then the tag counts if nothing follows it, or another one.
func (s *scanner) nextLenient() (fileTag, error) {
	tag, err := s.next()
	if !errors.Is(err, io.EOF) {
		return tag, err
	}
	h, err := s.plausible(s.pos)
	if err != nil {
		return fileTag{}, err
	}
	end := s.pos + TagHeaderLen + int64(h.BodyLen)
	if h.BodyLen == 0 || end > s.size {
		return fileTag{}, io.EOF
	}
	if end+prevSizeLen < s.size {
		if _, err := s.plausible(end + prevSizeLen); err != nil {
			return fileTag{}, err
		}
	}
	b, err := s.peek(s.pos+TagHeaderLen, headLen)
	if err != nil {
		return fileTag{}, err
	}
	tag = fileTag{TagHeader: h, offset: s.pos}
	tag.packet = ParseBody(h.Type, s.head[:copy(s.head[:min(headLen, int(h.BodyLen))], b)])
	if end+prevSizeLen <= s.size {
		s.wrong++
	}
	s.pos = end + prevSizeLen
	return tag, nil
}

// plausible returns the header at an offset, or [io.EOF] where there is none
// that a writer of files would write.
func (s *scanner) plausible(at int64) (TagHeader, error) {
	b, err := s.peek(at, TagHeaderLen)
	if err != nil {
		return TagHeader{}, err
	}
	h, _, err := ParseTagHeader(b)
	if err != nil || !h.known() || h.StreamID != 0 {
		return TagHeader{}, io.EOF
	}
	return h, nil
}

// damaged tells whether something else than the end of a file lies here.
func (s *scanner) damaged() (bool, error) {
	if s.pos >= s.size {
		return false, nil
	}
	b, err := s.peek(s.pos, TagHeaderLen)
	if err != nil {
		return false, err
	}
	if len(b) > 0 && b[0] != 0 {
		h, err := s.plausible(s.pos)
		short := len(b) < TagHeaderLen
		return !short && (err != nil || s.pos+TagHeaderLen+int64(h.BodyLen) <= s.size), nil
	}
	for at := s.pos; at < s.size; at += int64(len(b)) {
		if b, err = s.peek(at, cap(s.buf)); err != nil {
			return false, err
		}
		if len(b) == 0 || slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
			return true, nil
		}
	}
	return false, nil
}

// Rebuild writes the tags of r, of which s is the survey, into a new file with
// room for an index, and finishes that. The tags are those of r with right
// PreviousTagSizes; of several onMetaData one is left.
func (s *Survey) Rebuild(w io.WriterAt, r io.ReaderAt) (FileInfo, error) {
	c := *s.contents
	c.room = max(len(c.index)+1, minIndex)
	l := newLayout(&c, recoveredProperties(s.header, s.props))
	begin := metaAt + int64(l.len) + prevSizeLen
	c.shift(begin)

	out := bufio.NewWriterSize(io.NewOffsetWriter(w, begin), 256<<10)
	size, err := s.copyTags(out, r)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return FileInfo{}, fmt.Errorf("flv: copying the tags: %w", err)
	}
	size += begin
	l.shown = l.render(&c, size, false)
	head, err := AppendTag(AppendHeader(nil, s.header.Audio, s.header.Video), TagScript, 0, l.whole())
	if err != nil {
		return FileInfo{}, err
	}
	if err := writeAt(w, head, 0); err != nil {
		return FileInfo{}, err
	}
	return c.info(size), l.finish(w, &c, size)
}

// copyTags writes all tags but onMetaData, and returns their length.
func (s *Survey) copyTags(w *bufio.Writer, r io.ReaderAt) (n int64, err error) {
	sc := newScanner(r, s.Size)
	if _, err := sc.header(); err != nil {
		return 0, err
	}
	for {
		tag, err := sc.nextLenient()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if tag.isMetadata() {
			continue
		}
		length := TagHeaderLen + int64(tag.BodyLen)
		if _, err := io.Copy(w, io.NewSectionReader(r, tag.offset, length)); err != nil {
			return n, err
		}
		if _, err := w.Write(binary.BigEndian.AppendUint32(w.AvailableBuffer(), uint32(length))); err != nil {
			return n, err
		}
		n += length + prevSizeLen
	}
}

// shift moves all offsets.
func (c *contents) shift(by int64) {
	c.index = slices.Clone(c.index)
	for i := range c.index {
		c.index[i].Offset += by
	}
	c.lastKey.Offset += by
}

// recoveredProperties is what the onMetaData of a file says that was not
// finished, whatever is in the file.
func recoveredProperties(h Header, old amf0.Object) amf0.ECMAArray {
	return append(amf0.ECMAArray{
		{Key: "hasVideo", Value: h.Video},
		{Key: "hasAudio", Value: h.Audio},
	}, keptProperties(old, true, true)...)
}
