//go:build !linux

package bench

import (
	"io"
	"net"
)

// discard throws away what comes until the connection ends.
func discard(conn net.Conn, _ []byte) error {
	_, err := io.Copy(io.Discard, conn)
	return err // a connection hands on what it says
}
