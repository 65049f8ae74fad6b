// Package media holds the words that every part of the server shares about
// audio and video: packets, tracks and codecs. It knows no wire format.
package media

import "time"

// Kind tells what a packet carries.
type Kind uint8

// The kinds of packets. The zero value is no kind.
const (
	Audio Kind = iota + 1
	Video
	Data // script data: onMetaData and its like
)

// String returns "audio", "video", "data" or "none".
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	case Data:
		return "data"
	}
	return "none"
}

// Type tells what part a packet plays in its track.
type Type uint8

// The types of packets.
const (
	Frame    Type = iota // coded audio or video, or script data
	Config               // decoder configuration ("sequence header"): avcC, AudioSpecificConfig …
	Sequence             // end of sequence: nothing follows in this track until the next Config or key frame
	Metadata             // onMetaData (of [Data]) or codec metadata such as colour information (of [Video], [Audio])
	Reset                // takes codec metadata back: of [Video] or [Audio]
	Other                // passes through unread: command frames, empty and unknown messages
)

// Packet is one audio, video or data message of a stream. A packet that was
// handed on is immutable, its body included, and may be shared by any number
// of goroutines.
type Packet struct {
	Kind  Kind
	Type  Type
	Codec Codec
	Key   bool  // a [Frame] of video at which decoding can begin
	Track uint8 // 0 is the default track

	// DTS is the decoding time. A publisher's packets carry the publisher's
	// own clock, which wraps at 2^32 ms; those of a stream carry the stream's
	// timeline. CTS is the composition time, presentation minus decoding.
	DTS, CTS time.Duration
	// Nano is what the presentation time lies behind that, less than a
	// millisecond, where the publisher is so exact.
	Nano time.Duration

	// Body is the message as published, which is also the body of its FLV
	// tag. Payload is where the codec's own bytes begin in it: behind the
	// tag's audio or video header.
	Body    []byte
	Payload int
}

// Bytes returns the codec's own bytes, without the tag's header.
func (p *Packet) Bytes() []byte { return p.Body[min(p.Payload, len(p.Body)):] }

// Track describes one track of a stream.
type Track struct {
	Kind   Kind
	Codec  Codec
	ID     uint8   // 0 is the default track
	Config *Packet // the newest decoder configuration, nil where the codec has none
	// First is the first frame of an audio track, which tells what no
	// configuration does: the channels of G.711, the sample rate of MP3. It
	// may be nil, and is so for video.
	First *Packet
}

// UpdateMetadata returns the newest codec metadata of each track, of which all
// is what was known before p: p itself, if it is such, in place of that of its
// track, and nothing of the track if p is a [Reset]. What all holds is not
// changed; where nothing is new, all itself is returned.
func UpdateMetadata(all []*Packet, p *Packet) []*Packet {
	if p.Kind == Data || p.Type != Metadata && p.Type != Reset {
		return all
	}
	out := make([]*Packet, 0, len(all)+1)
	for _, o := range all {
		if o.Kind != p.Kind || o.Track != p.Track {
			out = append(out, o)
		}
	}
	if p.Type == Metadata {
		out = append(out, p)
	}
	return out
}
