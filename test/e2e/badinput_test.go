package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/amf0"
	"sluice/rtmp"
	"sluice/test/harness"
)

// live starts a server with a stream and a viewer who must not notice what the
// test does.
func live(t *testing.T, args ...string) (*harness.Server, *harness.Witness) {
	t.Helper()
	s := harness.Start(t, args...)
	harness.Publish(t, harness.Sources()[0], s.Push("live/witness"))
	return s, harness.NewWitness(t, s.Play("http", "live/witness.flv?wait=30s"))
}

// dial connects to an address with a bound for all that follows.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBadRequestsAreAnsweredAndDisturbNobody(t *testing.T) {
	s, witness := live(t)
	recording := s.Record(t, "POST", "start/live/witness")
	const ws = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	for name, tc := range map[string]struct {
		line, header string
		status       int
		text         string // part of the answer
	}{
		"unknown path":              {"GET /flv/live/nobody?wait=0s", "", 404, "nobody"},
		"unknown route":             {"GET /nothing/here", "", 404, "problem"},
		"two dots":                  {"GET /flv/live/../../etc/passwd", "", 400, "problem"},
		"encoded dots":              {"GET /flv/live/%2e%2e/x", "", 400, "problem"},
		"one dot":                   {"GET /flv/live/%2e", "", 400, "problem"},
		"empty segment":             {"GET /flv/live//x", "", 400, "problem"},
		"300 bytes":                 {"GET /flv/" + strings.Repeat("a", 300), "", 400, "255"},
		"NUL":                       {"GET /flv/live/a%00b", "", 400, "problem"},
		"record":                    {"GET /flv/record", "", 400, "record"},
		"broken encoding":           {"GET /flv/live/%zz", "", 400, ""},
		"wait that is no duration":  {"GET /flv/live/witness?wait=soon", "", 400, "wait"},
		"wait that is too long":     {"GET /flv/live/witness?wait=61s", "", 400, "wait"},
		"join that does not exist":  {"GET /flv/live/witness?join=never", "", 400, "join"},
		"profile of another kind":   {"GET /flv/live/witness?profile=4k", "", 400, "profile"},
		"audio neither on nor off":  {"GET /flv/live/witness?audio=perhaps", "", 400, "audio"},
		"nothing left":              {"GET /flv/live/witness?audio=off&video=off", "", 415, "track"},
		"POST":                      {"POST /flv/live/witness", "Content-Length: 0\r\n", 405, "GET"},
		"PUT":                       {"PUT /flv/live/witness", "Content-Length: 0\r\n", 405, "GET"},
		"another upgrade":           {"GET /flv/live/witness", "Connection: Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Key: x\r\n", 400, "websocket"},
		"old WebSocket":             {"GET /flv/live/witness", strings.Replace(ws, "13", "8", 1), 426, "13"},
		"WebSocket with a bad key":  {"GET /flv/live/witness", strings.Replace(ws, "MDEy", "", 1), 400, "Key"},
		"WebSocket to nobody":       {"GET /flv/live/nobody?wait=0s", ws, 404, "nobody"},
		"not a request":             {"HELLO", "", 400, ""},
		"a call on the wrong route": {"GET /flv/record/start/live/witness", "", 405, "POST"},
		"record what is not live":   {"POST /flv/record/start/live/nobody", "Content-Length: 0\r\n", 404, "problem"},
		"stop what is not recorded": {"POST /flv/record/stop/live/nobody", "Content-Length: 0\r\n", 404, "problem"},
		"a file outside":            {"GET /flv/record/files/../../../etc/passwd", "", 404, "problem"},
		"a file outside, encoded":   {"GET /flv/record/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "", 404, "problem"},
		"a limit that is no number": {"GET /flv/record/list?limit=many", "", 400, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s.HTTP)
			if _, err := io.WriteString(c, tc.line+" HTTP/1.1\r\nHost: "+s.HTTP+"\r\n"+tc.header+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			all := answer.Header.Get("Content-Type") + string(body)
			if err != nil || answer.StatusCode != tc.status || !strings.Contains(all, tc.text) {
				t.Errorf("%s is answered %d %s (%v); want %d with %q", tc.line, answer.StatusCode, all, err, tc.status, tc.text)
			}
		})
	}
	witness.Undisturbed(t)
	if done := s.Record(t, "POST", "stop/live/witness"); done.ID != recording.ID || done.State != "finished" {
		t.Errorf("the recording that ran all the time is %+v", done)
	}
	plays(t, s.File(t, recording), harness.Sources()[0], 0.5)
}

// afterHandshake returns a connection on which an encoder has shaken hands.
func afterHandshake(t *testing.T, addr string) net.Conn {
	t.Helper()
	c := dial(t, addr)
	if err := rtmp.ClientHandshake(bufio.NewReader(c), c, 0, rand.Reader, rtmp.Simple); err != nil {
		t.Fatal(err)
	}
	return c
}

// message returns a message as chunks of the first size.
func message(typ uint8, body []byte) []byte {
	var b bytes.Buffer
	b.Write([]byte{3, 0, 0, 0, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), typ, 0, 0, 0, 0})
	for i := 0; i < len(body); i += rtmp.DefaultChunkSize {
		if i > 0 {
			b.WriteByte(0xC3)
		}
		b.Write(body[i:min(i+rtmp.DefaultChunkSize, len(body))])
	}
	return b.Bytes()
}

func connectCommand(t *testing.T, extra any) []byte {
	t.Helper()
	b, err := amf0.AppendAll(nil, "connect", 1.0, amf0.Object{{Key: "app", Value: "live"}, {Key: "extra", Value: extra}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBadRTMPIsClosedAndDisturbsNobody(t *testing.T) {
	s, witness := live(t, "--set", "rtmp.handshake_timeout=2s")
	nested := append([]byte("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{0x0A, 0, 0, 0, 1}, 10_000)...)
	long := connectCommand(t, strings.Repeat("x", 60_000))
	raw := func(b ...byte) func(*testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			t.Helper()
			c := dial(t, s.RTMP)
			_, _ = c.Write(b) // the server may have closed it already
			return c
		}
	}
	shaken := func(b ...byte) func(*testing.T) net.Conn {
		return func(t *testing.T) net.Conn {
			t.Helper()
			c := afterHandshake(t, s.RTMP)
			_, _ = c.Write(b) // the server may have closed it already
			return c
		}
	}
	bad := map[string]func(*testing.T) net.Conn{
		"HTTP":                       raw([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")...),
		"a wrong first byte":         raw(bytes.Repeat([]byte{0xFF}, 2000)...),
		"RTMPE":                      raw(append([]byte{6}, make([]byte, 1536)...)...),
		"a handshake that stalls":    raw(append([]byte{3}, make([]byte, 700)...)...),
		"nothing at all":             raw(),
		"type 3 on a fresh stream":   shaken(0xC5),
		"type 2 on a fresh stream":   shaken(0x85, 0, 0, 1, 0),
		"a chunk size of 0":          shaken(2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0),
		"an oversized command":       shaken(append([]byte{3, 0, 0, 0, 0xFF, 0xFF, 0xFF, 20, 0, 0, 0, 0}, make([]byte, 200_000)...)...),
		"nested AMF":                 shaken(message(20, nested)...),
		"AMF that is cut":            shaken(message(20, connectCommand(t, "x")[:30])...),
		"a command that is no AMF":   shaken(message(20, []byte("hello"))...),
		"a message that is cut":      shaken(message(20, long)[:30_000]...),
		"65 streams of pieces":       shaken(pieces()...),
		"connect without an app":     shaken(message(20, []byte("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00\x05"))...),
		"random bytes":               shaken(random(t)...),
		"media before any publish":   shaken(message(9, make([]byte, 1000))...),
		"a connect and then nothing": shaken(message(20, connectCommand(t, "x"))...),
	}
	t.Run("all at once", func(t *testing.T) {
		for name, send := range bad {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := send(t)
				_, err := io.Copy(io.Discard, c) // until the server closes, soon or at its time limit
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection stays open")
				}
			})
		}
		t.Run("TLS", func(t *testing.T) {
			t.Parallel()
			c := tls.Client(dial(t, s.RTMP), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nobody is there to verify
			if err := c.HandshakeContext(t.Context()); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("TLS on the RTMP port: %v", err)
			}
		})
	})
	witness.Undisturbed(t)
}

func pieces() []byte {
	var b []byte
	for csid := byte(3); csid < 3+61; csid++ {
		b = append(b, csid, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0)
		b = append(b, make([]byte, 128)...)
	}
	for csid := range byte(10) { // in the two-byte form
		b = append(b, 0, 100+csid, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0)
		b = append(b, make([]byte, 128)...)
	}
	return b
}

func random(t *testing.T) []byte {
	t.Helper()
	b := make([]byte, 100_000)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestASecondPublisherIsRefusedAndTheFirstGoesOn(t *testing.T) {
	s, witness := live(t)
	err := publish(t, s.Push("live/witness"))
	if status, ok := errors.AsType[*rtmp.StatusError](err); !ok || status.Code != rtmp.CodePublishBadName {
		t.Errorf("the second publisher gets %v, want %s", err, rtmp.CodePublishBadName)
	}
	second := harness.Publish(t, harness.Sources()[0], s.Push("live/witness"))
	if code := second.Wait(t); code == 0 {
		t.Errorf("a second ffmpeg ended with %d:\n%s", code, second.Output())
	}
	witness.Undisturbed(t)
}

// publish asks to publish, with our own client.
func publish(t *testing.T, address string) error {
	t.Helper()
	u, err := rtmp.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rtmp.Dial(t.Context(), u)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing was sent
	return c.Publish(t.Context())
}

func TestBadStreamNamesAreRefusedAtPublish(t *testing.T) {
	s, witness := live(t)
	for name, path := range map[string]string{
		"record": "record/x", "two dots": "live/../x", "encoded dots": "live/%2e%2e", "300 bytes": "live/" + strings.Repeat("a", 300),
		"NUL": "live/a%00b", "a space": "live/a%20b",
	} {
		t.Run(name, func(t *testing.T) {
			if err := publish(t, s.Push(path)); err == nil {
				t.Errorf("%s may be published", path)
			} else if _, ok := errors.AsType[*rtmp.StatusError](err); !ok {
				t.Errorf("publishing %s is refused with %v, which says nothing", path, err)
			}
		})
	}
	witness.Undisturbed(t)
}

func TestAPortInUseIsAnErrorAtStart(t *testing.T) {
	s, witness := live(t)
	for key, addr := range map[string]string{"http.listen": s.HTTP, "rtmp.listen": s.RTMP} {
		second := harness.Launch(t, t.TempDir(), "--set", key+"="+addr)
		if code := second.End(t); code == 0 || !strings.Contains(second.Output(), addr) {
			t.Errorf("with %s in use the server ends with %d:\n%s", addr, code, second.Output())
		}
	}
	witness.Undisturbed(t)
}

func TestThreeMistakesInOneSectionAreReportedAtOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	text := "flv:\n  enable: perhaps\n  max_lag: 3\n  wiat: 5s\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Launch(t, dir, "--config", file)
	if code := s.End(t); code == 0 {
		t.Error("the server starts with such a configuration")
	}
	for _, want := range []string{"sluice.yaml:2:", "sluice.yaml:3:", "sluice.yaml:4:", "perhaps", "max_lag", "wiat"} {
		if !strings.Contains(s.Output(), want) {
			t.Errorf("%q is not in:\n%s", want, s.Output())
		}
	}
}
