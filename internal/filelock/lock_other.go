//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filelock

import "os"

// Lock does nothing where there are no advisory locks: two processes must not
// use the same file there.
func Lock(*os.File) error { return nil }

// Unlock does nothing either.
func Unlock(*os.File) {}
