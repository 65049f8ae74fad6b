package httpflv

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/fanout"
	"sluice/internal/httpd"
	"sluice/internal/session"
)

// How a WebSocket client is asked whether it is still there.
const (
	pingEvery   = 20 * time.Second
	pongTimeout = 45 * time.Second
)

// maxMessage bounds what a client may say in one frame: it has nothing to say
// but pongs and a goodbye.
const maxMessage = 4 << 10

// The reasons for which a WebSocket viewer ends.
var (
	errClosed   = session.NewReason("peer_closed", "the client closed the WebSocket")
	errSilent   = session.NewReason("no_pong", "the client answered no ping")
	errProtocol = session.NewReason("bad_frame", "the client broke the WebSocket protocol")
)

// isUpgrade tells whether the client wants to change the protocol.
func isUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" && hasToken(r.Header, "Connection", "upgrade") ||
		r.Header.Get("Sec-Websocket-Key") != ""
}

// checkUpgrade tells what is wrong with an upgrade, as long as that can be
// said by HTTP (RFC 6455, chapter 4.2.1).
func checkUpgrade(r *http.Request) error {
	h := r.Header
	bad := func(text string) error { return because(errBadUpgrade, httpd.NewProblem(http.StatusBadRequest, text)) }
	switch {
	case r.Method != http.MethodGet:
		return bad("a WebSocket begins with GET")
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return bad("a WebSocket needs HTTP/1.1")
	case !hasToken(h, "Upgrade", "websocket"):
		return bad("the only protocol to upgrade to is websocket")
	case !hasToken(h, "Connection", "upgrade"):
		return bad("the header Connection: Upgrade is missing; a proxy may have removed it")
	case h.Get("Sec-Websocket-Version") != "13":
		p := httpd.NewProblem(http.StatusUpgradeRequired, "the WebSocket version must be 13")
		p.Headers = http.Header{"Sec-Websocket-Version": {"13"}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}
		return because(errBadUpgrade, p)
	case len(h.Get("Sec-Websocket-Key")) != 24: // 16 bytes in base64
		return bad("the header Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return nil
}

func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// upgrade answers a request that was checked and takes the connection.
func upgrade(w http.ResponseWriter, r *http.Request, header [][2]string) (net.Conn, []byte, error) {
	h := make(http.Header, len(header))
	for _, line := range header {
		if line[0] != "Content-Type" {
			h.Set(line[0], line[1])
		}
	}
	conn, rw, _, err := ws.HTTPUpgrader{Header: h, Timeout: 5 * time.Second}.Upgrade(r, w)
	if err != nil {
		return nil, nil, err
	}
	early, _ := rw.Peek(rw.Reader.Buffered()) // it is buffered: no error
	return conn, bytes.Clone(early), nil
}

// peer hears what a WebSocket client says.
type peer struct {
	early  []byte // came along with the request
	buf    []byte // an unfinished frame
	heard  time.Time
	pinged time.Time
}

func newPeer(early []byte) fanout.Peer {
	now := time.Now()
	return &peer{early: early, heard: now, pinged: now}
}

// Input implements [fanout.Peer].
func (p *peer) Input(b []byte) (reply []byte, err error) {
	p.heard = time.Now()
	p.buf = append(p.buf, b...)
	var r bytes.Reader
	for {
		n, out, err := frame(p.buf, &r)
		reply = append(reply, out...)
		if err != nil || n == 0 {
			return reply, err
		}
		p.buf = p.buf[n:]
		if len(p.buf) == 0 {
			p.buf = nil
		}
	}
}

// frame reads the frame at the start of b, through r, and returns its length, 0
// while it is not whole.
func frame(b []byte, r *bytes.Reader) (n int, reply []byte, err error) {
	r.Reset(b)
	h, err := ws.ReadHeader(r)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0, nil, nil
	case err != nil || !h.Masked || h.Rsv != 0 || h.OpCode.IsReserved() || h.Length > maxMessage:
		return 0, nil, errProtocol
	case r.Len() < int(h.Length):
		return 0, nil, nil
	}
	at := len(b) - r.Len()
	n = at + int(h.Length)
	payload := bytes.Clone(b[at:n])
	ws.Cipher(payload, h.Mask, 0)
	switch h.OpCode {
	case ws.OpClose:
		return n, nil, errClosed
	case ws.OpPing:
		if !h.Fin || len(payload) > ws.MaxControlFramePayloadSize {
			return 0, nil, errProtocol
		}
		return n, compile(ws.NewPongFrame(payload)), nil
	default: // pongs, and messages that nobody asked for
		return n, nil, nil
	}
}

// Tick implements [fanout.Peer].
func (p *peer) Tick(now time.Time) (send []byte, err error) {
	if len(p.early) > 0 {
		send, err = p.Input(p.early)
		p.early = nil
		if err != nil {
			return send, err
		}
	}
	switch {
	case now.Sub(p.heard) > pongTimeout:
		return send, errSilent
	case now.Sub(p.pinged) > pingEvery:
		p.pinged = now
		send = append(send, compile(ws.NewPingFrame(nil))...)
	}
	return send, nil
}

// closeFrame returns the last frame for an end with that reason.
func closeFrame(reason error) []byte {
	code := ws.StatusNormalClosure
	switch {
	case errors.Is(reason, session.ErrShutdown):
		code = ws.StatusGoingAway
	case errors.Is(reason, errProtocol):
		code = ws.StatusProtocolError
	case errors.Is(reason, fanout.ErrFlood), errors.Is(reason, session.ErrKicked):
		code = ws.StatusPolicyViolation
	case errors.Is(reason, errSilent):
		code = ws.StatusInternalServerError
	}
	return compile(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason.Error())))
}

func compile(f ws.Frame) []byte {
	b, err := ws.CompileFrame(f)
	if err != nil {
		return nil // control frames are short: it cannot fail
	}
	return b
}
