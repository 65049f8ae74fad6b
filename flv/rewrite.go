package flv

import "sluice/media"

// Legacy returns a packet of H.264, H.265, AAC or MP3 with the header that
// players know which have never heard of Enhanced RTMP: of codec id 7 or 12, of
// sound format 10 or 2. The packet is one of the default track, without
// nanoseconds. Where p is such a packet already it is returned itself, and
// other codecs are left as they are.
func Legacy(p *media.Packet) *media.Packet {
	switch p.Codec {
	case media.H264:
		return legacyVideo(p, videoAVC)
	case media.H265:
		return legacyVideo(p, videoHEVC)
	case media.AAC:
		return legacyAAC(p)
	case media.MP3:
		return legacyMP3(p)
	default:
		return p
	}
}

func legacyVideo(p *media.Packet, codec byte) *media.Packet {
	if len(p.Body) == 0 || p.Body[0]&exVideoBit == 0 {
		return p
	}
	frame, kind, cts := exFrameType(p.Body), nalFrame, p.CTS.Milliseconds()
	switch p.Type {
	case media.Frame:
	case media.Config:
		frame, kind, cts = frameKey, nalConfig, 0
	case media.Sequence:
		frame, kind, cts = frameKey, nalEnd, 0
	default:
		return p
	}
	return rehead(p, frame<<4|codec, kind, byte(cts>>16), byte(cts>>8), byte(cts))
}

func legacyAAC(p *media.Packet) *media.Packet {
	const aac = 0xaf // whatever the stream is, as everybody writes it
	switch {
	case len(p.Body) == 0 || p.Body[0]>>4 != soundEx:
		return p
	case p.Type == media.Config:
		return rehead(p, aac, aacConfig)
	case p.Type == media.Frame:
		return rehead(p, aac, aacFrame)
	}
	return p
}

// legacyMP3 writes a header as the frame says, which knows no 48 kHz and only
// three of the lower rates.
func legacyMP3(p *media.Packet) *media.Packet {
	if p.Type != media.Frame || len(p.Body) == 0 || p.Body[0]>>4 == soundMP3 {
		return p
	}
	const sixteenBits, stereo = 2, 1
	head := byte(soundMP3<<4 | sixteenBits)
	rate, channels, ok := parseMP3(p.Bytes())
	switch {
	case !ok, rate >= 32000:
		head |= 3 << 2
	case rate >= 16000:
		head |= 2 << 2
	default:
		head |= 1 << 2
	}
	if !ok || channels > 1 {
		head |= stereo
	}
	return rehead(p, head)
}

// Enhanced returns a packet of H.265, Opus or FLAC with the plainest header
// that Enhanced RTMP has for it: of the default track, without modifiers.
// Where p is such a packet already it is returned itself, and other codecs are
// left as they are.
func Enhanced(p *media.Packet) *media.Packet {
	if h, ok := exOf(p); ok && h.isPlain() {
		return p
	}
	packet := byte(exCodedFrames)
	switch p.Type {
	case media.Frame:
	case media.Config:
		packet = exSequenceStart
	case media.Sequence:
		packet = exSequenceEnd
	default:
		return p
	}
	switch p.Codec {
	case media.H265:
		return enhancedHEVC(p, packet)
	case media.Opus:
		return rehead(p, exAudio(packet, "Opus")...)
	case media.FLAC:
		return rehead(p, exAudio(packet, flacMarker)...)
	default:
		return p
	}
}

func enhancedHEVC(p *media.Packet, packet byte) *media.Packet {
	frame := p.Body[0] >> 4 & 7
	if p.Type != media.Frame {
		frame = frameKey
	}
	head := append(make([]byte, 0, 8), exVideoBit|frame<<4|packet, 'h', 'v', 'c', '1')
	if p.Type == media.Frame {
		cts := p.CTS.Milliseconds()
		head = append(head, byte(cts>>16), byte(cts>>8), byte(cts))
	}
	return rehead(p, head...)
}

func exAudio(packet byte, fourCC string) []byte {
	return append([]byte{soundEx<<4 | packet}, fourCC...)
}

// OpusConfig returns the configuration of a track of Opus as players in
// browsers take it: with the whole [OpusHead].
func OpusConfig(t media.Track) *media.Packet {
	var config []byte
	if t.Config != nil {
		config = t.Config.Bytes()
	}
	return exAudioConfig(media.Opus, "Opus", OpusHead(config))
}

// FLACConfig returns the configuration of a track of FLAC with that STREAMINFO
// block as players in browsers take it: "fLaC" and the bare block.
func FLACConfig(streamInfo []byte) *media.Packet {
	return exAudioConfig(media.FLAC, flacMarker, append([]byte(flacMarker), streamInfo...))
}

func exAudioConfig(codec media.Codec, fourCC string, config []byte) *media.Packet {
	head := exAudio(exSequenceStart, fourCC)
	return &media.Packet{
		Kind: media.Audio, Type: media.Config, Codec: codec,
		Body: append(head, config...), Payload: len(head),
	}
}

// AppendFLACHead appends what stands before a frame of FLAC in its body.
func AppendFLACHead(b []byte) []byte { return append(b, exAudio(exCodedFrames, flacMarker)...) }

// rehead returns p as a packet of the default track with another header.
func rehead(p *media.Packet, head ...byte) *media.Packet {
	q := *p
	q.Body = append(append(make([]byte, 0, len(head)+len(p.Bytes())), head...), p.Bytes()...)
	q.Payload, q.Track, q.Nano = len(head), 0, 0
	return &q
}
