//go:build !linux

package bench

import "errors"

// ReadUsage needs Linux.
func ReadUsage(int) (Usage, error) {
	return Usage{}, errors.New("what a process uses can be measured on Linux only")
}
