package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

type versionCmd struct{}

// Run prints the version and the modules.
func (versionCmd) Run(w *world) error { //nolint:unparam // commands have this signature
	fmt.Fprintf(w.stdout, "sluice %s, %s, %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	var in, out []string
	for _, p := range parts() {
		for _, m := range p.modules {
			in = append(in, m.Name)
		}
		out = append(out, p.absent...)
	}
	fmt.Fprintln(w.stdout, "modules:", strings.Join(in, " "))
	if len(out) > 0 {
		fmt.Fprintln(w.stdout, "left out:", strings.Join(out, " "))
	}
	return nil
}

// version is what the Go tool knows: the tag, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
