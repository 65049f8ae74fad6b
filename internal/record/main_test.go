package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/auth"
	"sluice/internal/flvtest"
	"sluice/internal/httpd"
	"sluice/internal/logtest"
	"sluice/internal/module"
	"sluice/internal/record"
	"sluice/internal/session"
	"sluice/internal/stream"
	"sluice/media"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVar); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// server is the module behind its routes, without a port.
type server struct {
	dir      string // the parent of the folder and of the catalogue
	mux      *httpd.Mux
	streams  *stream.Registry
	sessions *session.List
	module   module.Module
	log      *logtest.Log
	stop     func() // shuts the module down and waits for it
}

// build returns the module with its folders in dir.
func build(ctx context.Context, dir string, change ...func(*record.Config)) (*server, error) {
	s := &server{dir: dir, log: &logtest.Log{}}
	log := slog.New(slog.NewJSONHandler(s.log, nil))
	limits := stream.DefaultLimits()
	limits.Probe = 100 * time.Millisecond
	s.streams, s.sessions = stream.NewRegistry(limits), session.NewList(log)
	s.mux = httpd.NewMux(log, auth.NewGuard(""))
	cfg := record.Default()
	cfg.Dir = filepath.Join(dir, "rec")
	for _, f := range change {
		f(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var err error
	s.module, err = record.Describe().Build(ctx, cfg, module.Deps{
		Log: log, Streams: s.streams, Sessions: s.sessions, HTTP: s.mux, Facts: &module.Facts{},
	})
	return s, err
}

func newServer(t *testing.T, dir string) *server {
	t.Helper()
	s, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s.run(t)
	return s
}

// run runs the module until the test ends.
func (s *server) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.module.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Cleanup(s.stop)
}

// logs waits for a line of the log with that text.
func (s *server) logs(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the log has "+text, func() bool { return strings.Contains(s.log.String(), text) })
}

// call makes one request from this machine.
func (s *server) call(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, nil)
	r.RemoteAddr = "127.0.0.1:5000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// ask makes a request that is answered with facts.
func (s *server) ask(t *testing.T, method, target string) record.Facts {
	t.Helper()
	return decode[record.Facts](t, s.call(method, target))
}

// listing is the answer of the list.
type listing struct {
	Items []record.Facts `json:"items"`
	Next  string         `json:"next"`
}

func (s *server) list(t *testing.T, query string) listing {
	t.Helper()
	return decode[listing](t, s.call(http.MethodGet, "/flv/record/list"+query))
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// refused checks that an answer is a problem document that says so.
func refused(t *testing.T, w *httptest.ResponseRecorder, status int, says string) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, type %q, want %d and a problem: %s", w.Code, w.Header().Get("Content-Type"), status, w.Body)
	}
	var p httpd.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != status || !strings.Contains(p.Detail, says) {
		t.Errorf("problem %+v, %v, want status %d and %q", p, err, status, says)
	}
}

// file returns where the file of a recording lies.
func (s *server) file(f record.Facts) string {
	return filepath.Join(s.dir, "rec", filepath.FromSlash(f.File))
}

// catalog takes the catalogue as it is, for a moment when nothing is written
// to it, and returns a function that puts it back.
func (s *server) catalog(t *testing.T) (restore func()) {
	t.Helper()
	dir := filepath.Join(s.dir, "rec.catalog")
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	}
}

// packets reads the packets of any file.
func packets(tb testing.TB, name string) []media.Packet {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	all, err := readPackets(f)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func readPackets(r io.Reader) ([]media.Packet, error) {
	_, tags, err := flvtest.Read(r)
	return flvtest.Parse(tags), err
}

// publisher publishes the packets of a fixture, over and over.
type publisher struct {
	t       *testing.T
	pub     *stream.Publisher
	packets []media.Packet
	period  time.Duration // of one round
	next    int
}

func (s *server) publish(t *testing.T, path, name string) *publisher {
	t.Helper()
	pub, err := s.streams.Publish(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, pub: pub}
	for _, pkt := range flvtest.Packets(t, name) {
		if pkt.Type != media.Sequence { // it would stand in the midst of the stream
			p.packets = append(p.packets, pkt)
			p.period = max(p.period, pkt.DTS+40*time.Millisecond)
		}
	}
	t.Cleanup(func() { pub.End(stream.ErrUnpublished) })
	return p
}

// until writes what is due before that time of the stream.
func (p *publisher) until(at time.Duration) *publisher {
	p.t.Helper()
	for ; ; p.next++ {
		pkt := p.packet(p.next)
		if pkt.DTS >= at {
			return p
		}
		if err := p.pub.Write(pkt); err != nil {
			p.t.Fatal(err)
		}
	}
}

// packet returns the packet of that number.
func (p *publisher) packet(n int) media.Packet {
	pkt := p.packets[n%len(p.packets)]
	pkt.DTS += time.Duration(n/len(p.packets)) * p.period
	return pkt
}

func (p *publisher) end() { p.pub.End(stream.ErrUnpublished) }

// run runs a program and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// plays checks that ffmpeg decodes a file without a complaint.
func plays(t *testing.T, name string) {
	t.Helper()
	run(t, "ffmpeg", "-v", "error", "-xerror", "-i", name, "-f", "null", "-")
}

// eventually waits for what another goroutine does soon.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 12000 { // a minute: machines are busy
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatalf("never: %s", what)
}
