package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sluice/rtmp"
)

// Bounds of a single attack: the server ends each within its own limits, of which
// the longest is that for a handshake which makes progress.
const (
	attackLimit = 60 * time.Second
	atOnce      = 16 // attacks of a process
)

// crowd makes so many attacks, some at a time. Each has its own random numbers,
// which the seed and its number decide.
func crowd(ctx context.Context, p plan, atOnce int, attack func(ctx context.Context, n int, rng *rand.Rand, r *report)) report {
	var (
		mu  sync.Mutex // guards all and next
		all report
		wg  sync.WaitGroup
	)
	next := 0
	for range min(atOnce, p.Count) {
		wg.Go(func() {
			var mine report
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if n >= p.Count || ctx.Err() != nil {
					break
				}
				start := time.Now()
				attack(ctx, n, rand.New(rand.NewPCG(p.Seed, uint64(n))), &mine)
				mine.Longest = max(mine.Longest, time.Since(start))
				mine.Done++
			}
			mu.Lock()
			all.add(mine)
			mu.Unlock()
		})
	}
	wg.Wait()
	return all
}

// dial connects from the address of this machine that an attack comes from.
func dial(ctx context.Context, p plan, addr string, n int) (*net.TCPConn, error) {
	const each = 250 // last bytes of an address
	i := n % max(p.Sources, 1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/each), byte(1+i%each))}, Timeout: attackLimit}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, _ := c.(*net.TCPConn) // it is one
	return tcp, tcp.SetDeadline(time.Now().Add(attackLimit))
}

// halfCloser is a connection over which one end can say that nothing follows.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// send writes b in the background, says that nothing follows, and reads until the
// server closes.
func send(c halfCloser, b []byte, r *report) {
	defer c.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Write(b) // the server may close it
		_ = c.CloseWrite()
	}()
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.Stuck++
		r.bad("still open after %v", attackLimit)
	}
	c.Close()
	<-done
}

// handshakeLen is what a capture begins with: C0, C1 and C2.
const handshakeLen = 1 + 2*1536

// replay sends recorded sessions with mistakes in them.
func replay(ctx context.Context, p plan) report {
	var captures [][]byte
	files, _ := filepath.Glob(filepath.Join(p.Captures, "rtmp_c2s_*.bin")) // the pattern is a good one
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return report{Bad: []string{err.Error()}}
		}
		captures = append(captures, b)
	}
	if len(captures) == 0 {
		return report{Bad: []string{"no captures in " + p.Captures}}
	}
	return crowd(ctx, p, atOnce, func(ctx context.Context, n int, rng *rand.Rand, r *report) {
		c, err := dial(ctx, p, p.RTMP, n)
		if err != nil {
			r.bad("%v", err)
			return
		}
		b, how := spoil(rng, captures[rng.IntN(len(captures))])
		r.note(how)
		send(c, b, r)
	})
}

// spoil returns a session under another name with mistakes in it, and their sort.
// One in eight has them in the handshake too.
func spoil(rng *rand.Rand, capture []byte) (b []byte, how string) {
	b = bytes.Clone(capture)
	from := handshakeLen
	if rng.IntN(8) == 0 {
		from = 0
	}
	name := []byte{'a' + byte(rng.IntN(26)), 'a' + byte(rng.IntN(26)), 'a' + byte(rng.IntN(26)), 'a' + byte(rng.IntN(26))}
	b = bytes.ReplaceAll(b, []byte("cam1"), name)
	// Most mistakes come late, so that the session is well under way.
	at := func() int { return from + int(float64(len(b)-from)*rng.Float64()) }
	switch rng.IntN(4) {
	case 0:
		for range 1 + rng.IntN(20) {
			b[at()] ^= 1 << rng.IntN(8)
		}
		return b, "bits flipped"
	case 1:
		return b[:at()], "cut"
	case 2:
		x, y, z := at(), at(), at()
		x, y, z = min(x, y, z), max(min(x, y), min(max(x, y), z)), max(x, y, z)
		out := append(bytes.Clone(b[:x]), b[y:z]...)
		return append(append(out, b[x:y]...), b[z:]...), "reordered"
	default:
		x := at()
		b = append(b[:x:x], b[min(x+1+rng.IntN(64), len(b)):]...)
		return b, "bytes missing"
	}
}

// shake connects and shakes hands.
func shake(ctx context.Context, p plan, n int) (*net.TCPConn, error) {
	c, err := dial(ctx, p, p.RTMP, n)
	if err != nil {
		return nil, err
	}
	hello := append([]byte{3}, make([]byte, handshakeLen-1)...)
	if _, err := c.Write(hello); err != nil {
		c.Close()
		return nil, err
	}
	if _, err := io.ReadFull(c, make([]byte, handshakeLen)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// message returns a message as chunks of the first size.
func message(typ uint8, body []byte) []byte {
	b, err := rtmp.AppendMessage(nil, rtmp.Message{Type: typ, StreamID: 1, ChunkStream: 3, Body: body}, rtmp.DefaultChunkSize)
	if err != nil {
		panic(err) // the attacks are ours
	}
	return b
}
