package mp4

import "fmt"

// Run is what a fragment has of one track.
type Run struct {
	Track int // its number in the head
	// Time is the media time of the first sample, in the track's timescale;
	// those behind it follow by their durations.
	Time    uint64
	Samples []Entry
}

// Entry is what a fragment says of a sample, in the track's timescale.
type Entry struct {
	Duration uint32
	Offset   int32 // presentation minus decoding
	Size     uint32
	Key      bool
}

// AppendFragment appends the beginning of a fragment: the box moof, and the
// head of the mdat behind it. The bytes of the samples must follow, run by run.
// Fragments are numbered from 1. The error is [ErrTooLong] where the samples
// are too many for one fragment.
func AppendFragment(b []byte, number uint32, runs []Run) ([]byte, error) {
	const longest = 1 << 30
	x := &boxes{b: b}
	begin := len(b)
	x.begin("moof")
	x.full("mfhd", 0, 0)
	x.u32(number)
	x.end()
	var places []int // of the offsets of the runs' bytes
	for _, r := range runs {
		places = append(places, x.run(r))
	}
	x.end()
	const boxHead = 8
	at := int64(len(x.b)-begin) + boxHead
	for i, r := range runs {
		patch := boxes{b: x.b[:places[i]]}
		patch.u32(uint32(at)) //nolint:gosec // looked at below
		for _, s := range r.Samples {
			at += int64(s.Size)
		}
		if at > longest {
			return b, fmt.Errorf("%w: a fragment has %d bytes", ErrTooLong, at)
		}
	}
	x.u32(uint32(at - int64(len(x.b)-begin))) //nolint:gosec // looked at above
	x.text("mdat")
	return x.b, nil
}

// run appends the box traf and returns where the offset of its bytes is to be
// put.
func (x *boxes) run(r Run) (place int) {
	const baseIsMoof = 0x020000
	const hasOffset, hasDuration, hasSize, hasFlags, hasComposition = 0x001, 0x100, 0x200, 0x400, 0x800
	flags := uint32(hasOffset | hasDuration | hasSize | hasFlags)
	for _, s := range r.Samples {
		if s.Offset != 0 {
			flags |= hasComposition
		}
	}
	x.begin("traf")
	x.full("tfhd", 0, baseIsMoof)
	x.u32(trackID(r.Track))
	x.end()
	x.full("tfdt", 1, 0)
	x.u64(r.Time)
	x.end()
	x.full("trun", 1, flags)
	x.u32(uint32(len(r.Samples))) //nolint:gosec // bounded by their sizes
	place = len(x.b)
	x.u32(0)
	for _, s := range r.Samples {
		x.u32(s.Duration)
		x.u32(s.Size)
		if s.Key {
			x.u32(flagsKey)
		} else {
			x.u32(flagsInter)
		}
		if flags&hasComposition != 0 {
			x.u32(uint32(s.Offset)) //nolint:gosec // two's complement
		}
	}
	x.end()
	x.end()
	return place
}
