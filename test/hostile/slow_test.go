package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"
)

// slowEvery is how often a slow client sends a byte.
const slowEvery = 10 * time.Second

// slowly returns where slow client n connects, how it begins, and the bytes that it
// has left: for the one protocol of the plan.
func slowly(p plan, n int) (addr string, begin, rest []byte) {
	rest = bytes.Repeat([]byte{'x'}, 1000)
	switch {
	case p.RTMP != "":
		return p.RTMP, []byte{3}, make([]byte, 2*1536)
	case p.HTTP != "" && n%8 == 0:
		return p.HTTP, []byte("POST /flv/record/start/live/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"), rest
	case p.HTTP != "":
		return p.HTTP, []byte("GET /flv/"), rest
	}
	// Half a ClientHello, the head of one, and a record that is not told from one.
	begins := []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 250), "\x16\x03\x01\x02", "\x16\x03\x01\x3f\xff" + strings.Repeat("\xff", 4096)}
	return []string{p.HTTPS, p.RTMPS}[n%2], []byte(begins[n/2%len(begins)]), rest
}

// slow opens all its connections at once, each with the beginning of a handshake or
// a request, and sends a byte of the rest now and then, until the server closes.
func slow(ctx context.Context, p plan) report {
	return crowd(ctx, p, p.Count, func(ctx context.Context, n int, _ *rand.Rand, r *report) {
		addr, begin, rest := slowly(p, n)
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
