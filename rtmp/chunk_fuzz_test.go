package rtmp_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"sluice/internal/memtest"
	"sluice/rtmp"
)

func TestCase034RandomBytesDoNoHarm(t *testing.T) {
	t.Parallel()
	t.Run("to a reader", func(t *testing.T) {
		t.Parallel()
		readRandom(t, 1_000_000)
	})
	t.Run("to a server behind the handshake", func(t *testing.T) {
		t.Parallel()
		serveRandom(t, 50_000)
	})
}

// fewer is how many inputs there are when time is short.
func fewer(inputs int) int {
	if testing.Short() {
		return inputs / 50
	}
	return inputs
}

func readRandom(t *testing.T, inputs int) {
	t.Helper()
	var (
		seeds = fuzzSeeds(t)
		rng   = rand.New(rand.NewPCG(34, 0))
		b     = make([]byte, 0, 512)
		in    bytes.Reader
		buf   = bufio.NewReaderSize(&in, 64)
	)
	for range fewer(inputs) {
		b = randomInput(rng, seeds, b[:0])
		in.Reset(b)
		buf.Reset(&in)
		r := rtmp.NewReader(buf)
		messages := 0
		for {
			m, err := r.Next()
			if err != nil {
				break
			}
			messages += 1 + len(m.Body)
		}
		if messages > 2*len(b) || r.Received() > uint64(len(b)) {
			t.Fatalf("%d bytes of messages and %d received of %x", messages, r.Received(), b)
		}
	}
}

// serveRandom lets clients in and does what they ask, or refuses it.
func serveRandom(t *testing.T, inputs int) {
	t.Helper()
	var (
		talks [][]byte
		rng   = rand.New(rand.NewPCG(34, 1))
		hello = append([]byte{3}, make([]byte, handshakeLen-1)...)
		asked int
	)
	for _, name := range captures(t) {
		talks = append(talks, capture(t, name)[handshakeLen:][:2048])
	}
	for range fewer(inputs) {
		b := randomTalk(rng, talks)
		c, err := rtmp.NewServerConn(&talk{Reader: io.MultiReader(bytes.NewReader(hello), bytes.NewReader(b))}, 0)
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		for err == nil {
			var ev rtmp.Event
			if ev, err = c.Next(); err != nil {
				break
			}
			events++
			switch ev.Kind {
			case rtmp.ConnectRequest, rtmp.PublishRequest, rtmp.PlayRequest:
				asked++
				if rng.IntN(8) == 0 {
					err = c.Refuse(rtmp.CodePublishBadName, "no")
				} else {
					err = c.Accept()
				}
			default:
			}
		}
		if events > len(b) {
			t.Fatalf("%d events of %x", events, b)
		}
	}
	if asked < fewer(inputs)/4 {
		t.Errorf("%d requests in %d talks: most do not get as far as that", asked, fewer(inputs))
	}
}

// randomTalk returns noise, or what a client says with a few bytes changed.
func randomTalk(rng *rand.Rand, talks [][]byte) []byte {
	if rng.IntN(4) == 0 {
		return randomInput(rng, talks, nil)
	}
	b := bytes.Clone(talks[rng.IntN(len(talks))])
	for range rng.IntN(6) {
		b[rng.IntN(len(b))] = byte(rng.Uint32())
	}
	return b
}

// randomInput appends either noise or a real beginning with a few bytes changed.
func randomInput(rng *rand.Rand, seeds [][]byte, b []byte) []byte {
	const longest = 256
	if rng.IntN(4) == 0 {
		for range rng.IntN(longest) {
			b = append(b, byte(rng.Uint32()))
		}
		return b
	}
	seed := seeds[rng.IntN(len(seeds))]
	from := rng.IntN(max(1, len(seed)-longest))
	if rng.IntN(2) == 0 {
		from = 0
	}
	b = append(b, seed[from:min(len(seed), from+longest)]...)
	for range rng.IntN(4) {
		b[rng.IntN(len(b))] = byte(rng.Uint32())
	}
	return b
}

// fuzzSeeds returns the cases and the beginnings of the captures.
func fuzzSeeds(tb testing.TB) [][]byte {
	tb.Helper()
	var seeds [][]byte
	for _, tc := range chunkCases() {
		seeds = append(seeds, tc.wire)
	}
	for _, name := range captures(tb) {
		seeds = append(seeds, capture(tb, name)[handshakeLen:][:2048])
	}
	return seeds
}

// FuzzChunkReader reads whatever comes: within the memory that the bytes are
// worth, the same in whatever pieces they arrive, and so that the messages
// can be written and read again.
func FuzzChunkReader(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ms := make([]rtmp.Message, 0, 1+len(b)) // not the reader's memory
		var err error
		memtest.Bound(t, len(b), func() {
			r := rtmp.NewReader(bufio.NewReaderSize(bytes.NewReader(b), 4<<10))
			ms, err = ms[:0], nil
			for err == nil {
				var m rtmp.Message
				if m, err = r.Next(); err == nil {
					ms = append(ms, m)
				}
			}
		})
		again, err2 := read(rtmp.NewReader(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(b)), 16)))
		if d := sameMessages(ms, again); d != "" {
			t.Fatalf("byte by byte the messages differ:\n%s", d)
		}
		if got := err2.Error(); got != err.Error() {
			t.Fatalf("byte by byte the error is %v, not %v", got, err)
		}
		roundTrip(t, ms)
	})
}

// roundTrip writes messages and reads them again. A message that changes the
// chunk size is understood by the writer too.
func roundTrip(t *testing.T, ms []rtmp.Message) {
	t.Helper()
	var out bytes.Buffer
	w := rtmp.NewWriter(&out)
	for _, m := range ms {
		if err := w.Write(m); err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
	}
	if got, err := readBytes(out.Bytes()); err != nil || sameMessages(ms, got) != "" {
		t.Fatalf("reading what was written: %v\n%s", err, sameMessages(ms, got))
	}
}

// FuzzAggregate takes aggregates apart and puts them together again.
func FuzzAggregate(f *testing.F) {
	f.Add(uint32(1000), wire(partAudio, partVideo))
	f.Add(uint32(0xffffffff), wire(partVideo, partAudio, "12 000001 000000 01 000000 05 0000000c"))
	f.Add(uint32(0), wire("16 000000 000000 00 000000 0000000b"))
	f.Fuzz(func(t *testing.T, timestamp uint32, b []byte) {
		m := aggregate(b)
		m.Timestamp = timestamp
		memtest.Bound(t, len(b), func() { _, _ = rtmp.ParseAggregate(m) })
		ms, _ := rtmp.ParseAggregate(m) // what precedes an error counts too
		if len(ms) == 0 {
			return
		}
		var body []byte
		for _, part := range ms {
			var err error
			if body, err = rtmp.AppendAggregated(body, part); err != nil {
				t.Fatal(err)
			}
		}
		m.Timestamp, m.Body = ms[0].Timestamp, body
		again, err := rtmp.ParseAggregate(m)
		if err != nil || sameMessages(ms, again) != "" {
			t.Fatalf("a round trip ends with %v:\n%s", err, sameMessages(ms, again))
		}
	})
}

// FuzzServerHandshake never fails but by what the peer leaves out.
func FuzzServerHandshake(f *testing.F) {
	for _, name := range captures(f) {
		f.Add(capture(f, name)[:handshakeLen])
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		memtest.Bound(t, len(b), func() {
			_ = rtmp.ServerHandshake(bufio.NewReader(bytes.NewReader(b)), io.Discard, 0, noise(1))
		})
		var w writes
		in := bufio.NewReader(bytes.NewReader(b))
		err := rtmp.ServerHandshake(in, &w, 0, noise(1))
		if complete := len(b) >= handshakeLen && b[0] == 3; (err == nil) != complete {
			t.Fatalf("%d bytes that begin with %.1x: %v", len(b), b, err)
		}
		rest, _ := io.ReadAll(in) // bytes.Reader does not fail
		if err == nil && !bytes.Equal(rest, b[handshakeLen:]) {
			t.Fatalf("%d bytes behind the handshake are %d", len(b)-handshakeLen, len(rest))
		}
	})
}
