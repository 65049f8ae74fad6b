package rendition

import (
	"strconv"
	"time"
)

// MaxWait bounds how long a viewer may wait for a publisher.
const MaxWait = time.Minute

// Request is what a viewer asks for besides a path.
type Request struct {
	Wait time.Duration // how long to wait for a publisher, up to [MaxWait]
	Join Join
	Spec Spec
}

// Param is a parameter in the query of a request.
type Param struct {
	Name   string
	Values string              // which there are, for people
	Read   func(v string) bool // takes over a value, and tells whether there is such a one
}

// Params returns the parameters that viewers of every kind have. Their values
// are those of r from then on.
func (r *Request) Params() []Param {
	return []Param{
		{"wait", "a duration from 0s to 60s", r.readWait},
		{"join", "gop, edge or next", r.readJoin},
		{"track", "0 to 255, or all", r.readTrack},
		Choice("audio", &r.Spec.NoAudio, "on", "off"),
		Choice("video", &r.Spec.NoVideo, "on", "off"),
	}
}

// Choice returns a parameter with two values, one for false and one for true.
func Choice(name string, to *bool, no, yes string) Param {
	return Param{name, no + " or " + yes, func(v string) bool {
		*to = v == yes
		return v == yes || v == no
	}}
}

func (r *Request) readWait(v string) bool {
	const longest = len("0h0m59.999999999s") + 16
	if len(v) > longest {
		return false // the error of the parser would quote it whole, four bytes for each
	}
	d, err := time.ParseDuration(v)
	r.Wait = d
	return err == nil && d >= 0 && d <= MaxWait
}

func (r *Request) readJoin(v string) (ok bool) {
	r.Join, ok = ParseJoin(v)
	return ok
}

func (r *Request) readTrack(v string) bool {
	if v == "all" {
		r.Spec.Track = AllTracks
		return true
	}
	n, err := strconv.ParseUint(v, 10, 8)
	r.Spec.Track = int(n) //nolint:gosec // of 8 bits
	return err == nil
}
