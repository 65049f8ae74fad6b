package flv

import (
	"errors"
	"io"
	"slices"
	"time"

	"sluice/amf0"
	"sluice/media"
)

// Start says how to send a file from somewhere in its midst: first Head, then
// the bytes of the file from Offset on.
type Start struct {
	Head   []byte        // file header, onMetaData, configurations
	Offset int64         // of a key frame's tag
	DTS    time.Duration // of that key frame
}

// SeekFile returns the start at the newest key frame of a file that is not
// behind at, or at its first one. The times of the file stay as they are. It
// goes by the file's index as far as that is true, and looks at the tags
// themselves from there.
func SeekFile(r io.ReaderAt, size int64, at time.Duration) (Start, error) {
	return seekFile(r, size, at, true)
}

// FollowFile is [SeekFile] for a file that is being written: Head tells no
// duration, since more follows.
func FollowFile(r io.ReaderAt, size int64, at time.Duration) (Start, error) {
	return seekFile(r, size, at, false)
}

func seekFile(r io.ReaderAt, size int64, at time.Duration, complete bool) (Start, error) {
	s := newScanner(r, size)
	h, err := s.header()
	if err != nil {
		return Start{}, err
	}
	props, _, err := s.metadata()
	if err != nil {
		return Start{}, err
	}
	configs, err := s.configs()
	if err != nil {
		return Start{}, err
	}
	key, err := s.keyFrame(h.Video, indexOf(props), at)
	if err != nil {
		return Start{}, err
	}
	head := AppendHeader(nil, h.Audio, h.Video)
	if head, err = AppendTag(head, TagScript, 0, startMetadata(props, h, complete)); err != nil {
		return Start{}, err
	}
	for _, c := range configs {
		if head, err = AppendTag(head, c.Type, key.DTS, c.Body); err != nil {
			return Start{}, err
		}
	}
	return Start{Head: head, Offset: key.Offset, DTS: key.DTS}, nil
}

// startMetadata is the onMetaData of a file for an answer that begins in its
// midst: without the index, whose offsets would lead astray.
func startMetadata(props amf0.Object, h Header, complete bool) []byte {
	out := amf0.ECMAArray{{Key: "hasVideo", Value: h.Video}, {Key: "hasAudio", Value: h.Audio}}
	if v, _ := props.Get("duration"); complete && saneValue("duration", v) {
		out = append(out, amf0.Property{Key: "duration", Value: v})
	}
	return encodeMetadata(append(out, keptProperties(props, h.Audio, h.Video)...))
}

// configs returns the configurations before the first frame, and stands at
// that then.
func (s *scanner) configs() ([]Tag, error) {
	var configs []Tag
	for {
		before := s.pos
		tag, err := s.next()
		if errors.Is(err, io.EOF) {
			return configs, nil
		}
		if err != nil {
			return nil, err
		}
		p := tag.packet
		switch {
		case p.Type == media.Frame && p.Kind != media.Data:
			s.pos = before
			return configs, nil
		case p.Type == media.Config:
			body, err := s.body(tag)
			if err != nil {
				return nil, err
			}
			configs = append(configs, Tag{Type: tag.Type, Body: body})
		}
	}
}

// keyFrame finds the key frame to begin with. The scanner stands at the first
// frame, which is what it takes where there is no key frame at all.
func (s *scanner) keyFrame(video bool, index []KeyFrame, at time.Duration) (KeyFrame, error) {
	first := s.pos
	for _, k := range slices.Backward(index) {
		if k.DTS > at || k.Offset < first {
			continue
		}
		s.pos = k.Offset
		if k, ok, err := s.keyBefore(video, at, true); ok || err != nil {
			return k, err
		}
		break // the index is not true
	}
	s.pos = first
	k, ok, err := s.keyBefore(video, at, false)
	if !ok {
		k = KeyFrame{Offset: first}
	}
	return k, err
}

// keyBefore returns the newest key frame from here on that is not behind at,
// or else the first one. If must is set, the first tag has to be one.
func (s *scanner) keyBefore(video bool, at time.Duration, must bool) (k KeyFrame, ok bool, err error) {
	for {
		tag, err := s.next()
		if errors.Is(err, io.EOF) {
			return k, ok, nil
		}
		if err != nil {
			return k, ok, err
		}
		p := tag.packet
		frame := p.Type == media.Frame && p.Track == 0 && video == (p.Kind == media.Video) && p.Kind != media.Data
		point := frame && (p.Key || !video)
		if must && (!point || tag.DTS > at) {
			return k, false, nil
		}
		must = false
		if ok && frame && tag.DTS > at {
			return k, ok, nil
		}
		if point && (!ok || tag.DTS <= at) {
			k, ok = KeyFrame{Offset: tag.offset, DTS: tag.DTS}, true
		}
	}
}
