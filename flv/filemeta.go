package flv

import (
	"fmt"
	"io"
	"slices"

	"sluice/amf0"
)

// Lengths in the encoding of AMF0.
const (
	numberLen  = 9
	booleanLen = 2
	fillerHead = 2 + len("filler") + 1 + 4 // key, marker and count of the filler
	fillerMin  = fillerHead + 8*booleanLen
)

// metadataLen is the length that the onMetaData of a file has from the
// beginning, so that all that will be known of the file finds room in it.
func (c *contents) metadataLen(props amf0.ECMAArray) int {
	final := append(newContents(c.indexVideo, c.room).fileProperties(0), props...)
	return len(encodeMetadata(final)) + 2*numberLen*c.room + fillerMin
}

// padMetadata encodes props and fills them up to n bytes, which must be
// [fillerMin] more than they need. The filler is an array of numbers, and of
// booleans for what does not divide by nine: text would show up as a tag of
// the file, and players stop reading at a long text.
func padMetadata(props amf0.ECMAArray, n int) []byte {
	rest := n - len(encodeMetadata(props)) - fillerHead
	booleans := rest % numberLen * 5 % numberLen // 5 is 1/2 modulo 9
	filler := amf0.StrictArray{}
	for range (rest - booleans*booleanLen) / numberLen {
		filler = append(filler, 0.0)
	}
	for range booleans {
		filler = append(filler, false)
	}
	return encodeMetadata(append(slices.Clip(props), amf0.Property{Key: "filler", Value: filler}))
}

// patch writes what is known of a file of the given size into its header and
// into its onMetaData of metaLen bytes.
func (c *contents) patch(w io.WriterAt, props amf0.ECMAArray, metaLen int, size int64) error {
	final := append(c.fileProperties(size), props...)
	framed := c.audio || c.video // else the promise stands
	for i := range final {
		switch {
		case framed && final[i].Key == "hasAudio":
			final[i].Value = c.audio
		case framed && final[i].Key == "hasVideo":
			final[i].Value = c.video
		}
	}
	if err := writeAt(w, padMetadata(final, metaLen), HeaderLen+TagHeaderLen); err != nil || !framed {
		return err
	}
	const flagsAt = 4
	return writeAt(w, []byte{headerFlags(c.audio, c.video)}, flagsAt)
}

func (c *contents) info(size int64) FileInfo {
	return FileInfo{Size: size, Duration: c.end, Audio: c.audio, Video: c.video}
}

func writeAt(w io.WriterAt, b []byte, at int64) error {
	if _, err := w.WriteAt(b, at); err != nil {
		return fmt.Errorf("flv: writing: %w", err)
	}
	return nil
}
