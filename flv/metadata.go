package flv

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/amf0"
	"sluice/media"
)

// Limits of what is taken over from a publisher's onMetaData.
const (
	// MaxScript is the longest onMetaData that is looked into.
	MaxScript = 256 << 10

	maxMetaKeys   = 64
	maxMetaKey    = 64
	maxMetaString = 512 // ffmpeg gives up on an onMetaData with a string of 1,024 bytes
	maxFrameRate  = 1000
)

const onMetaData = "onMetaData"

// LiveMetadata returns the body of the onMetaData that a live output begins
// with. It takes over what published says, which may be nil or nonsense, as
// far as it is sane and concerns a track of tracks, and leaves out what only a
// whole file has: duration, size, index. The codecs and the flags hasVideo and
// hasAudio, by which players go, come from tracks.
func LiveMetadata(published *media.Packet, tracks []media.Track) []byte {
	return encodeMetadata(outputProperties(readMetadata(published), tracks))
}

// WebMetadata is [LiveMetadata] for tracks that are not as they were published:
// what a publisher says of their coding is not taken over.
func WebMetadata(published *media.Packet, tracks []media.Track) []byte {
	props := slices.DeleteFunc(readMetadata(published), func(p amf0.Property) bool {
		switch strings.ToLower(p.Key) {
		case "videocodecid", "audiocodecid", "audiosamplerate", "audiosamplesize", "audiochannels", "stereo":
			return true
		}
		return false
	})
	return encodeMetadata(outputProperties(props, tracks))
}

// outputProperties are the properties for an output with the given tracks, of
// which a publisher has said those.
func outputProperties(published amf0.Object, tracks []media.Track) amf0.ECMAArray {
	audio, video := trackOf(tracks, media.Audio), trackOf(tracks, media.Video)
	props := amf0.ECMAArray{
		{Key: "hasVideo", Value: video != nil},
		{Key: "hasAudio", Value: audio != nil},
	}
	props = append(props, keptProperties(published, audio != nil, video != nil)...)
	if video != nil {
		props = describeVideo(props, *video)
	}
	if audio != nil {
		props = describeAudio(props, *audio)
	}
	return props
}

// trackOf returns the first track of a kind, the default one before others.
func trackOf(tracks []media.Track, kind media.Kind) *media.Track {
	var found *media.Track
	for i := range tracks {
		if t := &tracks[i]; t.Kind == kind && (found == nil || t.ID < found.ID) {
			found = t
		}
	}
	return found
}

// readMetadata returns the properties of an onMetaData, none where it is not
// one, or nil.
func readMetadata(p *media.Packet) amf0.Object {
	if p == nil {
		return nil
	}
	name, n := scriptName(p.Body)
	if name != onMetaData || len(p.Body) > MaxScript {
		return nil
	}
	v, _, err := amf0.Decode(p.Body[n:])
	if err != nil {
		return nil
	}
	return amf0.Properties(v)
}

// encodeMetadata returns the body of an onMetaData script (E.5).
func encodeMetadata(props amf0.ECMAArray) []byte { return appendMetadata(nil, props) }

// appendMetadata appends that body to b.
func appendMetadata(b []byte, props amf0.ECMAArray) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 2), uint16(len(onMetaData)))
	b = append(b, onMetaData...)
	// It cannot fail: the keys are short, and the values are plain ones.
	b, _ = amf0.Append(b, props)
	return b
}

// keptProperties are those of a publisher that an output with the given kinds
// of tracks takes over, each name once.
func keptProperties(props amf0.Object, audio, video bool) amf0.ECMAArray {
	var kept amf0.ECMAArray
	for _, p := range props {
		name := strings.ToLower(p.Key)
		switch {
		case len(p.Key) > maxMetaKey || p.Key == "" || !utf8.ValidString(p.Key),
			ofWholeFile(name),
			!audio && ofAudio(name),
			!video && ofVideo(name),
			!saneValue(name, p.Value):
			continue
		}
		if _, twice := kept.Get(p.Key); twice {
			continue
		}
		if len(kept) == maxMetaKeys {
			break
		}
		kept = append(kept, p)
	}
	return kept
}

// ofWholeFile tells whether a property speaks of a finished file, or is one
// that every output sets for itself.
func ofWholeFile(name string) bool {
	switch name {
	case "hasvideo", "hasaudio",
		"duration", "filesize", "datasize", "videosize", "audiosize", "totalduration",
		"lasttimestamp", "lastkeyframetimestamp", "lastkeyframelocation", "lastvideoframe",
		"keyframes", "haskeyframes", "canseektoend", "hasmetadata", "starttime",
		"cuepoints", "hascuepoints":
		return true
	}
	return false
}

func ofAudio(name string) bool {
	return name == "stereo" || strings.HasPrefix(name, "audio") || strings.HasPrefix(name, "aac")
}

func ofVideo(name string) bool {
	switch name {
	case "width", "height", "displaywidth", "displayheight", "framerate", "fps":
		return true
	}
	return strings.HasPrefix(name, "video") || strings.HasPrefix(name, "avc")
}

func saneValue(name string, v any) bool {
	switch v := v.(type) {
	case bool:
		return true
	case string:
		return len(v) <= maxMetaString && utf8.ValidString(v)
	case float64:
		switch name {
		case "width", "height", "displaywidth", "displayheight":
			return v >= 1 && v <= maxPictureSide
		case "framerate", "fps":
			return v > 0 && v <= maxFrameRate
		}
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return false
}

func describeVideo(props amf0.ECMAArray, t media.Track) amf0.ECMAArray {
	props = setCodecID(props, "videocodecid", t)
	if i := DescribeTrack(t); i.Width > 0 && i.Height > 0 {
		props = setDefault(props, "width", float64(i.Width))
		props = setDefault(props, "height", float64(i.Height))
	}
	return props
}

func describeAudio(props amf0.ECMAArray, t media.Track) amf0.ECMAArray {
	props = setCodecID(props, "audiocodecid", t)
	i := DescribeTrack(t)
	if i.SampleRate > 0 {
		props = setDefault(props, "audiosamplerate", float64(i.SampleRate))
	}
	// The channels of a track of which nothing is there are a guess.
	if i.Channels > 0 && (t.Config != nil || t.First != nil) {
		props = setDefault(props, "stereo", i.Channels > 1)
	}
	return props
}

// setCodecID says what codec a track really has. A number that the codec may
// have is left as the publisher wrote it: some codecs have two, and the old
// ones cannot be told apart.
func setCodecID(props amf0.ECMAArray, key string, t media.Track) amf0.ECMAArray {
	ids := codecIDs(t)
	at := slices.IndexFunc(props, func(p amf0.Property) bool { return p.Key == key })
	if at < 0 {
		if len(ids) == 0 {
			return props
		}
		return append(props, amf0.Property{Key: key, Value: ids[0]})
	}
	id, ok := props[at].Value.(float64)
	switch {
	case len(ids) == 0 && ok, slices.Contains(ids, id) && ok:
	case len(ids) == 0:
		return slices.Delete(props, at, at+1)
	default:
		props[at].Value = ids[0]
	}
	return props
}

// codecIDs are the numbers of a codec in onMetaData: that of the tag's header,
// or the FourCC as a number. The first is the usual one; there are none where
// the codec does not tell the number.
func codecIDs(t media.Track) []float64 {
	fourCC := func(s string) float64 { return float64(binary.BigEndian.Uint32([]byte(s))) }
	switch t.Codec {
	case media.H264:
		return []float64{videoAVC, fourCC("avc1")}
	case media.H265:
		if t.Config != nil && len(t.Config.Body) > 0 && t.Config.Body[0]&exVideoBit == 0 {
			return []float64{videoHEVC}
		}
		return []float64{fourCC("hvc1")}
	case media.H266:
		return []float64{fourCC("vvc1")}
	case media.AV1:
		return []float64{fourCC("av01")}
	case media.VP8:
		return []float64{fourCC("vp08")}
	case media.VP9:
		return []float64{fourCC("vp09")}
	case media.AAC:
		return []float64{soundAAC, fourCC("mp4a")}
	case media.MP3:
		return []float64{soundMP3, soundMP38k, fourCC(".mp3")}
	case media.G711A:
		return []float64{soundG711A}
	case media.G711U:
		return []float64{soundG711U}
	case media.Opus:
		return []float64{fourCC("Opus")}
	case media.FLAC:
		return []float64{fourCC("fLaC")}
	case media.AC3:
		return []float64{fourCC("ac-3")}
	case media.EAC3:
		return []float64{fourCC("ec-3")}
	case media.Speex:
		return []float64{soundSpeex}
	case media.PCM:
		return []float64{soundPCMLE, soundPCM}
	default:
		return nil
	}
}

// setDefault adds a property that is not there.
func setDefault(props amf0.ECMAArray, key string, v any) amf0.ECMAArray {
	if _, ok := props.Get(key); ok {
		return props
	}
	return append(props, amf0.Property{Key: key, Value: v})
}
