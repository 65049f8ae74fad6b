package hostile_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// oddities are requests as no player makes them.
func oddities(host string) map[string]string {
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	line := func(text string, header ...string) string {
		return text + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(header, "\r\n") + "\r\n\r\n"
	}
	all := map[string]string{
		"1 MB of headers":         line("GET /flv/live/x", strings.TrimSuffix(strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 1000), "\r\n")),
		"one header of 1 MB":      line("GET /flv/live/x", "X-Long: "+strings.Repeat("x", 1<<20)),
		"100,000 headers":         line("GET /flv/live/x", strings.TrimSuffix(strings.Repeat("a:b\r\n", 100_000), "\r\n")),
		"a URI of 1 MB":           line("GET /flv/" + strings.Repeat("x", 1<<20)),
		"a query of 20 kB":        line("GET /flv/live/x?" + strings.Repeat("a&", 10_000)),
		"an absolute URI":         line("GET http://example.org/flv/live/x?wait=0s"),
		"an absolute path to us":  line("GET http://" + host + "/healthz"),
		"CONNECT":                 line("CONNECT example.org:443"),
		"TRACE":                   line("TRACE /flv/live/x"),
		"an unknown method":       line("BREW /flv/live/x"),
		"a method of 10 kB":       line(strings.Repeat("M", 10_000) + " /flv/live/x"),
		"OPTIONS of everything":   line("OPTIONS *"),
		"PRI, as HTTP/2 begins":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 1000),
		"no version":              "GET /flv/live/x\r\n\r\n",
		"a version of the future": "GET /flv/live/x HTTP/9.9\r\nHost: x\r\n\r\n",
		"no host":                 "GET /flv/live/x HTTP/1.1\r\n\r\n",
		"two hosts":               line("GET /flv/live/x", "Host: other"),
		"a host of nonsense":      "GET /flv/live/x HTTP/1.1\r\nHost: a b\x00c\r\n\r\n",
		"a negative length":       line("POST /flv/record/start/live/x", "Content-Length: -1"),
		"a huge length":           line("POST /flv/record/start/live/x", "Content-Length: 99999999999999999999"),
		"two lengths":             line("POST /flv/record/start/live/x", "Content-Length: 5", "Content-Length: 6") + "hello!",
		"a length and chunks": line("POST /flv/record/start/live/x", "Content-Length: 4", "Transfer-Encoding: chunked") +
			"5c\r\nGET /flv/record/list HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\n\r\n",
		"chunks in disguise":      line("POST /flv/record/start/live/x", "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked") + "0\r\n\r\n",
		"chunks of a bad size":    line("POST /flv/record/start/live/x", "Transfer-Encoding: chunked") + "fffffffffffffffff\r\nx",
		"a chunk with extensions": line("POST /flv/record/start/live/x", "Transfer-Encoding: chunked") + "1;" + strings.Repeat("x", 100_000) + "\r\nx\r\n0\r\n\r\n",
		"endless trailers": line("POST /flv/record/start/live/x", "Transfer-Encoding: chunked", "Trailer: a") + "0\r\n" +
			strings.Repeat("a: b\r\n", 100_000),
		"a body that is awaited":     line("POST /flv/record/start/live/x", "Content-Length: 1000000", "Expect: 100-continue"),
		"folded headers":             line("GET /flv/live/x", "X-A: b\r\n c\r\n\td"),
		"bare line feeds":            "GET /flv/live/x HTTP/1.1\nHost: x\n\n",
		"a NUL in the path":          line("GET /flv/live/a\x00b"),
		"dots":                       line("GET /flv/../../../../etc/passwd"),
		"dots in code":               line("GET /flv/record/files/%2e%2e/%2e%2e/etc/passwd"),
		"a bad encoding":             line("GET /flv/%zz%"),
		"ranges":                     line("GET /", "Range: bytes="+strings.Repeat("0-,", 5000)+"1-"),
		"pipelined":                  strings.Repeat(line("GET /healthz"), 2000),
		"pipelined behind a viewer":  line("GET /flv/live/witness") + strings.Repeat(line("GET /healthz"), 5000),
		"a WebSocket and noise":      line("GET /flv/live/witness", strings.TrimSuffix(upgrade, "\r\n")) + strings.Repeat("\xff\x00noise", 10_000),
		"a WebSocket and huge frame": line("GET /flv/live/witness", strings.TrimSuffix(upgrade, "\r\n")) + "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff0000",
		"a WebSocket and pings": line("GET /flv/live/witness", strings.TrimSuffix(upgrade, "\r\n")) +
			string(bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(make([]byte, 100)))), 20_000)),
		"a WebSocket by POST":   line("POST /flv/live/witness", strings.TrimSuffix(upgrade, "\r\n")),
		"an upgrade to h2c":     line("GET /flv/live/x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
		"RTMP":                  "\x03" + strings.Repeat("\x00", 3072),
		"TLS":                   "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500),
		"nothing":               "",
		"a request that is cut": "GET /flv/live/x HTTP/1.1\r\nHos",
	}
	return all
}

// oddity sends odd requests in turn, and every other time with a few bits flipped.
func oddity(ctx context.Context, p plan) report {
	all := oddities(p.HTTP)
	names := slices.Sorted(maps.Keys(all))
	return crowd(ctx, p, atOnce, func(ctx context.Context, n int, rng *rand.Rand, r *report) {
		name := names[n%len(names)]
		b := []byte(all[name])
		if n >= len(names) && len(b) > 0 {
			for range rng.IntN(6) {
				b[rng.IntN(min(len(b), 200))] ^= 1 << rng.IntN(8)
			}
		}
		c, err := dial(ctx, p, p.HTTP, n)
		if err != nil {
			r.bad("%s: %v", name, err)
			return
		}
		before := r.Stuck
		send(c, b, r)
		if r.Stuck > before {
			r.bad("%s: %s", name, fmt.Sprintf("%.60q", b))
		}
	})
}
