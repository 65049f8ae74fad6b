//go:build !linux

package fanout

import (
	"net"
	"syscall"
	"time"
)

// tune leaves the socket as the system made it.
func tune(*net.TCPConn, syscall.RawConn, time.Duration) {}
