package flv

import (
	"io"
	"math"
	"time"

	"sluice/amf0"
	"sluice/media"
)

// DefaultIndex is the number of key frames for which a [FileWriter] keeps room
// unless told otherwise: 72 KiB. A recording with more of them gets an index
// of every second, every fourth … key frame.
const DefaultIndex = 4096

const (
	// minIndex is the least room that can be halved.
	minIndex = 4
	// maxIndex keeps the whole onMetaData below [MaxScript].
	maxIndex = 8192
	// audioPoint is how far the index points of a file without video are
	// apart.
	audioPoint = 2 * time.Second
)

// KeyFrame is a place in a file at which playing can begin.
type KeyFrame struct {
	Offset int64 // of the tag's first byte
	DTS    time.Duration
}

// ReadIndex returns the key frames that the onMetaData at the beginning of a
// file lists, in the order of the file, and none where it lists none. Entry 0
// is normally the decoder configuration. The list is the word of the file:
// whoever follows it must look at what is there.
func ReadIndex(r io.ReaderAt) ([]KeyFrame, error) {
	props, err := ReadProperties(r)
	return indexOf(props), err
}

// ReadProperties returns what the onMetaData at the beginning of a file says,
// none where there is none.
func ReadProperties(r io.ReaderAt) (amf0.Object, error) {
	s := newScanner(r, math.MaxInt64)
	if _, err := s.header(); err != nil {
		return nil, err
	}
	props, _, err := s.metadata()
	return props, err
}

// indexOf returns the index among the properties of an onMetaData.
func indexOf(props amf0.Object) []KeyFrame {
	v, _ := props.Get("keyframes")
	lists := amf0.Properties(v)
	v, _ = lists.Get("filepositions")
	offsets, _ := v.(amf0.StrictArray)
	v, _ = lists.Get("times")
	times, _ := v.(amf0.StrictArray)
	if len(times) != len(offsets) {
		return nil
	}
	var index []KeyFrame
	for i := range offsets {
		offset, isOffset := offsets[i].(float64)
		seconds, isTime := times[i].(float64)
		if !isOffset || !isTime || !(offset >= 0 && offset < 1<<53) || !(seconds >= 0 && seconds < 1<<31) {
			return nil
		}
		k := KeyFrame{Offset: int64(offset), DTS: time.Duration(math.Round(seconds*1000)) * time.Millisecond}
		if len(index) > 0 && k.Offset < index[len(index)-1].Offset {
			return nil
		}
		index = append(index, k)
	}
	return index
}

// contents sums up the tags of a file, whether they are being written or read
// again, for its header and its onMetaData.
type contents struct {
	indexVideo bool // index key frames, not sound
	room       int  // for entries of the index

	index   []KeyFrame // entry 0 is the decoder configuration
	points  int        // key frames so far, of which the index has every stride-th
	stride  int
	lastKey KeyFrame // the newest point, also if the index leaves it out

	audio, video bool // there are frames
	first, end   time.Duration
	last         map[track]time.Duration
}

// track names one track of a file.
type track struct {
	kind media.Kind
	id   uint8
}

func newContents(indexVideo bool, room int) *contents {
	return &contents{indexVideo: indexVideo, room: room, stride: 1, last: make(map[track]time.Duration)}
}

// add counts a tag at an offset. Of p it looks at nothing but what kind of
// packet it is.
func (c *contents) add(offset int64, dts time.Duration, p *media.Packet) {
	if p.Kind != media.Audio && p.Kind != media.Video {
		return
	}
	t := track{p.Kind, p.Track}
	if p.Type == media.Frame {
		if !c.audio && !c.video {
			c.first = dts
		}
		c.audio = c.audio || p.Kind == media.Audio
		c.video = c.video || p.Kind == media.Video
		c.end = max(c.end, dts+frameTime(dts, c.last, t))
	}
	c.last[t] = dts
	c.addPoint(KeyFrame{Offset: offset, DTS: dts}, p)
}

// frameTime guesses how long the frame at dts lasts: as long as the one
// before, unless there was a gap.
func frameTime(dts time.Duration, last map[track]time.Duration, t track) time.Duration {
	before, ok := last[t]
	if step := dts - before; ok && step > 0 && step < time.Second {
		return step
	}
	return 0
}

func (c *contents) addPoint(k KeyFrame, p *media.Packet) {
	if p.Track != 0 || (p.Kind == media.Video) != c.indexVideo {
		return
	}
	if p.Type == media.Config && len(c.index) == 0 {
		c.index = append(c.index, KeyFrame{Offset: k.Offset})
		return
	}
	if !c.isPoint(k, p) {
		return
	}
	if len(c.index) == 0 { // a codec without a configuration
		c.index = append(c.index, k)
	}
	if c.points%c.stride == 0 {
		if len(c.index) >= c.room {
			c.thin()
		}
		if c.points%c.stride == 0 {
			c.index = append(c.index, k)
		}
	}
	c.points++
	c.lastKey = k
}

func (c *contents) isPoint(k KeyFrame, p *media.Packet) bool {
	if p.Type != media.Frame {
		return false
	}
	if c.indexVideo {
		return p.Key
	}
	return c.points == 0 || k.DTS-c.lastKey.DTS >= audioPoint
}

// thin drops every second key frame of the index, but not its entry 0 and not
// the first one.
func (c *contents) thin() {
	n := 1
	for i := 1; i < len(c.index); i += 2 {
		c.index[n] = c.index[i]
		n++
	}
	c.index = c.index[:n]
	c.stride *= 2
}

// duration is the time from the first frame to the end of the last.
func (c *contents) duration() time.Duration { return max(c.end-c.first, 0) }

// fileProperties are the properties that a file adds to those of a live output,
// beside the index.
func (c *contents) fileProperties(size int64) amf0.ECMAArray {
	return amf0.ECMAArray{
		{Key: "duration", Value: c.duration().Seconds()},
		{Key: "filesize", Value: float64(size)},
		{Key: "lasttimestamp", Value: c.lastTime().Seconds()},
		{Key: "lastkeyframetimestamp", Value: c.lastKey.DTS.Seconds()},
		{Key: "lastkeyframelocation", Value: float64(c.lastKey.Offset)},
	}
}

func (c *contents) lastTime() time.Duration {
	var last time.Duration
	for _, dts := range c.last {
		last = max(last, dts)
	}
	return last
}
