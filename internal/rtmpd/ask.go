package rtmpd

import (
	"fmt"

	"sluice/internal/rendition"
	"sluice/internal/session"
)

// ask is what a player wants.
type ask struct {
	path string
	rendition.Request
}

// ask reads the name of a play command and its query.
func (c *conn) ask(name string) (ask, error) {
	loc, path, err := c.locate(name)
	if err != nil {
		return ask{}, err
	}
	a := ask{path, rendition.Request{Wait: c.cfg.Play.Wait.D(), Spec: rendition.Spec{
		Profile: rendition.Raw, Format: rendition.RTMP, Track: rendition.AllTracks,
	}}}
	for _, p := range a.Params() {
		if v := loc.Query.Get(p.Name); loc.Query.Has(p.Name) && !p.Read(v) {
			return ask{}, fmt.Errorf("%w: %s=%.40q: expected %s", session.ErrBadQuery, p.Name, v, p.Values)
		}
	}
	return a, nil
}
