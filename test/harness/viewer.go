package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/flv"
	"sluice/media"
)

// Viewer is one viewer of a stream over HTTP or WebSocket, whose answer has
// begun. It is not safe for concurrent use.
type Viewer struct {
	*flv.Reader

	Answer *http.Response // but for its body
	body   *bufio.Reader
	conn   io.Closer
}

// Watch opens a stream: "ws" URLs by WebSocket, "http" URLs by HTTP/1.1, and
// "http/1.0" as scheme by HTTP/1.0. It returns when the answer begins, which
// has to be a good one, and ends with the test. Headers, for HTTP alone, are
// given as "Name: value".
func Watch(tb testing.TB, address string, headers ...string) *Viewer {
	tb.Helper()
	v, err := Open(tb.Context(), address, headers...)
	if err != nil {
		tb.Fatalf("watching %s: %v", address, err)
	}
	return v
}

// Open is [Watch] with an error, and ends with the context.
func Open(ctx context.Context, address string, headers ...string) (*Viewer, error) {
	scheme, _, _ := strings.Cut(address, "://")
	switch scheme {
	case "ws":
		return openWS(ctx, address)
	case "http/1.0":
		return openRaw(ctx, "http"+strings.TrimPrefix(address, scheme), "HTTP/1.0", headers)
	}
	return openRaw(ctx, address, "HTTP/1.1", headers)
}

func newViewer(answer *http.Response, conn io.Closer, body io.Reader) *Viewer {
	r := bufio.NewReader(body)
	return &Viewer{Reader: flv.NewReader(r), Answer: answer, body: r, conn: conn}
}

func openWS(ctx context.Context, address string) (*Viewer, error) {
	c, answer, err := websocket.Dial(ctx, address, nil) //nolint:bodyclose // the library owns it
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(64 << 20)
	conn := websocket.NetConn(ctx, c, websocket.MessageBinary)
	return newViewer(answer, conn, conn), nil
}

// openRaw is an HTTP client of one request, which says of what version it is
// and whose reads have a bound.
func openRaw(ctx context.Context, address, version string, headers []string) (*Viewer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{Timeout: Patience}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	ask := append([]string{"GET " + u.RequestURI() + " " + version, "Host: " + u.Host}, headers...)
	if _, err := io.WriteString(c, strings.Join(ask, "\r\n")+"\r\n\r\n"); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(bounded{c}), nil) //nolint:bodyclose // closed with its connection
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
		c.Close()
		return nil, fmt.Errorf("%s: %s (%w)", answer.Status, text, errors.Join(errRefused, err))
	}
	return newViewer(answer, c, answer.Body), nil
}

var errRefused = errors.New("refused")

// bounded gives each read of a connection a bound of its own.
type bounded struct{ net.Conn }

func (b bounded) Read(p []byte) (int, error) {
	if err := b.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return 0, err
	}
	return b.Conn.Read(p)
}

// Packet returns the next tag as a packet.
func (v *Viewer) Packet(tb testing.TB) media.Packet {
	tb.Helper()
	tag, err := v.Next()
	if err != nil {
		tb.Fatalf("reading a tag: %v", err)
	}
	p := flv.ParseBody(tag.Type, tag.Body)
	p.DTS = tag.DTS
	return p
}

// Into reads until a picture that comes so long behind its key frame.
func (v *Viewer) Into(tb testing.TB, d time.Duration) {
	tb.Helper()
	key := time.Duration(-1)
	for {
		p := v.Packet(tb)
		switch {
		case p.Kind != media.Video || p.Type != media.Frame:
		case p.Key:
			key = p.DTS
		case key >= 0 && p.DTS-key >= d:
			return
		}
	}
}

// Close hangs up.
func (v *Viewer) Close() { _ = v.conn.Close() } // the server may have done so

// Begin waits for the first byte of the body.
func (v *Viewer) Begin(tb testing.TB) {
	tb.Helper()
	if _, err := v.body.Peek(1); err != nil {
		tb.Fatalf("waiting for the first byte: %v", err)
	}
}

// Rest returns all that is left of the body, which has to end cleanly.
func (v *Viewer) Rest() ([]byte, error) { return io.ReadAll(v.body) }
