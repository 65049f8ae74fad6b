package fanout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/fanout"
	"sluice/internal/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errOver = errors.New("it is over")

func newLog(tb testing.TB, change ...func(*fanout.Options)) *fanout.Log {
	tb.Helper()
	rings := socket.NewRings()
	o := fanout.Options{MaxLag: 3 * time.Second, Budget: fanout.NewBudget(64 << 20), Rings: rings}
	for _, c := range change {
		c(&o)
	}
	l := fanout.NewLog(o)
	tb.Cleanup(func() {
		l.End(errOver)
		l.Wait()
		rings.Close()
	})
	return l
}

func newSweeper(tb testing.TB, timeout time.Duration) *fanout.Sweeper {
	tb.Helper()
	s := fanout.NewSweeper(timeout)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// pair returns the two ends of a connection over loopback.
func pair(tb testing.TB) (server, client *net.TCPConn) {
	tb.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	client, err = net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		tb.Fatal(err)
	}
	server, err = ln.AcceptTCP()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return server, client
}

// serve runs a viewer and returns its reason through the channel.
func serve(s *fanout.Sweeper, v *fanout.Viewer) <-chan error {
	reason := make(chan error, 1)
	go func() { reason <- s.Serve(v) }()
	return reason
}

func TestFramings(t *testing.T) {
	for name, tc := range map[string]struct {
		framing fanout.Framing
		n       int
		head    string
		tail    string
	}{
		"plain":              {fanout.Plain, 3, "", ""},
		"a chunk":            {fanout.Chunked, 0x1f, "1f\r\n", "\r\n"},
		"a short message":    {fanout.WebSocket, 125, "\x82\x7d", ""},
		"a medium message":   {fanout.WebSocket, 126, "\x82\x7e\x00\x7e", ""},
		"the longest medium": {fanout.WebSocket, 65535, "\x82\x7e\xff\xff", ""},
		"a long message":     {fanout.WebSocket, 65536, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := bytes.Repeat([]byte{'x'}, tc.n)
			if got, want := string(tc.framing.Frame(body)), tc.head+string(body)+tc.tail; got != want {
				t.Errorf("got %d bytes that begin with %x, want %d that begin with %x", len(got), got[:12], len(want), want[:12])
			}
		})
	}
}

func TestAViewerGetsThePrefixThenEveryByteFromItsPositionOn(t *testing.T) {
	for _, framing := range []fanout.Framing{fanout.Plain, fanout.Chunked, fanout.WebSocket} {
		t.Run(fmt.Sprint(framing), func(t *testing.T) {
			l := newLog(t, func(o *fanout.Options) { o.Framing = framing })
			l.Append(true, []byte("before"))
			at := l.Append(true, []byte("key"))
			server, client := pair(t)
			v := fanout.NewViewer(server, l)
			v.Begin, v.First = at, [][]byte{[]byte("he"), nil, []byte("ad|")}
			v.Farewell = func(reason error) []byte { return []byte(reason.Error()) }
			reason := serve(newSweeper(t, time.Minute), v)

			var want bytes.Buffer
			want.WriteString("head|")
			want.Write(framing.Frame([]byte("key")))
			for i := range 2000 { // several blocks
				part := bytes.Repeat([]byte{byte(i)}, i)
				l.Append(false, part[:i/2], part[i/2:])
				want.Write(framing.Frame(part))
			}
			l.End(errOver)
			want.WriteString(errOver.Error())
			got, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("got %d bytes, %v; want %d", len(got), err, want.Len())
			}
			if err := <-reason; !errors.Is(err, errOver) {
				t.Errorf("the reason is %v", err)
			}
		})
	}
}

func TestManyViewersUnderAConcurrentPublisherGetTheSameBytes(t *testing.T) {
	for name, pace := range map[string]fanout.Pace{
		"at once": {}, "auto": {Auto: true}, "every 5 ms": {Gap: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, func(o *fanout.Options) { o.Pace = pace; o.Framing = fanout.Chunked })
			s := newSweeper(t, time.Minute)
			start := l.Append(true, []byte("first"))
			const viewers = 30
			bodies := make([][]byte, viewers)
			var wg sync.WaitGroup
			for i := range viewers {
				server, client := pair(t)
				v := fanout.NewViewer(server, l)
				v.Begin = start
				wg.Go(func() { _ = s.Serve(v) })
				wg.Go(func() { bodies[i], _ = io.ReadAll(client) })
			}
			var want bytes.Buffer
			want.Write(fanout.Chunked.Frame([]byte("first")))
			for i := range 3000 {
				part := fmt.Appendf(nil, "%d/%s", i, strings.Repeat("x", i%700))
				l.Append(i%100 == 0, part)
				want.Write(fanout.Chunked.Frame(part))
			}
			l.End(errOver)
			wg.Wait()
			for i, b := range bodies {
				if !bytes.Equal(b, want.Bytes()) {
					t.Errorf("viewer %d got %d bytes, want %d", i, len(b), want.Len())
				}
			}
		})
	}
}

func TestAFixedPaceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gap = 100 * time.Millisecond
		l := newLog(t, func(o *fanout.Options) { o.Pace = fanout.Pace{Gap: gap} })
		server, client := net.Pipe()
		v := fanout.NewViewer(server, l)
		v.Begin = l.Append(true, []byte{0})
		reason := serve(newSweeper(t, time.Minute), v)

		var times []time.Duration
		begin := time.Now()
		read := make(chan struct{})
		go func() {
			defer close(read)
			buf := make([]byte, 1<<16)
			for {
				if _, err := client.Read(buf); err != nil {
					return
				}
				times = append(times, time.Since(begin))
			}
		}()
		for range 100 {
			<-time.After(7 * time.Millisecond)
			l.Append(false, []byte("packet"))
		}
		l.End(errOver)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		<-read
		for i := 2; i < len(times)-1; i++ { // the first is the backlog, the last the end
			if d := times[i] - times[i-1]; d < gap {
				t.Errorf("write %d came %v after the one before", i, d)
			}
		}
		if len(times) < 6 || len(times) > 10 {
			t.Errorf("%d writes in 700 ms, want one every %v", len(times), gap)
		}
	})
}

func TestALoneViewerGetsEveryPacketAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *fanout.Options) { o.Pace = fanout.Pace{Auto: true} })
		server, client := net.Pipe()
		v := fanout.NewViewer(server, l)
		v.Begin = l.Append(true, []byte{0})
		reason := serve(newSweeper(t, time.Minute), v)
		buf := make([]byte, 16)
		if _, err := client.Read(buf); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			<-time.After(20 * time.Millisecond)
			sent := time.Now()
			l.Append(false, []byte("packet"))
			if _, err := client.Read(buf); err != nil || time.Since(sent) > 0 {
				t.Errorf("read after %v, %v", time.Since(sent), err)
			}
		}
		client.Close()
		if err := <-reason; !errors.Is(err, fanout.ErrGone) {
			t.Errorf("the reason is %v", err)
		}
	})
}

func TestAViewerThatLagsIsMovedToTheNewestKeyPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		server, client := net.Pipe()
		v := fanout.NewViewer(server, l)
		v.Begin = l.Append(true, []byte("[0]"))
		reason := serve(newSweeper(t, time.Hour), v)
		synctest.Wait() // stuck in its first write: nobody reads
		for i := range 10 {
			<-time.After(time.Second)
			l.Append(true, fmt.Appendf(nil, "[%d]", i+1))
			l.Append(false, []byte("."))
		}
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(client)
			got <- string(b)
		}()
		synctest.Wait()
		l.End(errOver)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		if s := <-got; s != "[0][10]." {
			t.Errorf("the viewer got %q, want the newest key position after its first write", s)
		}
		if n := l.Stats().Moved; n != 1 {
			t.Errorf("%d viewers are counted as moved", n)
		}
	})
}

func TestAViewerThatTakesNothingIsClosed(t *testing.T) {
	l := newLog(t)
	server, client := pair(t)
	if err := client.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	v := fanout.NewViewer(server, l)
	v.Begin = l.Append(true, []byte{0})
	reason := serve(newSweeper(t, 300*time.Millisecond), v)
	for range 100 {
		l.Append(false, make([]byte, 100<<10))
	}
	if err := <-reason; !errors.Is(err, fanout.ErrStalled) {
		t.Errorf("the reason is %v", err)
	}
}

func TestAKickReachesAViewerInEveryState(t *testing.T) {
	kicked := errors.New("out")
	for name, prepare := range map[string]func(l *fanout.Log){
		"parked":      func(*fanout.Log) {},
		"being stuck": func(l *fanout.Log) { l.Append(false, make([]byte, 16<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			server, client := pair(t)
			v := fanout.NewViewer(server, l)
			v.Begin = l.Append(true, []byte{0})
			reason := serve(newSweeper(t, time.Hour), v)
			if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			prepare(l)
			v.Kick(kicked)
			v.Kick(errOver) // too late
			err := <-reason
			if !errors.Is(err, kicked) {
				t.Errorf("the reason is %v", err)
			}
		})
	}
}

func TestAKickBeforeServingCounts(t *testing.T) {
	l := newLog(t)
	server, _ := pair(t)
	v := fanout.NewViewer(server, l)
	v.Kick(errOver)
	if err := newSweeper(t, time.Hour).Serve(v); !errors.Is(err, errOver) {
		t.Errorf("Serve() = %v", err)
	}
}

func TestAClientThatTalksTooMuchIsClosed(t *testing.T) {
	l := newLog(t)
	server, client := pair(t)
	reason := serve(newSweeper(t, time.Minute), fanout.NewViewer(server, l))
	go func() { _, _ = client.Write(make([]byte, 1<<20)) }()
	if err := <-reason; !errors.Is(err, fanout.ErrFlood) {
		t.Errorf("the reason is %v", err)
	}
}

// patient is a Peer that hears everything.
type patient struct{ heard atomic.Int64 }

func (p *patient) Input(b []byte) ([]byte, error) { p.heard.Add(int64(len(b))); return nil, nil }
func (*patient) Tick(time.Time) ([]byte, error)   { return nil, nil }

func TestAClientThatNeverStopsTalkingToItsPeerIsClosed(t *testing.T) {
	for name, connect := range map[string]func() (server, client net.Conn){
		"a socket": func() (net.Conn, net.Conn) { return pair(t) }, "a pipe": net.Pipe,
	} {
		t.Run(name, func(t *testing.T) {
			server, client := connect()
			defer client.Close()
			v, p := fanout.NewViewer(server, newLog(t)), &patient{}
			v.Peer = p
			reason := serve(newSweeper(t, time.Minute), v)
			go func() {
				var err error
				for err == nil {
					_, err = client.Write(make([]byte, 4<<10))
				}
			}()
			if err := <-reason; !errors.Is(err, fanout.ErrFlood) {
				t.Errorf("the reason is %v", err)
			}
			if n := p.heard.Load(); n > 1<<20 {
				t.Errorf("the peer has heard %d bytes", n)
			}
		})
	}
}

func TestAClientMayTalkToItsPeerForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		v, p := fanout.NewViewer(server, newLog(t)), &patient{}
		v.Peer = p
		reason := serve(newSweeper(t, time.Hour), v)
		const seconds, each = 100, 8 << 10
		for range seconds {
			if _, err := client.Write(make([]byte, each)); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		client.Close()
		if err := <-reason; !errors.Is(err, fanout.ErrGone) || p.heard.Load() != seconds*each {
			t.Errorf("the reason is %v after %d bytes", err, p.heard.Load())
		}
	})
}

func TestTheBudgetBoundsAllLogsThatShareIt(t *testing.T) {
	const limit = 4 << 20
	budget := fanout.NewBudget(limit)
	share := func(o *fanout.Options) { o.Budget, o.MaxLag = budget, time.Hour }
	logs := []*fanout.Log{newLog(t, share), newLog(t, share)}
	first := make([]int64, len(logs))
	for i, l := range logs {
		first[i] = l.Append(true, []byte("key"))
	}
	for range 2000 {
		for _, l := range logs {
			l.Append(false, make([]byte, 10<<10))
		}
	}
	for i, l := range logs {
		if l.Holds(first[i]) || l.Holds(l.Stats().Bytes-limit/2-1<<20) {
			t.Error("a log holds more than its share")
		}
		if !l.Holds(l.Stats().Bytes - limit/4) {
			t.Error("a log holds much less than its share")
		}
	}
}

func TestAViewerWhoseBytesAreGoneWaitsForTheNextKeyPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *fanout.Options) { o.Budget = fanout.NewBudget(1 << 20); o.MaxLag = time.Hour })
		server, client := net.Pipe()
		v := fanout.NewViewer(server, l)
		v.Begin = l.Append(true, []byte("[0]"))
		reason := serve(newSweeper(t, time.Hour), v)
		synctest.Wait()
		for range 300 {
			l.Append(false, make([]byte, 10<<10))
		}
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(client)
			got <- string(b)
		}()
		synctest.Wait()
		l.Append(false, []byte("not yet"))
		synctest.Wait()
		l.Append(true, []byte("[1]"))
		l.End(errOver)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		if s := <-got; s != "[0][1]" {
			t.Errorf("the viewer got %d bytes: %.20q", len(s), s)
		}
	})
}

func TestNextWaitsForTheNextKeyPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *fanout.Options) { o.Pace = fanout.Pace{Auto: true} })
		l.Append(true, []byte("[0]"))
		server, client := net.Pipe()
		reason := serve(newSweeper(t, time.Hour), fanout.NewViewer(server, l))
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(client)
			got <- string(b)
		}()
		synctest.Wait()
		l.Append(false, []byte("."))
		synctest.Wait()
		l.Append(true, []byte("[1]"))
		synctest.Wait()
		l.Append(false, []byte("!"))
		l.End(errOver)
		if err := <-reason; !errors.Is(err, errOver) {
			t.Errorf("the reason is %v", err)
		}
		if s := <-got; s != "[1]!" {
			t.Errorf("the viewer got %q", s)
		}
	})
}
