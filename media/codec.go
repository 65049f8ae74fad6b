package media

// Codec names the coding of a track.
type Codec uint8

// The codecs that Sluice can tell apart. The zero value is an unknown codec,
// which is relayed without being understood.
const (
	Unknown Codec = iota
	H264
	H265
	H266
	AV1
	VP8
	VP9
	OldVideo // Sorenson H.263, Screen video, VP6: relayed only
	AAC
	MP3
	G711A
	G711U
	Opus
	FLAC
	AC3
	EAC3
	Speex
	PCM
	OldAudio // ADPCM, Nellymoser: relayed only
)

// String returns the name that people use, "H.264" or "G.711 A-law".
func (c Codec) String() string {
	switch c {
	case H264:
		return "H.264"
	case H265:
		return "H.265"
	case H266:
		return "H.266"
	case AV1:
		return "AV1"
	case VP8:
		return "VP8"
	case VP9:
		return "VP9"
	case OldVideo:
		return "legacy video"
	case AAC:
		return "AAC"
	case MP3:
		return "MP3"
	case G711A:
		return "G.711 A-law"
	case G711U:
		return "G.711 µ-law"
	case Opus:
		return "Opus"
	case FLAC:
		return "FLAC"
	case AC3:
		return "AC-3"
	case EAC3:
		return "E-AC-3"
	case Speex:
		return "Speex"
	case PCM:
		return "PCM"
	case OldAudio:
		return "legacy audio"
	case Unknown:
	}
	return "unknown"
}

// NeedsConfig tells whether frames of the codec cannot be decoded without a
// [Config] packet before them.
func (c Codec) NeedsConfig() bool {
	switch c {
	case H264, H265, H266, AV1, AAC:
		return true
	default:
		return false
	}
}
