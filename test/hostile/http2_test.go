package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames collects the frames of a client. Its faults are ours: what is written
// goes to memory, and may break the rules.
type frames struct {
	*http2.Framer

	out bytes.Buffer
}

// newFrames returns how a client begins, with these settings.
func newFrames(settings ...http2.Setting) *frames {
	f := &frames{}
	f.out.WriteString(http2.ClientPreface)
	f.Framer = http2.NewFramer(&f.out, nil)
	f.AllowIllegalWrites = true
	must(f.WriteSettings(settings...))
	return f
}

func must(err error) {
	if err != nil {
		panic(err) // the attacks are ours
	}
}

// request returns the head of a request, with further fields.
func request(path string, more ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for pair := range slices.Chunk(append([]string{":method", "GET", ":scheme", "https", ":authority", "x", ":path", path}, more...), 2) {
		must(e.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]}))
	}
	return b.Bytes()
}

// get asks for a path. Stream 1 is the first one, then come 3, 5 and so on.
func (f *frames) get(stream uint32, path string) {
	must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: request(path), EndStream: true, EndHeaders: true}))
}

// nth returns the number of a client's stream.
func nth(i int) uint32 { return uint32(2*i + 1) }

// What a connection asks for, and how many frames are a flood.
const (
	witnessed = "/flv/live/witness"
	many      = 50_000
)

// floods are the ways to misuse HTTP/2, by their names. Of those whose name begins
// with "held" the server has to end the first stream by itself.
func floods() map[string]func(f *frames) {
	return map[string]func(*frames){
		"opened and reset": func(f *frames) {
			for i := range 2_000 {
				f.get(nth(i), witnessed)
				must(f.WriteRSTStream(nth(i), http2.ErrCodeCancel))
			}
		},
		"viewers without end": func(f *frames) {
			for i := range 2_000 {
				f.get(nth(i), witnessed)
			}
		},
		"opened and made to be reset": func(f *frames) { // by the server, for a window that may not grow by nothing
			for i := range 2_000 {
				f.get(nth(i), "/flv/live/nobody?wait=10s")
				must(f.WriteWindowUpdate(nth(i), 0))
			}
		},
		"pings": func(f *frames) {
			for range many {
				must(f.WritePing(false, [8]byte{}))
			}
		},
		"settings": func(f *frames) {
			for i := range many {
				must(f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}))
			}
		},
		"settings among viewers": func(f *frames) { // each changes the windows of all
			for i := range 200 {
				f.get(nth(i), witnessed)
			}
			for i := range many {
				must(f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 2)}))
			}
		},
		"continuations": func(f *frames) {
			must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request(witnessed)}))
			var b bytes.Buffer
			must(hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x-long", Value: strings.Repeat("~", 1000), Sensitive: true}))
			for range 10_000 {
				must(f.WriteContinuation(1, false, b.Bytes()))
			}
		},
		"empty continuations": func(f *frames) {
			must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request(witnessed)}))
			for range many {
				must(f.WriteContinuation(1, false, nil))
			}
		},
		"a small head that unpacks to 60 MB": func(f *frames) {
			const newest = 0x80 | 62 // what was added to the table last
			b := append(request(witnessed, "x-long", strings.Repeat("x", 3_800)), bytes.Repeat([]byte{newest}, 16_000)...)
			must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b, EndHeaders: true, EndStream: true}))
		},
		"empty data": func(f *frames) {
			must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request(witnessed), EndHeaders: true}))
			for range many {
				must(f.WriteData(1, false, nil))
			}
		},
		"a window too large": func(f *frames) {
			f.get(1, witnessed)
			for range 3 {
				must(f.WriteWindowUpdate(1, 1<<31-1))
				must(f.WriteWindowUpdate(0, 1<<31-1))
			}
		},
		"priorities": func(f *frames) {
			for i := range many {
				must(f.WritePriority(nth(i), http2.PriorityParam{StreamDep: nth(i + 1)}))
			}
		},
		"frames of no known type": func(f *frames) {
			for range 1_000 {
				must(f.WriteRawFrame(0xbe, 0xff, 0x7fffffff, make([]byte, 10_000)))
			}
		},
		"a frame of 16 MB": func(f *frames) {
			must(f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<24-1)))
		},
		"held: a window of nothing":   func(f *frames) { f.get(1, witnessed) },
		"held: a window never opened": func(f *frames) { f.get(1, witnessed) },
	}
}

// multiplex misuses HTTP/2 in every way in turn.
func multiplex(ctx context.Context, p plan) report {
	all := floods()
	names := slices.Sorted(maps.Keys(all))
	return crowd(ctx, p, atOnce, func(ctx context.Context, n int, _ *rand.Rand, r *report) {
		name := names[n%len(names)]
		c, err := dial(ctx, p, p.HTTPS, n)
		if err != nil {
			r.bad("%s: %v", name, err)
			return
		}
		defer c.Close()
		s, err := secured(ctx, c, http2.NextProtoTLS)
		if err != nil {
			r.bad("%s: shaking hands: %v", name, err)
			return
		}
		window := uint32(1<<31 - 1)
		if strings.HasSuffix(name, "nothing") {
			window = 0
		}
		f := newFrames(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
		all[name](f)
		before := r.Stuck
		if strings.HasPrefix(name, "held") {
			hold(s, f.out.Bytes(), r)
		} else {
			send(s, f.out.Bytes(), r)
		}
		if r.Stuck > before {
			r.bad("%s: still open after %v", name, attackLimit)
		}
	})
}

// hold writes b and reads until the server ends the first stream.
func hold(c halfCloser, b []byte, r *report) {
	if _, err := c.Write(b); err != nil {
		r.bad("%v", err)
		return
	}
	in := http2.NewFramer(io.Discard, c)
	for {
		f, err := in.ReadFrame()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.Stuck++
			return
		case err != nil:
			r.note("held viewers cut")
			return
		case f.Header().StreamID == 1 && f.Header().Type == http2.FrameRSTStream:
			r.note("held viewers reset")
			return
		}
	}
}
