package bench

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/socket"
)

// FloorOptions describe the least that any server has to do: to send the same
// bytes to so many viewers, so often.
type FloorOptions struct {
	Listen  string // host:port
	Viewers int
	BitRate int // of one viewer, in bits per second
	Gap     time.Duration
}

// Floor is the kernel's own price of sending: a loop that does nothing but
// send. It takes viewers of [Play] until there are enough, then sends to each
// what a stream brings in one gap, at every gap, until ctx is done. Its CPU
// time is measured from outside, like a server's.
func Floor(ctx context.Context, o FloorOptions, ready func(addr net.Addr)) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", o.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	ready(ln.Addr())
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd) //nolint:errcheck // nothing is lost
		}
	}()
	for len(fds) < o.Viewers {
		fd, err := welcome(ln)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	return send(ctx, o, fds)
}

// welcome takes one viewer and answers its request without reading it.
func welcome(ln net.Listener) (int, error) {
	conn, err := ln.Accept()
	if err != nil {
		return 0, fmt.Errorf("accepting: %w", err)
	}
	defer conn.Close()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, fmt.Errorf("a connection is a %T", conn)
	}
	f, err := tcp.File()
	if err != nil {
		return 0, fmt.Errorf("taking the socket: %w", err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		return 0, fmt.Errorf("taking the socket: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, fmt.Errorf("setting up the socket: %w", err)
	}
	_, err = unix.Write(fd, []byte("HTTP/1.0 200 OK\r\n\r\n"))
	return fd, err // the first write of a fresh connection
}

// send is the loop.
func send(ctx context.Context, o FloorOptions, fds []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	piece := make([]byte, int(float64(o.BitRate)/8*o.Gap.Seconds()))
	next := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		for _, fd := range fds {
			_, _ = socket.Send(fd, piece) // what does not fit is not the floor's concern
		}
		// A round that took longer than the gap is followed by the next.
		next = next.Add(o.Gap)
		if wait := time.Until(next); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		} else {
			next = time.Now()
		}
	}
	return nil
}
