package flv

import (
	"errors"
	"io"
	"slices"
	"time"

	"sluice/amf0"
	"sluice/media"
)

// ErrFileFull reports a packet behind the longest time that a file can hold:
// 2^31 ms after its beginning, which is after 24 days. Go on in a new file.
var ErrFileFull = errors.New("flv: the file's clock is at its end")

// ErrFinished reports a packet for a file that is finished.
var ErrFinished = errors.New("flv: the file is finished")

// maxFileTime is the first time stamp that players take for a negative one.
const maxFileTime = 1 << 31 * time.Millisecond

// FileOptions says what a [FileWriter] writes before the first packet.
type FileOptions struct {
	// Tracks are those that will be written. Their configurations are the
	// first tags of the file.
	Tracks []media.Track
	// Metadata is the publisher's onMetaData, nil where there is none.
	Metadata *media.Packet
	// Properties are those that the file has besides the publisher's, and in
	// place of any with the same name.
	Properties amf0.Object
	// CodecMetadata is what is known of tracks beside their configurations,
	// behind which it is written.
	CodecMetadata []*media.Packet
	// Index is the number of key frames to keep room for; 0 means
	// [DefaultIndex].
	Index int
}

// FileInfo is what is known about a file.
type FileInfo struct {
	Size         int64         // up to the end of the last whole tag
	Duration     time.Duration // from the first packet to the end of the last
	Audio, Video bool          // whether there are frames of either kind
}

// FileWriter writes a file that can be sought in:
//
//	header │ onMetaData with room for the index │ configurations │ tags …
//
// Every tag is one write at the end, so that the file can be played up to its
// last whole tag whenever the process ends. [FileWriter.Update] and
// [FileWriter.Finish] write duration, size and index into the room at the
// beginning, behind the tags that they speak of. After an error the file is
// good up to the Size of [FileWriter.Info], and the same packet can be written
// again. A FileWriter is not safe for concurrent use.
type FileWriter struct {
	w        io.WriterAt
	meta     *layout
	size     int64
	c        *contents
	base     time.Duration // the packets' time at which the file's is 0
	begun    bool
	finished bool
	buf      []byte
}

// NewFileWriter begins a file at offset 0 of w.
func NewFileWriter(w io.WriterAt, o FileOptions) (*FileWriter, error) {
	room := o.Index
	if room == 0 {
		room = DefaultIndex
	}
	room = min(max(room, minIndex), maxIndex)
	audio, video := trackOf(o.Tracks, media.Audio), trackOf(o.Tracks, media.Video)
	f := &FileWriter{w: w, c: newContents(video != nil, room)}
	published := slices.DeleteFunc(readMetadata(o.Metadata), func(p amf0.Property) bool { _, ours := o.Properties.Get(p.Key); return ours })
	f.meta = newLayout(f.c, append(outputProperties(published, o.Tracks), o.Properties...))
	f.meta.shown = f.meta.render(f.c, 0, false)

	b := AppendHeader(nil, audio != nil, video != nil)
	b, err := AppendTag(b, TagScript, 0, f.meta.whole())
	if err != nil {
		return nil, err
	}
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for _, t := range o.Tracks {
			if t.Kind != kind {
				continue
			}
			if b, err = f.appendOpening(b, t, o.CodecMetadata); err != nil {
				return nil, err
			}
		}
	}
	if err := f.append(b); err != nil {
		return nil, err
	}
	return f, nil
}

// appendOpening appends what comes before a track's frames: its configuration,
// and what is known beside that.
func (f *FileWriter) appendOpening(b []byte, t media.Track, metadata []*media.Packet) ([]byte, error) {
	opening := slices.DeleteFunc(slices.Clone(metadata), func(p *media.Packet) bool { return p.Kind != t.Kind || p.Track != t.ID })
	if t.Config != nil {
		opening = slices.Insert(opening, 0, t.Config)
	}
	for _, p := range opening {
		offset := int64(len(b))
		var err error
		if b, err = AppendTag(b, tagType(p.Kind), 0, p.Body); err != nil {
			return b, err
		}
		f.c.add(offset, 0, p)
	}
	return b, nil
}

// Write appends a packet of a stream, whose time is that of the stream's
// timeline: the file's own clock begins with the first packet and does not run
// backwards in any track. Metadata is left out, since it is in the file
// already, and so are packets without content.
func (f *FileWriter) Write(p *media.Packet) error {
	if f.finished {
		return ErrFinished
	}
	if len(p.Body) == 0 || p.Kind == media.Data && p.Type != media.Frame {
		return nil
	}
	if !f.begun {
		f.base, f.begun = p.DTS, true
	}
	dts := max(p.DTS-f.base, f.c.last[track{p.Kind, p.Track}], 0).Truncate(time.Millisecond)
	if dts >= maxFileTime {
		return ErrFileFull
	}
	b, err := AppendTag(f.buf[:0], tagType(p.Kind), dts, p.Body)
	if err != nil {
		return err
	}
	f.buf = b
	offset := f.size
	if err := f.append(b); err != nil {
		return err
	}
	f.c.add(offset, dts, p)
	return nil
}

// Update writes duration, size and index as they are by now. It writes nothing
// but what has changed, and the file can be read at any moment of it.
func (f *FileWriter) Update() error {
	if f.finished {
		return ErrFinished
	}
	return f.meta.update(f.w, f.c, f.size, false)
}

// Finish makes the file complete: duration, size, index, and the flags of the
// kinds of frames that were really written. It ends the FileWriter, and may be
// called again when it failed.
func (f *FileWriter) Finish() error {
	if err := f.meta.finish(f.w, f.c, f.size); err != nil {
		return err
	}
	f.finished = true
	return nil
}

// Info says what the file holds by now.
func (f *FileWriter) Info() FileInfo { return f.c.info(f.size) }

func (f *FileWriter) append(b []byte) error {
	if err := writeAt(f.w, b, f.size); err != nil {
		return err
	}
	f.size += int64(len(b))
	return nil
}

// tagType is the type of tag for a kind of packet.
func tagType(kind media.Kind) uint8 {
	switch kind {
	case media.Audio:
		return TagAudio
	case media.Video:
		return TagVideo
	default:
		return TagScript
	}
}
