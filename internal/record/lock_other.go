//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package record

import "os"

// lockFile does nothing where there are no advisory locks: two servers must
// not share a catalogue there.
func lockFile(*os.File) error { return nil }

func unlockFile(*os.File) {}
