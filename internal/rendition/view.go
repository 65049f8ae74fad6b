package rendition

import (
	"fmt"
	"strings"

	"sluice/flv"
	"sluice/media"
)

// View says which tracks of a stream are in a rendition, and which ones the
// profile cannot carry.
type View struct {
	// Tracks are those of the rendition, in the form that they have there.
	Tracks []media.Track
	// LeftOut names what was asked for and is not there, "audio:AC-3".
	LeftOut []string

	spec         Spec
	audio, video *lane
}

// lane makes the packets of one track of a rendition.
type lane struct {
	id   uint8 // of the track in the stream
	take func(p *media.Packet, emit func(*media.Packet))
}

// NewView returns the view of a stream with those tracks that a rendition has.
// It returns an error that is [ErrNoTrack] when nothing is left.
func NewView(tracks []media.Track, spec Spec) (View, error) {
	v := View{spec: spec}
	found := spec.Track <= 0
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		if !spec.Takes(kind) {
			continue
		}
		if spec.Track == AllTracks {
			v.Tracks = append(v.Tracks, ofKind(tracks, kind)...)
			continue
		}
		id := uint8(0)
		if t := pick(tracks, kind, spec.Track); t != nil {
			id = t.ID
			found = found || id != 0
			v.add(*t)
		}
		if spec.Profile == Raw {
			v.set(kind, &lane{id, single})
		}
	}
	switch {
	case !found:
		return v, fmt.Errorf("%w: there is no track %d", ErrNoTrack, spec.Track)
	case len(v.Tracks) == 0 && len(v.LeftOut) > 0:
		return v, fmt.Errorf("%w: players in browsers cannot play %s", ErrNoTrack, strings.Join(v.LeftOut, ", "))
	case len(v.Tracks) == 0:
		return v, ErrNoTrack
	}
	return v, nil
}

func ofKind(tracks []media.Track, kind media.Kind) []media.Track {
	var out []media.Track
	for _, t := range tracks {
		if t.Kind == kind {
			out = append(out, t)
		}
	}
	return out
}

// pick returns the first track of a kind with that number, else the default
// one, else nil.
func pick(tracks []media.Track, kind media.Kind, id int) *media.Track {
	var found *media.Track
	for i := range tracks {
		switch t := &tracks[i]; {
		case t.Kind != kind:
		case int(t.ID) == id:
			return t
		case t.ID == 0 && found == nil:
			found = t
		}
	}
	return found
}

// add puts a track in, alone of its kind.
func (v *View) add(t media.Track) {
	if v.spec.Profile == Raw {
		t.ID = 0
		if t.Config != nil {
			t.Config = flv.SingleTrack(t.Config)
		}
		v.Tracks = append(v.Tracks, t)
		return
	}
	out, take := webTrack(t, v.spec.LegacyHEVC)
	if take == nil {
		v.LeftOut = append(v.LeftOut, t.Kind.String()+":"+t.Codec.String())
		return
	}
	v.Tracks = append(v.Tracks, out)
	v.set(t.Kind, &lane{t.ID, take})
}

func (v *View) set(k media.Kind, l *lane) {
	if k == media.Audio {
		v.audio = l
	} else {
		v.video = l
	}
}

// single passes a packet as one of the default track.
func single(p *media.Packet, emit func(*media.Packet)) { emit(flv.SingleTrack(p)) }

// apply hands the packets that p becomes in the rendition to emit: often p
// itself, often none.
func (v *View) apply(p *media.Packet, emit func(*media.Packet)) {
	l := v.audio
	switch {
	case !v.spec.Takes(p.Kind), v.spec.Profile == Web && p.Kind == media.Data && p.Type == media.Metadata:
		return // players of a web rendition have an onMetaData from the beginning
	case p.Kind == media.Data, v.spec.Track == AllTracks:
		emit(p)
		return
	case p.Kind == media.Video:
		l = v.video
	}
	if l != nil && l.id == p.Track {
		l.take(p, emit)
	}
}
