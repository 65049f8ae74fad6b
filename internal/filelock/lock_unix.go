//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filelock

import (
	"os"
	"syscall"
)

// Lock locks f against other processes until it is closed, and fails at once
// where one of them has it. The system takes the lock back from a process that
// dies.
func Lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// Unlock gives the lock up; f is closed next. Closing f alone would not while a
// child, from its fork to its exec, shares the open file.
func Unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) } // closing it follows
