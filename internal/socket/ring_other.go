//go:build !linux

package socket

// Ring does not exist on this system.
type Ring struct{ failed bool }

// NewRing returns an error.
func NewRing() (*Ring, error) { return nil, errNoRing }

// Add is not called.
func (*Ring) Add(int, []byte) {}

// Send is not called.
func (*Ring) Send() []Result { return nil }

// Close is not called.
func (*Ring) Close() {}
