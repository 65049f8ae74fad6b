//go:build !linux

package fanout

import (
	"net"
	"syscall"
)

// tune leaves the socket as the system made it.
func tune(*net.TCPConn, syscall.RawConn) {}
