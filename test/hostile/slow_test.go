package hostile_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// slowEvery is how often a slow client sends a byte.
const slowEvery = 10 * time.Second

// slow opens all its connections at once, each with the beginning of a handshake or
// a request, and sends a byte of the rest now and then, until the server closes.
func slow(ctx context.Context, p plan) report {
	return crowd(ctx, p, p.Count, func(ctx context.Context, n int, _ *rand.Rand, r *report) {
		addr, begin, rest := p.RTMP, []byte{3}, make([]byte, 2*1536)
		switch {
		case p.RTMP == "" && n%8 == 0:
			addr, begin = p.HTTP, []byte("POST /flv/record/start/live/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		case p.RTMP == "":
			addr, begin, rest = p.HTTP, []byte("GET /flv/"), make([]byte, 1000)
			for i := range rest {
				rest[i] = 'x'
			}
		}
		c, err := dial(ctx, p, addr, n)
		if err != nil {
			r.note("refused by the system")
			return
		}
		defer c.Close()
		ended := make(chan error, 1)
		go func() { ended <- drain(c) }()
		tick := time.NewTicker(slowEvery)
		defer tick.Stop()
		if _, err := c.Write(begin); err != nil {
			r.note("refused")
			return
		}
		start := time.Now()
		for {
			select {
			case err := <-ended:
				r.note(fate(time.Since(start), err))
				if errors.Is(err, os.ErrDeadlineExceeded) {
					r.Stuck++
				}
				return
			case <-tick.C:
				_, _ = c.Write(rest[:1]) // drain tells when the server has closed
				rest = rest[1:]
			}
		}
	})
}

// drain reads until the server closes.
func drain(c net.Conn) error {
	b := make([]byte, 1024)
	for {
		if _, err := c.Read(b); err != nil {
			return err
		}
	}
}

// fate says what became of a slow connection.
func fate(after time.Duration, err error) string {
	const atOnce = 3 * time.Second
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "held"
	case after < atOnce:
		return "refused"
	}
	return "cut"
}
