package httpflv

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/fanout"
	"sluice/internal/memtest"
)

func masked(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }

func TestAPeerIsPingedAndGivenUp(t *testing.T) {
	p := newPeer(nil)
	now := time.Now()
	if out, err := p.Tick(now.Add(pingEvery / 2)); len(out) > 0 || err != nil {
		t.Errorf("a fresh peer: %x, %v", out, err)
	}
	if out, err := p.Tick(now.Add(pingEvery + time.Second)); len(out) == 0 || out[0] != 0x89 || err != nil {
		t.Errorf("after %v: %x, %v; want a ping", pingEvery, out, err)
	}
	if _, err := p.Tick(now.Add(pongTimeout + time.Second)); !errors.Is(err, errSilent) {
		t.Errorf("after %v of silence: %v", pongTimeout, err)
	}
}

// heldViewer returns the client of a WebSocket viewer of a stream that is held for its
// publisher, and the reason for which the viewer ends. Stop ends all of it.
func heldViewer(t *testing.T) (client net.Conn, reason <-chan error, stop func()) {
	t.Helper()
	sweeper := fanout.NewSweeper(10 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { sweeper.Run(ctx) })
	log := fanout.NewLog(fanout.Options{Framing: fanout.WebSocket, MaxLag: time.Second, Budget: fanout.NewBudget(1 << 20)})
	end, client := net.Pipe()
	v := fanout.NewViewer(end, log)
	v.Peer, v.Farewell = newPeer(nil), closeFrame
	ended := make(chan error, 1)
	running.Go(func() { ended <- sweeper.Serve(v) })
	return client, ended, func() {
		log.End(errClosed)
		cancel()
		_, _ = io.Copy(io.Discard, client)
		running.Wait()
		log.Wait()
	}
}

// A stream that is held for its publisher gives its viewers nothing for as long as the
// reconnect window is: proxies must not take their connections for dead.
func TestAViewerIsPingedWhileItsStreamIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, stop := heldViewer(t)
		r := bufio.NewReader(client)
		begin := time.Now()
		for pings := 0; pings < 2; {
			h, err := ws.ReadHeader(r)
			if err != nil {
				t.Fatalf("after %v: %v", time.Since(begin), err)
			}
			if h.OpCode == ws.OpPing { // without a payload
				pings++
				_, _ = client.Write(masked(ws.NewPongFrame(nil)))
			}
		}
		if d := time.Since(begin); d < 2*pingEvery || d > 2*pingEvery+3*time.Second {
			t.Errorf("two pings came within %v", d)
		}
		stop()
	})
}

// This is the part of case 114 that takes its time.
func TestAHalfOpenViewerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		client, reason, stop := heldViewer(t)
		_, _ = io.Copy(io.Discard, client) // its machine takes everything, and nobody is there
		if err := <-reason; !errors.Is(err, errSilent) || time.Since(begin) > pongTimeout+3*time.Second {
			t.Errorf("it ends with %v after %v", err, time.Since(begin))
		}
		stop()
	})
}

func TestAPeerHearsFramesInPieces(t *testing.T) {
	in := append(masked(ws.NewPongFrame(nil)), masked(ws.NewTextFrame([]byte("hello")))...)
	in = append(in, masked(ws.NewPingFrame([]byte("abc")))...)
	p := newPeer(nil)
	var out []byte
	for _, b := range in {
		reply, err := p.Input([]byte{b})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, reply...)
	}
	if want := ws.MustCompileFrame(ws.NewPongFrame([]byte("abc"))); string(out) != string(want) {
		t.Errorf("the reply is %x, want %x", out, want)
	}
}

func TestAPeerEndsOnBadFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []byte
		want error
	}{
		"goodbye":             {masked(ws.NewCloseFrame(nil)), errClosed},
		"not masked":          {ws.MustCompileFrame(ws.NewPingFrame(nil)), errProtocol},
		"a huge message":      {[]byte{0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, errProtocol},
		"a negative length":   {[]byte{0x82, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, errProtocol},
		"reserved bits":       {[]byte{0xf2, 0x80, 1, 2, 3, 4}, errProtocol},
		"an unknown opcode":   {masked(ws.NewFrame(3, true, nil)), errProtocol},
		"a long ping":         {masked(ws.NewFrame(ws.OpPing, true, make([]byte, 126))), errProtocol},
		"a ping in fragments": {masked(ws.NewFrame(ws.OpPing, false, nil)), errProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newPeer(nil).Input(tc.in); !errors.Is(err, tc.want) {
				t.Errorf("Input(%x) = %v, want %v", tc.in, err, tc.want)
			}
			if _, err := newPeer(tc.in).Tick(time.Now()); !errors.Is(err, tc.want) {
				t.Errorf("the same sent early: %v, want %v", err, tc.want)
			}
		})
	}
}

func FuzzPeer(f *testing.F) {
	f.Add(masked(ws.NewPongFrame(nil)))
	f.Add(masked(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))))
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 4<<10)] // what a viewer hands over at once
		memtest.Bound(t, len(b), func() { _, _ = (&peer{}).Input(b) })
		whole, pieces := &peer{}, &peer{}
		want, wantErr := whole.Input(b)
		var got []byte
		var err error
		for i := 0; i < len(b) && err == nil; i++ {
			var out []byte
			out, err = pieces.Input(b[i : i+1])
			got = append(got, out...)
		}
		if string(got) != string(want) || (err == nil) != (wantErr == nil) {
			t.Errorf("in pieces %x, %v; at once %x, %v", got, err, want, wantErr)
		}
		if len(whole.buf) > maxMessage+ws.MaxHeaderSize {
			t.Errorf("%d bytes are kept", len(whole.buf))
		}
	})
}
