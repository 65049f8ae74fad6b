// Package mp4 writes fragmented MP4 files, which can be sent while they are
// made: a head that says what the tracks are, and then fragments of about a
// second. It is a library of the first level: it knows packets of media, no
// streams and no files.
//
//	Sample ──▶ Writer ──▶ AppendHead, AppendFragment ──▶ bytes
//
// The chapters in the comments are those of ISO/IEC 14496-12 where nothing else
// is named.
package mp4

import (
	"errors"
	"fmt"

	"sluice/media"
)

// ErrTrack reports a track that cannot be put into a file.
var ErrTrack = errors.New("mp4: a track that cannot be carried")

// ErrTooLong reports a sample of more than [MaxSample] bytes.
var ErrTooLong = errors.New("mp4: sample too long")

// Limits of what is written.
const (
	// MaxSample is the longest sample, which is what an FLV tag can hold.
	MaxSample = 1<<24 - 1
	// MaxConfig is the longest decoder configuration.
	MaxConfig = 64 << 10
	// MaxTracks is the largest number of tracks.
	MaxTracks = 16
)

// videoScale is the timescale of pictures, in which milliseconds are whole.
const videoScale = 90_000

// Track says what a track is.
type Track struct {
	Codec media.Codec
	// Config is the decoder configuration: the record avcC, hvcC or av1C, the
	// box vpcC with its version, the AudioSpecificConfig, the whole OpusHead,
	// the bare STREAMINFO of FLAC. MP3 has none.
	Config []byte

	Width, Height        int // of the picture, 0 where not known
	SampleRate, Channels int // of sound
	// Aspect is how much wider than high a pixel is, as width and height;
	// zero where not known.
	Aspect [2]uint32
	// Colour tells how to see the picture, nil where not known.
	Colour *Colour

	// Skip is how much of the track's media time, in its timescale, lies
	// before the beginning of the movie.
	Skip uint64
}

// Colour names the colours of a picture with the numbers of ISO/IEC 23091-2.
type Colour struct {
	Primaries, Transfer, Matrix uint16
	FullRange                   bool
}

// Check tells whether the track can be put into a file. Its error is
// [ErrTrack].
func (t Track) Check() error {
	var ok bool
	c := t.Config
	switch t.Codec {
	case media.H264:
		ok = len(c) >= 7 && c[0] == 1
	case media.H265:
		ok = len(c) >= 23 && c[0] == 1
	case media.AV1:
		ok = len(c) >= 4 && c[0] == 0x81
	case media.VP9:
		ok = len(c) >= 12 && c[0] == 1
	case media.AAC:
		_, ok = parseASC(c)
	case media.Opus:
		_, ok = parseOpusHead(c)
	case media.FLAC:
		ok = len(c) == streamInfoLen && t.SampleRate > 0
	case media.MP3:
		ok = t.SampleRate > 0
	default:
		return fmt.Errorf("%w: %v", ErrTrack, t.Codec)
	}
	switch {
	case !ok:
		return fmt.Errorf("%w: %v without a good configuration", ErrTrack, t.Codec)
	case len(c) > MaxConfig:
		return fmt.Errorf("%w: the configuration has %d bytes", ErrTrack, len(c))
	case t.Width < 0 || t.Width > 0xffff || t.Height < 0 || t.Height > 0xffff:
		return fmt.Errorf("%w: a picture of %d×%d", ErrTrack, t.Width, t.Height)
	case t.SampleRate < 0 || t.SampleRate > 1<<24 || t.Channels < 0 || t.Channels > 255:
		return fmt.Errorf("%w: sound of %d Hz, %d channels", ErrTrack, t.SampleRate, t.Channels)
	}
	return nil
}

func check(tracks []Track) error {
	if len(tracks) == 0 || len(tracks) > MaxTracks {
		return fmt.Errorf("%w: there are %d of them", ErrTrack, len(tracks))
	}
	for _, t := range tracks {
		if err := t.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Timescale returns how many units of the track's media time a second has: for
// sound the rate of its samples, so that frames follow each other without the
// rounding of milliseconds.
func (t Track) Timescale() uint32 {
	if t.isVideo() {
		return videoScale
	}
	switch t.Codec {
	case media.AAC:
		if c, ok := parseASC(t.Config); ok {
			return c.rate
		}
	case media.Opus:
		return opusRate
	default:
	}
	if t.SampleRate > 0 {
		return uint32(t.SampleRate) //nolint:gosec // bounded by Check
	}
	return videoScale
}

func (t Track) isVideo() bool {
	switch t.Codec {
	case media.H264, media.H265, media.AV1, media.VP9:
		return true
	default:
		return false
	}
}
