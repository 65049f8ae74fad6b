package hostile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/amf0"
	"sluice/rtmp"
)

func command(values ...any) []byte {
	b, err := amf0.AppendAll(nil, values...)
	if err != nil {
		panic(err) // the attacks are ours
	}
	return message(rtmp.TypeCommand, b)
}

// published returns what a client says until it publishes.
func published(name string) []byte {
	return slices.Concat(
		command("connect", 1, amf0.Object{{Key: "app", Value: "live"}, {Key: "tcUrl", Value: "rtmp://x/live"}}),
		command("createStream", 2, nil),
		command("publish", 3, nil, name, "live"),
	)
}

// chunk returns a chunk of a full header.
func chunk(id byte, length uint32, typ byte, body ...byte) []byte {
	b := []byte{id, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), typ, 1, 0, 0, 0}
	return append(b, body...)
}

func setChunkSize(n uint32) []byte {
	return chunk(2, 4, rtmp.TypeSetChunkSize, binary.BigEndian.AppendUint32(nil, n)...)
}

// manyStreams begins a message on each of the chunk streams that can be named.
func manyStreams() []byte {
	const first, last = 64, 65599
	var b []byte
	for id := first; id <= last; id++ {
		b = append(b, 1, byte(id-first), byte((id-first)>>8))
		b = append(b, chunk(0, 1, rtmp.TypeAudio, 0xaf)[1:]...)
	}
	return b
}

// bomb are AMF values that would cost much.
func bombs() [][]byte {
	return [][]byte{
		bytes.Repeat([]byte{0x0a, 0, 0, 0, 1}, 10_000),
		append([]byte{0x0a, 0, 0, 0xc3, 0x50}, bytes.Repeat([]byte{5}, 50_000)...),
		bytes.Repeat([]byte{3, 0, 0, 9}, 15_000),
		bytes.Repeat([]byte{3, 0, 1, 'a'}, 15_000),
		{0x0c, 0xff, 0xff, 0xff, 0xff},
		{0x0a, 0xff, 0xff, 0xff, 0xff},
		append([]byte{0x11}, bytes.Repeat([]byte{9, 3, 1}, 20_000)...),
		append(append([]byte{0x11, 6, 0x83, 0x81}, make([]byte, 193)...), bytes.Repeat([]byte{0x11, 6, 0}, 15_000)...),
		bytes.Repeat([]byte{7, 0, 0}, 15_000),
	}
}

// abuses are the ways to misuse chunks, commands and AMF, by their names. Each
// returns what is sent behind the handshake.
func abuses() map[string]func(rng *rand.Rand, name string) []byte {
	all := map[string]func(*rand.Rand, string) []byte{
		"length changed within a message": func(_ *rand.Rand, name string) []byte {
			return slices.Concat(published(name), chunk(6, 1000, rtmp.TypeVideo, make([]byte, 128)...),
				[]byte{0x46, 0, 0, 0, 0x7f, 0xff, 0xff, rtmp.TypeVideo}, make([]byte, 128))
		},
		"a chunk without a head": func(rng *rand.Rand, _ string) []byte { return []byte{0xc0 | byte(3+rng.IntN(60)), 1, 2, 3} },
		"a delta without a head": func(rng *rand.Rand, _ string) []byte { return []byte{0x80 | byte(3+rng.IntN(60)), 1, 2, 3} },
		"65,536 chunk streams":   func(*rand.Rand, string) []byte { return manyStreams() },
		"aborted again and again": func(_ *rand.Rand, name string) []byte {
			one := slices.Concat(chunk(6, 8<<20, rtmp.TypeVideo, 1), chunk(2, 4, rtmp.TypeAbort), []byte{0, 0xc2, 0, 0xc2, 0, 0xc2, 6})
			return slices.Concat(published(name), setChunkSize(1), bytes.Repeat(one, 50_000))
		},
		"empty messages": func(_ *rand.Rand, name string) []byte {
			return slices.Concat(published(name), chunk(4, 0, rtmp.TypeAudio), bytes.Repeat([]byte{0xc4}, 1<<20))
		},
		"pings": func(_ *rand.Rand, name string) []byte {
			return slices.Concat(published(name), chunk(2, 6, rtmp.TypeUserControl, 0, 6, 0, 0, 0, 0),
				bytes.Repeat([]byte{0xc2, 0, 6, 0, 0, 0, 0}, 200_000))
		},
		"a window of one byte": func(_ *rand.Rand, name string) []byte {
			return slices.Concat(chunk(2, 4, rtmp.TypeWindowAckSize, 0, 0, 0, 1), published(name),
				bytes.Repeat(chunk(6, 128, rtmp.TypeVideo, make([]byte, 128)...), 5_000))
		},
		"16 MiB announced": func(_ *rand.Rand, name string) []byte {
			return slices.Concat(published(name), chunk(6, 0xffffff, rtmp.TypeVideo, make([]byte, 128)...))
		},
		"unfinished messages": func(_ *rand.Rand, name string) []byte {
			b := published(name)
			for id := range byte(60) {
				b = append(b, chunk(3+id, 1<<20, rtmp.TypeVideo, make([]byte, 128)...)...)
				for range 2_000 {
					b = append(append(b, 0xc3+id), make([]byte, 128)...)
				}
			}
			return b
		},
		"calls without end": func(*rand.Rand, string) []byte {
			return append(command("connect", 1, amf0.Object{{Key: "app", Value: "live"}}), bytes.Repeat(command("createStream", 4, nil), 5_000)...)
		},
		"connect without end": func(*rand.Rand, string) []byte {
			return bytes.Repeat(command("connect", 1, amf0.Object{{Key: "app", Value: "live"}}), 1_000)
		},
		"aggregates": func(rng *rand.Rand, name string) []byte {
			body := make([]byte, 60_000)
			for i := range body {
				body[i] = byte(rng.Uint32())
			}
			return slices.Concat(published(name), message(rtmp.TypeAggregate, bytes.Repeat([]byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11}, 5_000)),
				message(rtmp.TypeAggregate, body))
		},
		"noise": func(rng *rand.Rand, name string) []byte {
			b := published(name)
			for range 50_000 {
				b = append(b, byte(rng.Uint32()))
			}
			return b
		},
	}
	for _, n := range []uint32{0, 1, 0x7fffffff, 0x80000000, 0xffffffff} {
		all[fmt.Sprintf("a chunk size of %d", n)] = func(_ *rand.Rand, name string) []byte {
			return slices.Concat(published(name), setChunkSize(n), chunk(6, 8<<20, rtmp.TypeVideo), make([]byte, 100_000))
		}
	}
	for i, bomb := range bombs() {
		all[fmt.Sprintf("AMF bomb %d in a command", i)] = func(*rand.Rand, string) []byte {
			return message(rtmp.TypeCommand, append([]byte("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"), bomb...))
		}
		all[fmt.Sprintf("AMF bomb %d in metadata", i)] = func(_ *rand.Rand, name string) []byte {
			one := message(rtmp.TypeData, append([]byte("\x02\x00\x0aonMetaData"), bomb...))
			return append(published(name), bytes.Repeat(one, 20)...)
		}
	}
	return all
}

// abuse misuses the protocol in every way in turn.
func abuse(ctx context.Context, p plan) report {
	all := abuses()
	names := slices.Sorted(maps.Keys(all))
	return crowd(ctx, p, atOnce, func(ctx context.Context, n int, rng *rand.Rand, r *report) {
		name := names[n%len(names)]
		c, err := shake(ctx, p, n)
		if err != nil {
			r.bad("%s: %v", name, err)
			return
		}
		start := time.Now()
		send(c, all[name](rng, fmt.Sprintf("abuse%d", n)), r)
		if took := time.Since(start); took > attackLimit/2 {
			r.bad("%s takes %v", name, took)
		}
	})
}

// flood publishes chunks of one byte for as long as it may, again and again, each
// time from a new connection.
func flood(ctx context.Context, p plan) report {
	return crowd(ctx, p, 1, func(ctx context.Context, n int, _ *rand.Rand, r *report) {
		c, err := shake(ctx, p, n)
		if err != nil {
			r.bad("%v", err)
			return
		}
		defer c.Close()
		if _, err := c.Write(slices.Concat(published("flood"), setChunkSize(1), chunk(6, 8<<20, rtmp.TypeVideo, 0x17))); err != nil {
			r.bad("%v", err)
			return
		}
		b := bytes.Repeat([]byte{0xc6, 0}, 1<<10)
		for sent := len(b); ; sent += len(b) {
			if _, err := c.Write(b); err != nil {
				r.note("cut")
				return
			}
			if sent > 64<<20 { // more than both ends of the connection buffer
				r.bad("64 MiB of chunks of one byte are taken")
				return
			}
		}
	})
}
