//go:build unix && !linux

package socket

import "golang.org/x/sys/unix"

// direct tells whether the calls of this package are to be had.
const direct = true

// Send sends what a socket that does not block takes at once of b.
func Send(fd int, b []byte) (int, error) { return unix.Write(fd, b) }

// Receive receives what is there for b, 0 at the end of the input.
func Receive(fd int, b []byte) (int, error) { return unix.Read(fd, b) }

const lowMark = 1

// setLowMark does nothing: this system would not report less.
func setLowMark(uintptr, int) {}
