package record_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/auth"
	"sluice/internal/conf"
	"sluice/internal/glob"
	"sluice/internal/httpflv"
	"sluice/internal/module"
	"sluice/internal/record"
	"sluice/media"
)

// viewer watches a stream over HTTP-FLV, on a connection of its own, step by step
// with its publisher: whatever that sends has come before it sends more.
type viewer struct {
	t    *testing.T
	p    *publisher
	tags *flv.Reader
}

// watch returns a viewer that has what has been published so far.
func (s *server) watch(t *testing.T, p *publisher, path string) *viewer {
	t.Helper()
	play := httpflv.New(httpflv.DefaultConfig(), module.Deps{
		Log: slog.New(slog.DiscardHandler), Streams: s.streams, Sessions: s.sessions, Facts: &module.Facts{},
	})
	s.mux.Handle(auth.Play, "/flv/", play)
	local := httptest.NewServer(s.mux)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := play.Run(ctx); err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		local.Close()
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", local.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil { // no wait is without end
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET /flv/" + path + "?join=gop HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	v := &viewer{t: t, p: p, tags: flv.NewReader(answer(t, conn).Body)}
	last := p.sent(0, p.next)
	for {
		if got := v.frame(); isSame(got, last[len(last)-1]) {
			return v
		}
	}
}

// answer reads the head of an answer that has to be a good one.
func answer(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != http.StatusOK {
		t.Fatalf("the answer is %s", got.Status)
	}
	return got
}

// sent returns the frames among what the publisher sends from one number on and
// before another.
func (p *publisher) sent(from, to int) (all []media.Packet) {
	for n := from; n < to; n++ {
		if pkt := p.packet(n); pkt.Kind != media.Data && pkt.Type == media.Frame {
			all = append(all, pkt)
		}
	}
	return all
}

func isSame(a, b media.Packet) bool {
	return a.Kind == b.Kind && a.DTS == b.DTS && bytes.Equal(a.Body, b.Body)
}

// frame reads the next frame.
func (v *viewer) frame() media.Packet {
	v.t.Helper()
	for {
		tag, err := v.tags.Next()
		if err != nil {
			v.t.Fatalf("watching: %v", err)
		}
		p := flv.ParseBody(tag.Type, tag.Body)
		if p.DTS = tag.DTS; p.Kind != media.Data && p.Type == media.Frame {
			return p
		}
	}
}

// sees publishes what comes next, in pieces, and checks that the viewer gets
// each of them before the next one is sent.
func (v *viewer) sees(length time.Duration) {
	v.t.Helper()
	const piece = 40 * time.Millisecond
	for at := v.p.packet(v.p.next).DTS; length > 0; length -= piece {
		at += piece
		from := v.p.next
		v.p.until(at)
		for _, want := range v.p.sent(from, v.p.next) {
			if got := v.frame(); !isSame(got, want) {
				v.t.Fatalf("it sees %v at %v of %d bytes, want %v at %v of %d", got.Kind, got.DTS, len(got.Body), want.Kind, want.DTS, len(want.Body))
			}
		}
	}
}

// seesUntil publishes at a real pace until something is so, and checks that the
// viewer gets all of it.
func (v *viewer) seesUntil(what string, done func() bool) {
	v.t.Helper()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		v.sees(40 * time.Millisecond)
		if done() {
			return
		}
		<-tick.C
	}
	v.t.Fatalf("never: %s", what)
}

// trouble is something that happens to the folder of a server that records a
// stream unasked.
type trouble struct {
	change func(*record.Config)
	disk   func(t *testing.T, dir string) // makes that of the folder
	begin  func(t *testing.T, rec string) (end func())
	says   string // in the error of the recording
}

// passes checks that a viewer notices nothing of it, that the API does, and that
// the stream is recorded again afterwards.
func (tr trouble) passes(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	rec := filepath.Join(dir, "rec")
	if err := os.Mkdir(rec, 0o755); err != nil {
		t.Fatal(err)
	}
	if tr.disk != nil {
		tr.disk(t, dir)
	}
	s, err := build(t.Context(), dir, func(c *record.Config) {
		c.Auto = []glob.Pattern{"live/*"}
		if tr.change != nil {
			tr.change(c)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if tr.disk == nil { // so that it is looked at often
		record.SetSpace(s.module, func(string) (int64, int64, error) { return 1 << 29, 1 << 32, nil })
	}
	s.run(t)
	v := s.watch(t, s.publish(t, "live/test", "h264_aac.flv").until(time.Second), "live/test")
	runs := func() bool { return s.status(t).State == record.Running }
	v.seesUntil("it is recorded", runs)
	first := s.status(t)
	v.sees(3 * time.Second)

	end := tr.begin(t, rec)
	v.seesUntil("the recording fails", func() bool { return len(s.list(t, "?state=failed").Items) > 0 })
	v.sees(5 * time.Second)
	failed := s.list(t, "?state=failed").Items[0]
	if !strings.Contains(failed.Error, tr.says) || failed.EndedAt == nil {
		t.Errorf("the list has %+v, want the error %q", failed, tr.says)
	}
	if now := s.status(t); now.State != "idle" || now.Error == "" {
		t.Errorf("the status is %+v", now)
	}

	end()
	v.seesUntil("it is recorded again", runs)
	again := s.status(t)
	v.sees(3 * time.Second)
	if done := s.ask(t, http.MethodPost, "/flv/record/stop/live/test"); done.State != record.Finished || again.ID == first.ID {
		t.Errorf("stop answers %+v, the first one was %s", done, first.ID)
	} else {
		plays(t, s.file(done))
	}
}

// gate is where a disk hangs.
type gate struct {
	at    string // what it does then
	on    atomic.Bool
	hangs chan struct{} // closed when it does
	open  chan struct{} // closed when it goes on
	once  sync.Once
}

func (g *gate) pass(what string) {
	if g.on.Load() && what == g.at {
		g.once.Do(func() { close(g.hangs) })
		<-g.open
	}
}

// hangingFile is a file on a disk that hangs.
type hangingFile struct {
	record.File

	gate *gate
}

func (f *hangingFile) WriteAt(p []byte, off int64) (int, error) {
	f.gate.pass("writing")
	return f.File.WriteAt(p, off)
}

func (f *hangingFile) Sync() error {
	f.gate.pass("syncing")
	return f.File.Sync()
}

// Whatever the disk is at when it hangs, nobody who watches notices, and as long
// as what it is behind fits into memory nothing is lost.
func TestADiskThatHangsForTenSecondsCostsNothing(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"writing", "syncing", "making a file"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			s := configured(t, func(c *record.Config) { c.Segment.Duration = conf.Duration(2 * time.Second) })
			g := &gate{at: at, hangs: make(chan struct{}), open: make(chan struct{})}
			record.WrapFiles(s.module, func(f record.File) record.File {
				g.pass("making a file")
				return &hangingFile{f, g}
			})
			p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
			v := s.watch(t, p, "live/test")
			begun := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
			v.sees(time.Second)
			g.on.Store(true)
			hangs := func() bool {
				select {
				case <-g.hangs:
					return true
				default:
					return false
				}
			}
			v.seesUntil("it hangs", hangs)
			v.sees(10 * time.Second)
			if now := s.status(t); now.State != record.Running || now.Gaps > 0 {
				t.Errorf("while it hangs, the status is %+v", now)
			}
			if all := s.list(t, "").Items; len(all) == 0 || all[len(all)-1].ID != begun.ID {
				t.Errorf("while it hangs, the list has %+v", all)
			}
			g.on.Store(false)
			close(g.open)
			v.sees(time.Second)
			plays(t, s.file(s.ask(t, http.MethodPost, "/flv/record/stop/live/test")))
			var got []media.Packet
			for _, f := range slices.Backward(s.list(t, "").Items) {
				if f.State != record.Finished || f.Gaps > 0 {
					t.Errorf("the list has %+v", f)
				}
				got = append(got, packetsBefore(t, s.file(f))...)
			}
			compareBodies(t, p.sent(0, p.next), got)
		})
	}
}

// compareBodies checks that all that was published since the first frame of a
// recording is in it.
func compareBodies(t *testing.T, published, recorded []media.Packet) {
	t.Helper()
	if len(recorded) < len(published)*9/10 || len(recorded) > len(published) {
		t.Fatalf("%d frames of %d are recorded", len(recorded), len(published))
	}
	for i, want := range published[len(published)-len(recorded):] {
		if got := recorded[i]; got.Kind != want.Kind || !bytes.Equal(got.Body, want.Body) {
			t.Fatalf("frame %d of %d is another one", i, len(recorded))
		}
	}
}

func TestAFolderThatIsRemovedIsNotNoticedByViewers(t *testing.T) {
	t.Parallel()
	trouble{
		begin: func(t *testing.T, rec string) (end func()) {
			t.Helper()
			if err := os.RemoveAll(rec); err != nil {
				t.Fatal(err)
			}
			return func() {} // it is made anew
		},
		says: "removed",
	}.passes(t)
}
