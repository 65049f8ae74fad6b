package rtmpd

import (
	"fmt"
	"strconv"
	"time"

	"sluice/internal/rendition"
	"sluice/internal/session"
)

// ask is what a player wants.
type ask struct {
	path string
	wait time.Duration
	join rendition.Join
	spec rendition.Spec
}

// ask reads the name of a play command and its query.
func (c *conn) ask(name string) (ask, error) {
	loc, path, err := c.locate(name)
	if err != nil {
		return ask{}, err
	}
	a := ask{path: path, wait: c.cfg.Play.Wait.D(), spec: rendition.Spec{
		Profile: rendition.Raw, Format: rendition.RTMP, Track: rendition.AllTracks,
	}}
	for _, p := range []struct {
		name, values string
		read         func(v string) bool
	}{
		{"wait", "a duration from 0s to 60s", a.readWait},
		{"join", "gop, edge or next", a.readJoin},
		{"track", "0 to 255, or all", a.readTrack},
		{"audio", "on or off", func(v string) bool { a.spec.NoAudio = v == "off"; return v == "on" || v == "off" }},
		{"video", "on or off", func(v string) bool { a.spec.NoVideo = v == "off"; return v == "on" || v == "off" }},
	} {
		if v := loc.Query.Get(p.name); loc.Query.Has(p.name) && !p.read(v) {
			return ask{}, fmt.Errorf("%w: %s=%.40q: expected %s", session.ErrBadQuery, p.name, v, p.values)
		}
	}
	return a, nil
}

func (a *ask) readWait(v string) bool {
	d, err := time.ParseDuration(v)
	a.wait = d
	return err == nil && d >= 0 && d <= maxWait
}

func (a *ask) readTrack(v string) bool {
	if v == "all" {
		a.spec.Track = rendition.AllTracks
		return true
	}
	n, err := strconv.ParseUint(v, 10, 8)
	a.spec.Track = int(n) //nolint:gosec // of 8 bits
	return err == nil
}

func (a *ask) readJoin(v string) bool {
	for _, j := range []rendition.Join{rendition.GOP, rendition.Edge, rendition.Next} {
		if j.String() == v {
			a.join = j
			return true
		}
	}
	return false
}
