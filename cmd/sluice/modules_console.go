//go:build !no_console

package main

import (
	"sluice/internal/console"
	"sluice/internal/module"
)

func consolePart() part {
	return part{name: "console", modules: []module.Descriptor{console.Describe()}}
}
