package flv

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"sluice/amf0"
)

// Lengths in the encoding of AMF0.
const (
	numberLen  = 9
	booleanLen = 2
	endLen     = 3                         // the end of an object
	fillerHead = 2 + len("filler") + 1 + 4 // key, marker and count of the filler
	fillerMin  = fillerHead + 8*booleanLen
)

// metaAt is where the body of a file's onMetaData begins.
const metaAt = HeaderLen + TagHeaderLen

// pageLen is what systems copy in one piece: a write that lies within a page
// is there as a whole or not at all, whenever the process is killed.
const pageLen = 4096

// layout is the onMetaData of a file, whose length never changes:
//
//	duration, size … │ properties │ keyframes │ filler
//
// Its parts up to the index stay in their places, so that an update is two
// short writes: some numbers, and the index from its first change on.
type layout struct {
	props amf0.ECMAArray // what it says whatever is written
	len   int
	shown []byte // what is written of it, up to the zeros of the filler; nil where that is not known
	index int    // where the key of the index lies in shown
	spare []byte // for the next shown
}

// newLayout returns the layout of a file with room for the index of c.
func newLayout(c *contents, props amf0.ECMAArray) *layout {
	return &layout{props: props, len: c.metadataLen(props)}
}

// metadataLen is the length that the onMetaData of a file has from the
// beginning, so that all that will be known of the file finds room in it.
func (c *contents) metadataLen(props amf0.ECMAArray) int {
	l := layout{props: props}
	b, _ := l.head(newContents(c.indexVideo, c.room), 0, false)
	return len(b) + endLen + 2*numberLen*c.room + fillerMin
}

// head encodes everything up to the filler, and returns where the index
// begins. Only at the end it is known which kinds of frames there are.
func (l *layout) head(c *contents, size int64, closed bool) (b []byte, index int) {
	props := append(c.fileProperties(size), l.props...)
	for i := range props {
		switch {
		case !closed:
		case props[i].Key == "hasAudio":
			props[i].Value = c.audio
		case props[i].Key == "hasVideo":
			props[i].Value = c.video
		}
	}
	b = appendMetadata(l.spare[:0], append(props,
		amf0.Property{Key: "keyframes", Value: amf0.Object{}}, amf0.Property{Key: "filler", Value: amf0.StrictArray{}}))
	b = b[:len(b)-2*endLen-fillerHead] // the index goes on from here
	index = len(b) - len("keyframes") - 3
	b = appendKey(b, "filepositions", len(c.index))
	for _, k := range c.index {
		b = appendNumber(b, float64(k.Offset))
	}
	b = appendKey(b, "times", len(c.index))
	for _, k := range c.index {
		b = appendNumber(b, k.DTS.Seconds())
	}
	return append(b, 0, 0, 9), index
}

// render encodes everything up to the zeros of the filler, which fills the
// onMetaData up. The filler is an array of numbers, and of booleans for what
// does not divide by nine: text would show up as a tag of the file, and players
// stop reading at a long text.
func (l *layout) render(c *contents, size int64, closed bool) []byte {
	b, index := l.head(c, size, closed)
	l.index = index
	numbers, booleans := l.filler(len(b))
	return appendKey(b, "filler", numbers+booleans)
}

// filler returns how many values fill up what is left behind a head. The
// booleans are as many for every length of the index.
func (l *layout) filler(head int) (numbers, booleans int) {
	rest := l.len - head - fillerHead - endLen
	booleans = rest % numberLen * 5 % numberLen // 5 is 1/2 modulo 9
	return (rest - booleans*booleanLen) / numberLen, booleans
}

// whole is the onMetaData that begins with shown.
func (l *layout) whole() []byte {
	b := append(make([]byte, 0, l.len), l.shown...)
	_, booleans := l.filler(len(b) - fillerHead)
	b = append(b, make([]byte, l.len-len(b)-booleans*booleanLen-endLen)...)
	for range booleans {
		b = append(b, 1, 0)
	}
	return append(b, 0, 0, 9)
}

// update writes what has changed since the last time. Whoever reads meanwhile,
// and a process that is killed in the middle, find a whole onMetaData: before
// an index is written that does not lie within one page, it is hidden behind
// the end of the properties.
func (l *layout) update(w io.WriterAt, c *contents, size int64, closed bool) error {
	old := l.shown
	l.shown = nil // nothing is known after an error
	b := l.render(c, size, closed)
	n := len(b)
	if old == nil {
		l.shown, l.spare = b, nil
		if err := writeAt(w, l.whole(), metaAt); err != nil {
			l.shown = nil
			return err
		}
		return nil
	}
	if len(b) < len(old) { // back to zeros
		b = append(b, make([]byte, len(old)-len(b))...)
	}
	numbers, index := changes(old[:l.index], b[:l.index], 0), changes(old[l.index:], b[l.index:], l.index)
	if err := numbers.write(w, b); err != nil {
		return err
	}
	hidden := index.to-index.from > 0 && (metaAt+index.from)/pageLen != (metaAt+index.to-1)/pageLen
	if hidden {
		if err := writeAt(w, []byte{0, 0, 9}, metaAt+int64(l.index)); err != nil {
			return err
		}
		index.from = max(index.from, l.index+endLen)
	}
	if err := index.write(w, b); err != nil {
		return err
	}
	if hidden {
		if err := writeAt(w, b[l.index:l.index+endLen], metaAt+int64(l.index)); err != nil {
			return err
		}
	}
	l.shown, l.spare = b[:n], old
	return nil
}

// span is a part of an onMetaData.
type span struct{ from, to int }

// changes returns what differs in two pieces that lie at an offset; the first
// one ends in zeros.
func changes(old, b []byte, at int) span {
	from := 0
	for from < len(b) && from < len(old) && old[from] == b[from] {
		from++
	}
	to := len(b)
	for to > from && (to > len(old) && b[to-1] == 0 || to <= len(old) && old[to-1] == b[to-1]) {
		to--
	}
	return span{at + from, at + to}
}

func (s span) write(w io.WriterAt, b []byte) error {
	if s.to <= s.from {
		return nil
	}
	return writeAt(w, b[s.from:s.to], metaAt+int64(s.from))
}

// finish writes all that is known of a file of the given size into its header
// and its onMetaData.
func (l *layout) finish(w io.WriterAt, c *contents, size int64) error {
	framed := c.audio || c.video // else the promise stands
	if err := l.update(w, c, size, framed); err != nil || !framed {
		return err
	}
	const flagsAt = 4
	return writeAt(w, []byte{headerFlags(c.audio, c.video)}, flagsAt)
}

// appendKey appends the key of an array of values and the array's head.
func appendKey(b []byte, key string, count int) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	b = append(append(b, key...), 10)
	return binary.BigEndian.AppendUint32(b, uint32(count))
}

func appendNumber(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0), math.Float64bits(v))
}

func (c *contents) info(size int64) FileInfo {
	return FileInfo{Size: size, Duration: c.duration(), Audio: c.audio, Video: c.video}
}

func writeAt(w io.WriterAt, b []byte, at int64) error {
	if _, err := w.WriteAt(b, at); err != nil {
		return fmt.Errorf("flv: writing: %w", err)
	}
	return nil
}
