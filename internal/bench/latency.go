package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sluice/flv"
	"sluice/media"
)

// LatencyOptions say what is probed.
type LatencyOptions struct {
	// URL of the stream, http:// or ws://, see [PlayOptions].
	URL     string
	Streams int
	// Probes is how many viewers read frames all the time.
	Probes int
	// Starts is how many viewers join one after the other, to see how soon
	// the first key frame comes; 0 means none. They are spread over Within,
	// or over the duration where that is 0, and then read on.
	Starts int
	Within time.Duration
	// Warmup passes before frames count; then Duration is measured.
	Warmup, Duration time.Duration
}

// LatencyResult is what the probes saw.
type LatencyResult struct {
	// Gap is the mean time between two arrivals at a probe: how often the
	// server writes to a viewer.
	Gap time.Duration `json:"gapNs"`
	// Added is the time from the publisher's write to the probe's read.
	Added Stats `json:"added"`
	// First is the time from a request to its first key frame.
	First  Stats  `json:"first"`
	Failed int    `json:"failed"` // probes that ended early
	Errors string `json:"errors,omitempty"`
}

// Latency measures how late the frames of [Publish] come out.
func Latency(ctx context.Context, o LatencyOptions) (LatencyResult, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Warmup+o.Duration)
	defer cancel()
	from := now() + int64(o.Warmup)
	c := &collector{}
	var wg sync.WaitGroup
	for n := range o.Probes {
		wg.Go(func() { c.note(probe(ctx, StreamURL(o.URL, n%max(1, o.Streams), max(1, o.Streams)), from, c)) })
	}
	c.starts(ctx, o)
	wg.Wait()
	r := LatencyResult{Added: newStats(c.added), First: newStats(c.first), Failed: c.failed}
	if n := c.arrivals.Load(); n > 0 {
		r.Gap = o.Duration * time.Duration(o.Probes) / time.Duration(n)
	}
	if c.err != nil {
		r.Errors = c.err.Error()
	}
	if len(c.added) == 0 && o.Probes > 0 {
		return r, fmt.Errorf("no frame carried a time: publish with sluice bench publish (%s)", r.Errors)
	}
	return r, nil
}

// gathered is how many bytes of a viewer that joined may lie there before they
// are thrown away.
const gathered = 64 << 10

// collector gathers what the probes see.
type collector struct {
	arrivals atomic.Int64

	mu     sync.Mutex // guards all below
	added  []time.Duration
	first  []time.Duration
	failed int
	err    error
}

func (c *collector) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	c.err = err
}

func (c *collector) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added = append(c.added, d)
}

// probe reads one viewer's frames until ctx is done, and collects those from a
// moment on.
func probe(ctx context.Context, url string, from int64, c *collector) error {
	body, err := open(ctx, url, func() {
		if now() >= from {
			c.arrivals.Add(1)
		}
	})
	if err != nil {
		return err
	}
	defer body.Close()
	r := flv.NewReader(body)
	for {
		tag, err := r.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a probe: %w", err)
		}
		// Frames from before it joined say nothing about the server.
		if at, ok := findStamp(tag.Body); ok && at >= from {
			c.add(time.Duration(now() - at))
		}
	}
}

// starts joins again and again and measures the time to the first key frame.
func (c *collector) starts(ctx context.Context, o LatencyOptions) {
	if o.Starts == 0 {
		return
	}
	wait := time.NewTimer(o.Warmup)
	defer wait.Stop()
	waste := make([]byte, gathered)
	var wg sync.WaitGroup
	defer wg.Wait()
	for n := range o.Starts {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		spread := o.Within
		if spread == 0 {
			spread = o.Duration
		}
		wait.Reset(spread / time.Duration(o.Starts+1))
		wg.Go(func() {
			err := firstKey(ctx, StreamURL(o.URL, n%max(1, o.Streams), max(1, o.Streams)), waste, func(d time.Duration) {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.first = append(c.first, d)
			})
			if ctx.Err() == nil {
				c.note(err)
			}
		})
	}
}

// firstKey tells the time from a request to its first key frame, and then
// reads on until ctx is done, with a buffer of which it does not matter who
// else writes to it.
func firstKey(ctx context.Context, url string, waste []byte, tell func(time.Duration)) error {
	begin := time.Now()
	body, err := open(ctx, url, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	r := flv.NewReader(body)
	for {
		tag, err := r.Next()
		if err != nil {
			return fmt.Errorf("waiting for the first key frame: %w", err)
		}
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.Kind == media.Video && p.Key && p.Type == media.Frame {
			tell(time.Since(begin))
			break
		}
	}
	return discard(body.conn, waste) // it ends with ctx
}

// answer is the bytes of a stream, and the connection that they come by.
type answer struct {
	io.Reader

	conn net.Conn
	stop func() bool
}

// Close closes the connection.
func (a *answer) Close() {
	a.stop()
	a.conn.Close()
}

// open requests a stream, in the way that costs the machine of a measurement
// least. It tells of every arrival. The connection ends with ctx.
func open(ctx context.Context, address string, arrived func()) (*answer, error) {
	conn, body, err := join(ctx, address, arrived)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", address, err)
	}
	return &answer{body, conn, context.AfterFunc(ctx, func() { conn.Close() })}, nil
}

// join connects and asks for a stream.
func join(ctx context.Context, address string, arrived func()) (net.Conn, io.Reader, error) {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || arrived == nil {
			return conn, err // as it is
		}
		return &arrivals{Conn: conn, tell: arrived}, nil
	}
	if strings.HasPrefix(address, "ws") {
		conn, early, _, err := ws.Dialer{NetDial: dial}.Dial(ctx, address)
		if err != nil {
			return nil, nil, err // said by the caller
		}
		var r io.Reader = conn
		if early != nil {
			r = early
		}
		return conn, &messages{r: &wsutil.Reader{Source: r, State: ws.StateClientSide, SkipHeaderCheck: true}}, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, nil, err // as above
	}
	conn, err := dial(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, nil, err // as above
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	body, err := get(conn, req)
	if err != nil {
		conn.Close()
	}
	return conn, body, err
}

// get makes a request over its own connection.
func get(conn net.Conn, req *http.Request) (io.Reader, error) {
	if err := req.Write(conn); err != nil {
		return nil, err // said by the caller
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, err // as above
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return resp.Body, nil
}

// arrivals tells of the reads of a connection that brought something.
type arrivals struct {
	net.Conn
	tell func()
}

func (a *arrivals) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if n > 0 && a.tell != nil {
		a.tell()
	}
	return n, err // a connection hands on what it says
}

// messages reads the binary messages of a WebSocket end to end.
type messages struct {
	r  *wsutil.Reader
	in bool // within a message
}

func (m *messages) Read(b []byte) (int, error) {
	for {
		if !m.in {
			h, err := m.r.NextFrame()
			if err != nil {
				return 0, err // a reader hands on what its source says
			}
			if h.OpCode == ws.OpClose {
				return 0, io.EOF
			}
			m.in = true
		}
		n, err := m.r.Read(b)
		if errors.Is(err, io.EOF) {
			m.in, err = false, nil
		}
		if n > 0 || err != nil {
			return n, err // as above
		}
	}
}
