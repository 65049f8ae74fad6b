//go:build !no_flv

package main

import (
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/record"
)

func flvPart() part {
	return part{name: "flv", modules: []module.Descriptor{httpflv.Describe(), record.Describe()}}
}
