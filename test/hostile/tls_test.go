package hostile_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
)

// stopper is a connection on which a client falls silent after some bytes, or says
// that nothing follows.
type stopper struct {
	*net.TCPConn

	left int
	says bool
}

func (c *stopper) Write(b []byte) (int, error) {
	if now := b[:min(c.left, len(b))]; len(now) > 0 {
		if _, err := c.TCPConn.Write(now); err != nil {
			return 0, err
		}
		c.left -= len(now)
	}
	if c.left == 0 && c.says {
		_ = c.CloseWrite() // the server may have closed it
	}
	return len(b), nil
}

// secured shakes hands with one of the ports that have TLS.
func secured(ctx context.Context, c net.Conn, protocols ...string) (*tls.Conn, error) {
	s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}) //nolint:gosec // who it is does not matter here
	return s, s.HandshakeContext(ctx)
}

// handshakes stops somewhere in a handshake of TLS, and every fourth time sends
// noise behind it.
func handshakes(ctx context.Context, p plan) report {
	const most = 2_000 // bytes: more than a client says in its handshake
	return crowd(ctx, p, 4*atOnce, func(ctx context.Context, n int, rng *rand.Rand, r *report) {
		addr := []string{p.HTTPS, p.RTMPS}[n%2]
		c, err := dial(ctx, p, addr, n)
		if err != nil {
			r.bad("%v", err)
			return
		}
		defer c.Close()
		if n/2%4 == 0 {
			noise(ctx, c, n, rng, r)
			return
		}
		s, err := secured(ctx, &stopper{c, 1 + rng.IntN(most), n/2%4 == 1})
		if err == nil {
			r.note("whole")
			_, err = io.Copy(io.Discard, s)
		} else {
			r.note("stopped")
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.Stuck++
			r.bad("a handshake is still open after %v", attackLimit)
		}
	})
}

// noise shakes hands as it should and sends noise: to HTTP/1.1, HTTP/2 and RTMP.
func noise(ctx context.Context, c net.Conn, n int, rng *rand.Rand, r *report) {
	protocols := []string{"h2"}[:n/8%2]
	s, err := secured(ctx, c, protocols...)
	if err != nil {
		r.bad("shaking hands: %v", err)
		return
	}
	b := make([]byte, 50_000)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	r.note("noise")
	send(s, b, r)
}
