package main

import (
	"sluice/internal/app"
	"sluice/internal/module"
	"sluice/internal/rtmpd"
)

//go:generate sh -c "go run . config --reference > ../../docs/configuration.md"

// part is a piece of the server that a build tag can leave out.
type part struct {
	name    string // "flv" is left out by the tag no_flv
	modules []module.Descriptor
	absent  []string // sections of the modules that were left out
}

// parts are all modules of the server, in the order of their sections.
func parts() []part {
	return []part{
		{name: "rtmp", modules: []module.Descriptor{rtmpd.Describe()}},
		flvPart(),
		consolePart(),
	}
}

// options are what the server is built of, without configuration.
func options() app.Options {
	o := app.Options{Absent: map[string]string{}}
	for _, p := range parts() {
		o.Modules = append(o.Modules, p.modules...)
		for _, section := range p.absent {
			o.Absent[section] = p.name
		}
	}
	return o
}
