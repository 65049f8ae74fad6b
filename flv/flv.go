// Package flv reads and writes the Flash Video container and what its tags
// carry. It is a library of the first level: it knows packets and AMF0, no
// streams, no files and no logging.
//
//	bytes ──▶ Reader ──▶ Tag ──▶ ParseBody ──▶ media.Packet
//	bytes ◀── AppendHeader, AppendTag, FileWriter ◀── media.Packet
//
// The chapters in the comments are those of the Adobe Flash Video File Format
// Specification, version 10.1, and of Enhanced RTMP, version 2.
package flv

import (
	"errors"
	"time"
)

// The types of tags that Sluice reads and writes. The body of such a tag is
// also the payload of the RTMP message of the same type.
const (
	TagAudio  uint8 = 8
	TagVideo  uint8 = 9
	TagScript uint8 = 18
)

// Sizes and limits of the container.
const (
	// HeaderLen is the length of what [AppendHeader] writes: the file header
	// and the PreviousTagSize that stands before the first tag.
	HeaderLen = fileHeaderLen + prevSizeLen
	// TagHeaderLen is the length of an encoded [TagHeader].
	TagHeaderLen = 11
	// TagOverhead is what a tag adds to its body: header and PreviousTagSize.
	TagOverhead = TagHeaderLen + prevSizeLen
	// MaxTagBody is the longest body of a tag, all that its 24-bit size field
	// can say. A reader's memory grows with what arrives, not with what the
	// field promises.
	MaxTagBody = 1<<24 - 1
	// MaxDataOffset is the longest file header that a [Reader] accepts.
	MaxDataOffset = 1 << 16
	// MaxCTS is the largest distance between presentation and decoding that
	// players believe: ffmpeg drops a time stamp that is further off.
	MaxCTS = 15 * time.Minute

	fileHeaderLen = 9
	prevSizeLen   = 4
)

// ErrShort reports that the input ends before the value does.
var ErrShort = errors.New("flv: input too short")

// ErrHeader reports bytes that are not the header of a Flash Video file.
var ErrHeader = errors.New("flv: not a Flash Video header")

// ErrTagTooLong reports a body of more than [MaxTagBody] bytes.
var ErrTagTooLong = errors.New("flv: tag body too long")
