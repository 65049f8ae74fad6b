package rendition

import "sluice/media"

// Apply is apply for tests.
func (v *View) Apply(p *media.Packet, emit func(*media.Packet)) { v.apply(p, emit) }
