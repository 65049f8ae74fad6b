// Package pipetest gives tests a listener without a network, for the bubbles of
// testing/synctest above all.
package pipetest

import "net"

// Listener is a listener whose connections are pipes within the process. It is
// made with make, and must be closed once.
type Listener chan net.Conn

// Dial connects, and waits until that is accepted or there is room for it.
func (l Listener) Dial() net.Conn {
	ours, theirs := net.Pipe()
	l <- theirs
	return ours
}

// Accept implements [net.Listener].
func (l Listener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements [net.Listener].
func (l Listener) Close() error {
	close(l)
	return nil
}

// Addr implements [net.Listener].
func (Listener) Addr() net.Addr { return &net.TCPAddr{} }
