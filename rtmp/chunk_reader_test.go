package rtmp_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sluice/internal/memtest"
	"sluice/rtmp"
)

func TestCase011SetChunkSizeLetsAMessageComeInOneChunk(t *testing.T) {
	t.Parallel()
	checkChunks(t, "set chunk size")
}

func TestCase012EveryFormOfAChunkStreamIDIsUnderstood(t *testing.T) {
	t.Parallel()
	checkChunks(t, "forms of the chunk stream id")
}

func TestCase013Format3AfterAFullHeaderAddsItsTime(t *testing.T) {
	t.Parallel()
	checkChunks(t, "format 3 begins messages")
}

func TestCase014Format3RepeatsTheLastDelta(t *testing.T) {
	t.Parallel()
	checkChunks(t, "all formats")
}

func TestCase015ExtendedTimestampsAreRepeatedInEveryChunk(t *testing.T) {
	t.Parallel()
	checkChunks(t, "extended timestamp")
	checkChunks(t, "extended timestamp, then format 3")
}

func TestCase016ExtendedTimestampsMayBeLeftOut(t *testing.T) {
	t.Parallel()
	checkChunks(t, "extended timestamp left out")
	checkChunks(t, "extended timestamp left out before half of it")

	r := rtmp.NewReader(bufio.NewReader(bytes.NewReader(chunkCases()["extended timestamp left out"].wire)))
	if _, err := read(r); !errors.Is(err, io.EOF) || r.Stats().MissingExtended != 1 {
		t.Errorf("Stats() = %+v after %v; want one missing timestamp", r.Stats(), err)
	}
}

func TestExtendedTimestampsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	feed(there, wire("04 ffffff 000082 08 01000000 01000000", times(128, "aa"), "c4 01bb"))

	// The two last bytes cannot be the timestamp, whatever comes behind them.
	m, err := rtmp.NewReader(bufio.NewReader(here)).Next()
	if err != nil || len(m.Body) != 130 {
		t.Errorf("Next() = %d bytes, %v; want 130", len(m.Body), err)
	}
}

func TestCase017TheLeastExtendedTimestampIsExtended(t *testing.T) {
	t.Parallel()
	checkChunks(t, "least extended timestamp")
}

func TestCase018PayloadThatLooksLikeTheTimestampIsKept(t *testing.T) {
	t.Parallel()
	checkChunks(t, "payload that looks like the timestamp")
}

func TestCase019TimeGoesBackByAnExtendedDelta(t *testing.T) {
	t.Parallel()
	checkChunks(t, "time goes back")
}

func TestCase020TimeWraps(t *testing.T) {
	t.Parallel()
	checkChunks(t, "time wraps")
}

func TestCase021AChunkStreamMayBeginWithFormat1(t *testing.T) {
	t.Parallel()
	checkChunks(t, "format 1 first")
	u, err := rtmp.ParseUserControl(chunkCases()["format 1 first"].want[0].Body)
	if want := (rtmp.UserControl{Event: rtmp.EventPingResponse, Value: 777}); err != nil || u != want {
		t.Errorf("ParseUserControl() = %+v, %v; want %+v", u, err, want)
	}
}

func TestCase022AChunkStreamMayNotBeginWithoutAType(t *testing.T) {
	t.Parallel()
	checkChunks(t, "format 2 first")
	checkChunks(t, "format 3 first")
}

func TestCase023InterleavedMessagesStayWhole(t *testing.T) {
	t.Parallel()
	checkChunks(t, "interleaved")
}

func TestCase024SetChunkSizeTakesEffectWithinAMessage(t *testing.T) {
	t.Parallel()
	checkChunks(t, "set chunk size within a message")
}

// It is not parallel, for it measures.
func TestCase025ChunkSizesAreChecked(t *testing.T) {
	checkChunks(t, "chunk size 0")
	checkChunks(t, "chunk size 2^31")
	checkChunks(t, "chunk size of two bytes")
	checkChunks(t, "chunk size 1")
	checkChunks(t, "chunk size 128 Mi")
	checkChunks(t, "chunk size 2^31-1")

	wire := chunkCases()["chunk size 2^31-1"].wire
	var err error
	size := memtest.Allocated(func() { _, err = readBytes(wire) })
	if err != nil || size > 32<<10 {
		t.Errorf("a chunk size of 2^31-1 costs %d bytes, %v", size, err)
	}
}

func TestAFloodOfShortChunksIsCut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ head, again []byte }{
		"chunks of one byte": {
			wire("02 000000 000004 01 00000000 00000001", "06 000000 100000 09 01000000", "aa"),
			wire("c6 aa"),
		},
		"empty messages":          {wire("04 000000 000000 08 01000000"), wire("c4")},
		"messages of unknown use": {wire("04 000000 000001 63 01000000 aa"), wire("c4 aa")},
		"pings":                   {wire("42 000000 000006 04 0006 00000309"), wire("c2 0006 00000309")},
		"aborted messages": {
			wire("02 000000 000004 01 00000000 00000001", "06 000000 100000 09 01000000 aa"),
			wire("02 000000 000004 02 00000000 00", "c2 00", "c2 00", "c2 06", "06 000000 100000 09 01000000 aa"),
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := io.MultiReader(bytes.NewReader(tc.head), bytes.NewReader(bytes.Repeat(tc.again, 200_000)))
			r := rtmp.NewReader(bufio.NewReader(in))
			if _, err := read(r); !errors.Is(err, rtmp.ErrLimit) {
				t.Errorf("%s: the reader ends with %v", name, err)
			}
			if chunks := r.Received() / uint64(len(tc.again)); chunks > 37_000 {
				t.Errorf("%s: cut after %d", name, chunks)
			}
		})
	}
}

func TestShortMessagesMayComeForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		go func() {
			defer there.Close()
			_, _ = there.Write(wire("04 000000 000001 08 01000000 aa"))
			for range 60 { // a second each
				_, _ = there.Write(bytes.Repeat(wire("c4 aa"), 2_000))
				<-time.After(time.Second)
			}
		}()
		ms, err := read(rtmp.NewReader(bufio.NewReader(here)))
		if len(ms) != 120_001 || !errors.Is(err, io.EOF) {
			t.Errorf("%d messages, then %v", len(ms), err)
		}
	})
}

func TestPlainChunksAreNeverTooMany(t *testing.T) {
	t.Parallel()
	// 128 bytes to a chunk, in messages that end with one byte, all at once.
	const messages = 40_000
	one := append(wire("06 000000 000401 09 01000000", times(128, "aa")), wire(times(7, "c6"+times(128, "aa")), "c6 aa")...)
	ms, err := readBytes(bytes.Repeat(one, messages))
	if len(ms) != messages || err != nil {
		t.Errorf("%d messages, then %v", len(ms), err)
	}
}

func TestCase026AbortDropsWhatHasArrived(t *testing.T) {
	t.Parallel()
	checkChunks(t, "abort")
	checkChunks(t, "abort of nothing")
	checkChunks(t, "abort of no chunk stream")
}

func TestCase027EmptyMessagesAreMessages(t *testing.T) {
	t.Parallel()
	checkChunks(t, "empty message")
}

func TestCase028ControlMessagesMayComeAnywhere(t *testing.T) {
	t.Parallel()
	checkChunks(t, "control messages anywhere")
}

// It is not parallel, for it measures.
func TestAnnouncedBytesAreNotAllocated(t *testing.T) {
	checkChunks(t, "video too long")
	if _, err := readBytes(wire("06 000000 ffffff 09 01000000")); !errors.Is(err, rtmp.ErrLimit) {
		t.Errorf("a message of 16 MiB: %v, want ErrLimit", err)
	}

	synctest.Test(t, func(t *testing.T) {
		const idle = 10 * time.Second
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		feed(there, wire("02 000000 000004 01 00000000 7fffffff", "06 000000 800000 09 01000000", times(1024, "aa")))

		var (
			err   error
			start = time.Now()
		)
		size := memtest.Allocated(func() {
			r := rtmp.NewReader(bufio.NewReader(here))
			here.SetReadDeadline(time.Now().Add(idle))
			_, err = read(r)
		})
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != idle {
			t.Errorf("the reader ends with %v after %v", err, time.Since(start))
		}
		if size > 64<<10 {
			t.Errorf("1 KiB of 8 MiB costs %d bytes", size)
		}
	})
}

func TestCase030ChunkStreamsAreLimited(t *testing.T) {
	t.Parallel()
	var b []byte
	for id := range 64 {
		b = append(b, wire(fmt.Sprintf("00 %02x 000000 000002 08 01000000", id), "aa")...)
		if id == 0 {
			b = wire("02 000000 000004 01 00000000 00000001") // one byte to a chunk, so that every message stays open
			b = append(b, wire("00 00 000000 000002 08 01000000", "aa")...)
		}
	}
	if _, err := readBytes(b[:len(b)-14]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("64 chunk streams: %v, want just the end of the input", err)
	}
	if _, err := readBytes(b); !errors.Is(err, rtmp.ErrLimit) {
		t.Errorf("65 chunk streams: %v, want ErrLimit", err)
	}
}

func TestCase031UnfinishedMessagesAreLimitedTogether(t *testing.T) {
	t.Parallel()
	const part = 4 << 20
	in := []io.Reader{bytes.NewReader(wire("02 000000 000004 01 00000000 00400000"))}
	for id := range 10 {
		head := wire(fmt.Sprintf("%02x 000000 400001 09 01000000", 10+id))
		in = append(in, bytes.NewReader(head), io.LimitReader(zeros{}, part))
	}
	r := rtmp.NewReader(bufio.NewReader(io.MultiReader(in...)))
	_, err := read(r)
	if !errors.Is(err, rtmp.ErrLimit) {
		t.Errorf("the reader ends with %v, want ErrLimit", err)
	}
	if got, most := r.Received(), uint64(rtmp.MaxPartial+100); got > most || got < most-128<<10 {
		t.Errorf("closed after %d bytes, want at most %d", got, most)
	}
}

// zeros is a reader of zeros without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestCase032AMessageMayNotBeginWithinAnother(t *testing.T) {
	t.Parallel()
	checkChunks(t, "message within a message")
}

func TestCase033UnknownTypesAreSkipped(t *testing.T) {
	t.Parallel()
	checkChunks(t, "unknown types")
	tc := chunkCases()["unknown types"]
	r := rtmp.NewReader(bufio.NewReader(bytes.NewReader(tc.wire)))
	if _, err := read(r); !errors.Is(err, io.EOF) || r.Stats().Skipped != 1 {
		t.Errorf("Stats() = %+v after %v; want one skipped", r.Stats(), err)
	}
	if u, err := rtmp.ParseUserControl(tc.want[0].Body); err != nil || u.Event != 99 {
		t.Errorf("ParseUserControl() = %+v, %v; want event 99", u, err)
	}
	if _, err := rtmp.ParseUserControl(tc.want[1].Body); !errors.Is(err, rtmp.ErrProtocol) {
		t.Errorf("ParseUserControl(one byte) = %v, want ErrProtocol", err)
	}
}

func TestMessagesAreLimitedByTheirType(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"command", "data", "audio", "video", "control"} {
		checkChunks(t, of+" too long")
	}
	for typ, n := range map[uint8]int{
		rtmp.TypeCommand: rtmp.MaxCommand, rtmp.TypeCommandAMF3: rtmp.MaxCommand, rtmp.TypeData: rtmp.MaxData,
		rtmp.TypeAudio: rtmp.MaxAudio, rtmp.TypeVideo: rtmp.MaxVideo, rtmp.TypeAggregate: rtmp.MaxVideo,
		rtmp.TypeUserControl: rtmp.MaxControl,
	} {
		b, err := rtmp.AppendMessage(nil, rtmp.Message{Type: typ, ChunkStream: 5, Body: make([]byte, n)}, rtmp.DefaultChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		if ms, err := readBytes(b); err != nil || len(ms) != 1 || len(ms[0].Body) != n {
			t.Errorf("type %d with %d bytes: %v", typ, n, err)
		} else if cap(ms[0].Body) != n {
			t.Errorf("type %d with %d bytes holds %d", typ, n, cap(ms[0].Body))
		}
	}
}

func TestEveryEndOfTheInputIsNoticed(t *testing.T) {
	t.Parallel()
	for name, tc := range chunkCases() {
		for i := range tc.wire {
			ms, err := read(rtmp.NewReader(bufio.NewReader(bytes.NewReader(tc.wire[:i]))))
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && (tc.end == nil || !errors.Is(err, tc.end)) {
				t.Errorf("%s, %d of %d bytes: %v", name, i, len(tc.wire), err)
			}
			if len(ms) > len(tc.want) || sameMessages(tc.want[:len(ms)], ms) != "" {
				t.Errorf("%s, %d of %d bytes: messages that are not there", name, i, len(tc.wire))
			}
		}
	}
}

func TestBytesMayArriveOneByOne(t *testing.T) {
	t.Parallel()
	for name, tc := range chunkCases() {
		ms, err := read(rtmp.NewReader(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(tc.wire)), 16)))
		if d := sameMessages(tc.want, ms); d != "" {
			t.Errorf("%s: the messages differ (-want +got):\n%s", name, d)
		}
		if tc.end != nil && !errors.Is(err, tc.end) {
			t.Errorf("%s: the reader ends with %v, want %v", name, err, tc.end)
		}
	}
}

func TestErrorsOfTheConnectionArePassedOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range chunkCases() {
		if tc.end != nil {
			continue
		}
		for i := range tc.wire {
			in := io.MultiReader(bytes.NewReader(tc.wire[:i]), iotest.ErrReader(broken))
			if _, err := read(rtmp.NewReader(bufio.NewReader(in))); !errors.Is(err, broken) {
				t.Errorf("%s, broken after %d bytes: %v", name, i, err)
			}
		}
	}
}

func TestArrivingBytesAreReportedWithinAMessage(t *testing.T) {
	t.Parallel()
	b, err := rtmp.AppendMessage(nil, rtmp.Message{Type: rtmp.TypeVideo, ChunkStream: 6, Body: make([]byte, 5<<20)}, rtmp.MaxChunkSize)
	if err != nil {
		t.Fatal(err)
	}
	b = append(wire("02 000000 000004 01 00000000 7fffffff"), b...)
	r := rtmp.NewReader(bufio.NewReader(bytes.NewReader(b)))
	var last, most uint64
	r.OnReceive(func(received uint64) error {
		most = max(most, received-last)
		last = received
		return nil
	})
	if _, err := read(r); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if last != uint64(len(b)) || r.Received() != last || most > 128<<10 {
		t.Errorf("%d of %d bytes reported, %d at once", last, len(b), most)
	}

	stop := errors.New("stop")
	r = rtmp.NewReader(bufio.NewReader(bytes.NewReader(b)))
	r.OnReceive(func(uint64) error { return stop })
	if _, err := r.Next(); !errors.Is(err, stop) {
		t.Errorf("Next() error = %v, want that of the function", err)
	}
}

func BenchmarkReaderNext(b *testing.B) {
	for _, bc := range []struct {
		name string
		m    rtmp.Message
	}{
		{"audio", rtmp.Message{Type: rtmp.TypeAudio, StreamID: 1, ChunkStream: 4, Body: make([]byte, 200)}},
		{"video", rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Body: make([]byte, 12_000)}},
		{"key frame", rtmp.Message{Type: rtmp.TypeVideo, StreamID: 1, ChunkStream: 6, Body: make([]byte, 120_000)}},
	} {
		for _, chunk := range []uint32{128, 4096, 60000} {
			b.Run(fmt.Sprintf("%s/%d", bc.name, chunk), func(b *testing.B) {
				wire, err := rtmp.AppendMessage(nil, bc.m, chunk)
				if err != nil {
					b.Fatal(err)
				}
				size, err := rtmp.AppendMessage(nil, rtmp.Control(rtmp.TypeSetChunkSize, chunk), rtmp.DefaultChunkSize)
				if err != nil {
					b.Fatal(err)
				}
				again := &endless{b: wire}
				r := rtmp.NewReader(bufio.NewReaderSize(io.MultiReader(bytes.NewReader(size), again), 64<<10))
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.SetBytes(int64(len(bc.m.Body)))
				for b.Loop() {
					if _, err := r.Next(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// endless is a reader that repeats its bytes for ever.
type endless struct {
	b  []byte
	at int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.b[e.at:])
	e.at = (e.at + n) % len(e.b)
	return n, nil
}
