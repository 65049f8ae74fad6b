//go:build !unix

package socket

import "errors"

// direct tells whether the calls of this package are to be had.
const direct = false

var errNone = errors.New("socket: not on this system")

// Send is not called.
func Send(int, []byte) (int, error) { return 0, errNone }

// Receive is not called.
func Receive(int, []byte) (int, error) { return 0, errNone }

const lowMark = 1

// setLowMark does nothing: this system would not report less.
func setLowMark(uintptr, int) {}
