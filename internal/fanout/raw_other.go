//go:build !unix

package fanout

import "syscall"

// prepare finds no direct way to the socket on this system.
func (*Viewer) prepare() bool { return false }

type peeker struct{}

func newPeeker() *peeker { return &peeker{} }

func (*peeker) peek(syscall.RawConn) ([]byte, error) { return nil, nil }
