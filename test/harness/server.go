package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// Server is a running server, a process of its own.
type Server struct {
	*Process

	HTTP, RTMP string // host:port
	Records    string // the folder of the recordings
	ended      bool   // by the test
}

// Start starts the server that [Main] built, on ports that are free, with
// further arguments. It has to end cleanly when the test does.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return StartIn(tb, tb.TempDir(), args...)
}

// StartIn is [Start] in a given folder.
func StartIn(tb testing.TB, dir string, args ...string) *Server {
	tb.Helper()
	s := Launch(tb, dir, args...)
	s.HTTP, s.RTMP = s.Address(tb, "http"), s.Address(tb, "rtmp")
	return s
}

// Launch is [StartIn] for a server that may not come up: its
// addresses stay empty.
func Launch(tb testing.TB, dir string, args ...string) *Server {
	tb.Helper()
	s := &Server{Records: filepath.Join(dir, "recordings")}
	line := []string{
		"--set", "http.listen=127.0.0.1:0", "--set", "rtmp.listen=127.0.0.1:0",
		"--set", "record.dir=" + s.Records,
	}
	s.Process = Run(tb, dir, nil, Binary(tb), append(line, args...)...)
	tb.Cleanup(func() { s.check(tb) })
	return s
}

// check looks at the end of the server: runs before the clean-up of its
// process.
func (s *Server) check(tb testing.TB) {
	tb.Helper()
	if s.ended {
		return
	}
	select {
	case <-s.Done():
		tb.Error("the server ended in the middle of the test")
	default:
	}
	if code := s.Stop(tb); code != 0 {
		tb.Errorf("the server ended with %d", code)
	}
	for _, bad := range []string{"DATA RACE", "panic"} {
		if strings.Contains(s.Output(), bad) {
			tb.Errorf("the server wrote %q:\n%s", bad, s.Output())
		}
	}
}

// Address reads from the log where a protocol listens.
func (s *Server) Address(tb testing.TB, proto string) string {
	tb.Helper()
	line := s.WaitLine(tb, "listening", "proto="+proto)
	m := regexp.MustCompile(`addr=(\S+)`).FindStringSubmatch(line)
	if m == nil {
		tb.Fatalf("no address in %q", line)
	}
	return m[1]
}

// Push returns the URL at which a path is published.
func (s *Server) Push(path string) string { return "rtmp://" + s.RTMP + "/" + path }

// Play returns the URL at which a path, with suffix and query, is watched;
// scheme is that of [Watch].
func (s *Server) Play(scheme, path string) string { return scheme + "://" + s.HTTP + "/flv/" + path }

// Kill ends the server as no program can prepare for.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.Signal(tb, syscall.SIGKILL)
	s.End(tb)
}

// End waits until the server ends, as the test wants it to, and returns its
// exit code.
func (s *Server) End(tb testing.TB) int {
	tb.Helper()
	s.ended = true
	return s.Wait(tb)
}

// Call sends a request without a body to the server, with headers given as
// name, value …, and returns the answer's status and body.
func (s *Server) Call(tb testing.TB, method, path string, header ...string) (int, string) {
	tb.Helper()
	answer, body := s.Request(tb, method, path, header...) //nolint:bodyclose // Request does
	return answer.StatusCode, body
}

// Request is [Server.Call] with the whole answer, whose body is closed.
func (s *Server) Request(tb testing.TB, method, path string, header ...string) (*http.Response, string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, "http://"+s.HTTP+path, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := http.Client{Timeout: Patience}
	answer, err := c.Do(r)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	c.CloseIdleConnections()
	return answer, string(body)
}

// Recording is what the recording API says of a recording.
type Recording struct {
	ID         string `json:"id"`
	StreamPath string `json:"streamPath"`
	State      string `json:"state"`
	File       string `json:"file"`
	DurationMS int64  `json:"durationMs"`
	Bytes      int64  `json:"bytes"`
	Error      string `json:"error"`
}

// Record sends a call of the recording API, "POST", "start/live/test", that
// has to succeed.
func (s *Server) Record(tb testing.TB, method, call string) Recording {
	tb.Helper()
	status, body := s.Call(tb, method, "/flv/record/"+call)
	var r Recording
	if err := json.Unmarshal([]byte(body), &r); err != nil || status != http.StatusOK {
		tb.Fatalf("%s /flv/record/%s: %d %s (%v)", method, call, status, body, err)
	}
	return r
}

// File returns where the file of a recording is.
func (s *Server) File(tb testing.TB, r Recording) string {
	tb.Helper()
	name := filepath.Join(s.Records, filepath.FromSlash(r.File))
	if _, err := os.Stat(name); err != nil {
		tb.Fatal(err)
	}
	return name
}
