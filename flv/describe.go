package flv

import (
	"encoding/binary"
	"fmt"
	"strings"

	"sluice/media"
)

// TrackInfo says what a track is, for people and for players that ask before
// they play. A zero number or an empty text is not known.
type TrackInfo struct {
	Kind  media.Kind
	Codec media.Codec
	// Codecs is the name of RFC 6381, "avc1.42c01e"; empty where it has none.
	Codecs string
	// MIME is the type that a browser's MediaSource is asked about,
	// `video/mp4; codecs="avc1.42c01e"`; empty where there is none.
	MIME string

	Width, Height        int // of video
	SampleRate, Channels int // of audio
}

// DescribeTrack reads what the configuration of t says, and its first frame,
// which need not be sane: what cannot be read stays unknown.
func DescribeTrack(t media.Track) TrackInfo {
	i := TrackInfo{Kind: t.Kind, Codec: t.Codec}
	var config []byte
	if t.Config != nil {
		config = t.Config.Bytes()
	}
	switch t.Codec {
	case media.H264:
		i.describeAVC(config)
	case media.H265:
		i.describeHEVC(config)
	case media.AV1:
		i.Codecs = av1Name(config)
	case media.VP9:
		i.Codecs = vp9Name(config)
	case media.VP8:
		i.Codecs = "vp8"
	case media.AAC:
		i.describeAAC(config)
	case media.MP3:
		i.Codecs, i.MIME = "mp3", "audio/mpeg"
	case media.G711A:
		i.SampleRate, i.Channels, i.MIME = g711Rate, 1, "audio/PCMA"
	case media.G711U:
		i.SampleRate, i.Channels, i.MIME = g711Rate, 1, "audio/PCMU"
	case media.Speex:
		i.SampleRate, i.Channels, i.MIME = 16000, 1, "audio/speex"
	case media.Opus:
		i.describeOpus(config)
	case media.FLAC:
		i.describeFLAC(config)
	case media.AC3:
		i.Codecs = "ac-3"
	case media.EAC3:
		i.Codecs = "ec-3"
	default:
	}
	if i.MIME == "" && i.Codecs != "" {
		i.MIME = fmt.Sprintf("%s/mp4; codecs=%q", i.Kind, i.Codecs)
	}
	return i.withFrame(t.First)
}

// g711Rate is the only sample rate that G.711 has: the tag cannot express it
// and its bits say something else.
const g711Rate = 8000

// withFrame returns i with what only a frame of the track tells: the sample
// rate and channels of MP3 and PCM, the channels of G.711.
func (i TrackInfo) withFrame(p *media.Packet) TrackInfo {
	if p == nil || p.Kind != i.Kind || p.Codec != i.Codec || p.Type != media.Frame {
		return i
	}
	switch i.Codec {
	case media.MP3:
		if rate, channels, ok := parseMP3(p.Bytes()); ok {
			i.SampleRate, i.Channels = rate, channels
		}
	case media.G711A, media.G711U:
		i.Channels = 1 + int(p.Body[0]&1)
	case media.PCM:
		i.SampleRate, i.Channels = 44100>>(3-p.Body[0]>>2&3), 1+int(p.Body[0]&1)
	default:
	}
	return i
}

// PCMWidth returns how many bytes a sample of PCM has, 1 or 2, and 0 where p is
// no little-endian PCM: the other kind has the order of the machine that it was
// made on, which nobody knows.
func PCMWidth(p *media.Packet) int {
	if p == nil || p.Codec != media.PCM || len(p.Body) == 0 || p.Body[0]>>4 != soundPCMLE {
		return 0
	}
	return 1 + int(p.Body[0]>>1&1)
}

// parseMP3 reads the sample rate and channels in the header of an MPEG audio
// frame (ISO/IEC 11172-3, 2.4.1.3).
func parseMP3(b []byte) (rate, channels int, ok bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return 0, 0, false
	}
	version, index := b[1]>>3&3, b[2]>>2&3
	if index == 3 || version == 1 {
		return 0, 0, false
	}
	rate = [...]int{44100, 48000, 32000}[index]
	switch version {
	case 0: // MPEG 2.5
		rate /= 4
	case 2: // MPEG 2
		rate /= 2
	}
	const mono = 3
	if b[3]>>6 == mono {
		return rate, 1, true
	}
	return rate, 2, true
}

// describeHEVC reads an hvcC record, and the size of the picture in its first
// sequence parameter set.
func (i *TrackInfo) describeHEVC(b []byte) {
	if i.Codecs = hevcName(b); i.Codecs != "" {
		p := DescribePicture(media.H265, b)
		i.Width, i.Height = p.Width, p.Height
	}
}

// hevcName reads the name of an hvcC record (ISO/IEC 14496-15, E.3).
func hevcName(b []byte) string {
	if len(b) < 13 || b[0] != 1 {
		return ""
	}
	space, tier, profile := b[1]>>6, b[1]>>5&1, b[1]&0x1f
	s := strings.Builder{}
	s.WriteString("hvc1.")
	if space > 0 {
		s.WriteByte('A' + space - 1)
	}
	var flags uint32 // in reverse order of bits
	for bits, n := binary.BigEndian.Uint32(b[2:]), 0; n < 32; n++ {
		flags = flags<<1 | bits&1
		bits >>= 1
	}
	fmt.Fprintf(&s, "%d.%X.%c%d", profile, flags, "LH"[tier], b[12])
	constraints := b[6:12]
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, c := range constraints {
		fmt.Fprintf(&s, ".%X", c)
	}
	return s.String()
}

// av1Name reads the name of an av1C record (AV1 in ISO base media files, 5).
func av1Name(b []byte) string {
	if len(b) < 4 || b[0] != 0x81 {
		return ""
	}
	depth := 8
	switch {
	case b[2]&0x60 == 0x60:
		depth = 12
	case b[2]&0x40 != 0:
		depth = 10
	}
	return fmt.Sprintf("av01.%d.%02d%c.%02d", b[1]>>5, b[1]&0x1f, "MH"[b[2]>>7], depth)
}

// vp9Name reads the name of a vpcC box (VP codecs in ISO base media files).
func vp9Name(b []byte) string {
	if len(b) < 7 || b[0] != 1 {
		return ""
	}
	return fmt.Sprintf("vp09.%02d.%02d.%02d", b[4], b[5], b[6]>>4)
}
