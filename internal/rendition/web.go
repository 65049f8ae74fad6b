package rendition

import (
	"sluice/flv"
	"sluice/internal/sound"
	"sluice/media"
)

// webTrack returns a track in the form that players in browsers take, and what
// makes its packets; that is nil where they cannot play it. Of the packets only
// frames are left: ends of sequence, commands and codec metadata are errors to
// those players.
//
//	H.264, AAC, MP3  legacy tags           G.711, PCM  FLAC
//	H.265            hvc1, or codec id 12  Opus, FLAC  with the configuration in its one good form
func webTrack(t media.Track, legacyHEVC bool) (media.Track, func(*media.Packet, func(*media.Packet))) {
	out := media.Track{Kind: t.Kind, Codec: t.Codec, First: t.First}
	rewrite := flv.Legacy
	switch t.Codec {
	case media.H264, media.AAC, media.MP3:
	case media.H265:
		if !legacyHEVC {
			rewrite = flv.Enhanced
		}
	case media.Opus:
		out.Config = flv.OpusConfig(t)
		return out, frames(flv.Enhanced)
	case media.FLAC:
		info, ok := streamInfo(t)
		if !ok {
			return out, nil
		}
		out.Config = flv.FLACConfig(info)
		return out, frames(flv.Enhanced)
	case media.G711A, media.G711U, media.PCM:
		return sound.FLAC(t)
	default:
		return out, nil
	}
	if t.Config != nil {
		out.Config = rewrite(t.Config)
	}
	return out, frames(rewrite)
}

func streamInfo(t media.Track) (info []byte, ok bool) {
	if t.Config == nil {
		return nil, false
	}
	return flv.StreamInfo(t.Config.Bytes())
}

// frames passes frames alone, rewritten.
func frames(rewrite func(*media.Packet) *media.Packet) func(*media.Packet, func(*media.Packet)) {
	return func(p *media.Packet, emit func(*media.Packet)) {
		if p.Type == media.Frame {
			emit(rewrite(p))
		}
	}
}
