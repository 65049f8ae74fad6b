package mp4

import (
	"math"
	"time"
)

// movieScale is the timescale of the movie: milliseconds.
const movieScale = 1000

// The flags of a sample (8.8.3.1): whether decoding can begin at it.
const (
	flagsKey   = 0x02000000
	flagsInter = 0x01010000
)

// AppendHead appends what a file begins with, the boxes ftyp and moov. The
// tracks are numbered in their order, from 0. The duration is that of the whole
// movie, 0 where nobody knows.
func AppendHead(b []byte, tracks []Track, duration time.Duration) ([]byte, error) {
	if err := check(tracks); err != nil {
		return b, err
	}
	total := uint32(min(max(duration.Milliseconds(), 0), math.MaxUint32)) //nolint:gosec // bounded here
	x := &boxes{b: b}
	x.fileType()
	x.begin("moov")
	x.movieHeader(total, len(tracks))
	for i, t := range tracks {
		x.track(i, t)
	}
	x.begin("mvex")
	if total > 0 {
		x.full("mehd", 0, 0)
		x.u32(total)
		x.end()
	}
	for i, t := range tracks {
		x.full("trex", 0, 0)
		x.u32(trackID(i))
		x.u32(1) // sample description
		x.u32(0) // duration
		x.u32(0) // size
		if t.isVideo() {
			x.u32(flagsInter)
		} else {
			x.u32(flagsKey)
		}
		x.end()
	}
	x.end()
	x.end()
	return x.b, nil
}

// trackID is the number in the file of a track, which must not be 0.
func trackID(i int) uint32 { return uint32(i) + 1 } //nolint:gosec // up to MaxTracks

func (x *boxes) fileType() {
	x.begin("ftyp")
	x.text("iso6")
	x.u32(0x200)
	x.text("iso6isommp41mp42")
	x.end()
}

func (x *boxes) movieHeader(total uint32, tracks int) {
	x.full("mvhd", 0, 0)
	x.u32(0) // creation
	x.u32(0) // modification
	x.u32(movieScale)
	x.u32(total)
	x.u32(0x10000) // rate 1
	x.u16(0x100)   // volume 1
	x.zero(10)
	x.matrix()
	x.zero(24)
	x.u32(trackID(tracks)) // the next one
	x.end()
}

func (x *boxes) track(i int, t Track) {
	const enabledInMovie = 3
	x.begin("trak")
	x.full("tkhd", 0, enabledInMovie)
	x.u32(0) // creation
	x.u32(0) // modification
	x.u32(trackID(i))
	x.zero(4)
	x.u32(0) // duration: that of the fragments
	x.zero(8)
	x.u16(0) // layer
	if t.isVideo() {
		x.u16(0) // alternate group
		x.u16(0) // volume
	} else {
		x.u16(1)
		x.u16(0x100)
	}
	x.zero(2)
	x.matrix()
	x.u32(shownWidth(t) << 16)
	x.u32(uint32(t.Height) << 16) //nolint:gosec // bounded by Check
	x.end()
	if t.Skip > 0 {
		x.edit(t.Skip)
	}
	x.media(t)
	x.end()
}

// shownWidth is the width of the picture in square pixels.
func shownWidth(t Track) uint32 {
	w := uint64(t.Width) //nolint:gosec // bounded by Check
	if t.Aspect[0] > 0 && t.Aspect[1] > 0 {
		w = min(w*uint64(t.Aspect[0])/uint64(t.Aspect[1]), math.MaxUint16)
	}
	return uint32(w) //nolint:gosec // bounded here
}

// edit says that the movie begins behind the beginning of the track (8.6.6).
func (x *boxes) edit(skip uint64) {
	x.begin("edts")
	x.full("elst", 1, 0)
	x.u32(1)
	x.u64(0) // duration: up to the end
	x.u64(skip)
	x.u32(0x10000)
	x.end()
	x.end()
}

func (x *boxes) media(t Track) {
	const undetermined = 0x55c4 // "und"
	x.begin("mdia")
	x.full("mdhd", 0, 0)
	x.u32(0) // creation
	x.u32(0) // modification
	x.u32(t.Timescale())
	x.u32(0) // duration: that of the fragments
	x.u16(undetermined)
	x.u16(0)
	x.end()

	handler, name := "soun", "SoundHandler\x00"
	if t.isVideo() {
		handler, name = "vide", "VideoHandler\x00"
	}
	x.full("hdlr", 0, 0)
	x.u32(0)
	x.text(handler)
	x.zero(12)
	x.text(name)
	x.end()

	x.begin("minf")
	if t.isVideo() {
		x.full("vmhd", 0, 1)
		x.zero(8)
	} else {
		x.full("smhd", 0, 0)
		x.zero(4)
	}
	x.end()
	x.begin("dinf")
	x.full("dref", 0, 0)
	x.u32(1)
	x.full("url ", 0, 1) // in this file
	x.end()
	x.end()
	x.end()
	x.sampleTable(t)
	x.end()
	x.end()
}

// sampleTable says what samples are, and that there are none outside of
// fragments.
func (x *boxes) sampleTable(t Track) {
	x.begin("stbl")
	x.full("stsd", 0, 0)
	x.u32(1)
	if t.isVideo() {
		x.videoEntry(t)
	} else {
		x.audioEntry(t)
	}
	x.end()
	for _, name := range []string{"stts", "stsc", "stco"} {
		x.full(name, 0, 0)
		x.u32(0)
		x.end()
	}
	x.full("stsz", 0, 0)
	x.u32(0)
	x.u32(0)
	x.end()
	x.end()
}
