package record_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/conf"
	"sluice/internal/flvtest"
	"sluice/internal/glob"
	"sluice/internal/record"
	"sluice/media"
)

// configured returns a server whose section was changed.
func configured(t *testing.T, change func(*record.Config)) *server {
	t.Helper()
	return startIn(t, t.TempDir(), change)
}

// status returns what runs of the path that the tests use.
func (s *server) status(t *testing.T) record.Facts {
	t.Helper()
	return decode[record.Facts](t, s.call(http.MethodGet, "/flv/record/status/live/test"))
}

func TestAnArmedRecordingBeginsWithItsStream(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	armed := s.ask(t, http.MethodPost, "/flv/record/start/live/test?arm=true")
	if armed.State != record.Armed || armed.File != "" {
		t.Errorf("start answers %+v", armed)
	}
	for _, f := range []record.Facts{s.status(t), s.list(t, "?state=armed").Items[0], s.ask(t, http.MethodPost, "/flv/record/start/live/test")} {
		if f.ID != armed.ID || f.State != record.Armed {
			t.Errorf("it is %+v", f)
		}
	}
	p := s.publish(t, "live/test", "h264_aac.flv").until(500 * time.Millisecond)
	eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
	p.until(3 * time.Second).end()
	eventually(t, "it ended", func() bool { return s.status(t).State == "idle" })
	items := s.list(t, "").Items
	if len(items) != 1 || items[0].ID != armed.ID || items[0].State != record.Finished {
		t.Fatalf("the list has %+v", items)
	}
	recorded(t, s.file(items[0]), frames(t, "h264_aac.flv", 0)[:len(packetsBefore(t, s.file(items[0])))])
}

// A stream of one kind goes live more than a second after its first packet.
func TestARecordingThatWaitedHasItsStreamFromTheBeginning(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]record.Config{
		"armed":     {},
		"automatic": {Auto: []glob.Pattern{"live/*"}},
	} {
		for _, file := range []string{"h264_only.flv", "aac_only.flv"} {
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				s := configured(t, func(c *record.Config) { c.Auto = cfg.Auto })
				if cfg.Auto == nil {
					s.ask(t, http.MethodPost, "/flv/record/start/live/test?arm=true")
				}
				p := s.publish(t, "live/test", file).until(3 * time.Second)
				eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
				p.end()
				eventually(t, "it ended", func() bool { return s.status(t).State == "idle" })
				f := s.list(t, "").Items[0]
				got := packetsBefore(t, s.file(f))
				recorded(t, s.file(f), frames(t, file, 0)[:len(got)])
				if f.DurationMs < 3000 {
					t.Errorf("of 3 s it has %d ms", f.DurationMs)
				}
			})
		}
	}
}

// packetsBefore returns the frames of a file.
func packetsBefore(t *testing.T, file string) (out []media.Packet) {
	t.Helper()
	for _, p := range packets(t, file) {
		if p.Kind != media.Data && p.Type != media.Config {
			out = append(out, p)
		}
	}
	return out
}

func TestAnArmedRecordingCanBeStopped(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	armed := s.ask(t, http.MethodPost, "/flv/record/start/live/test?arm=true")
	if f := s.ask(t, http.MethodPost, "/flv/record/stop/live/test"); f.ID != armed.ID || f.State != record.Finished || f.EndedAt == nil {
		t.Errorf("stop answers %+v", f)
	}
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	if f := s.status(t); f.State != "idle" {
		t.Errorf("status answers %+v", f)
	}
	if items := s.list(t, "").Items; len(items) != 0 {
		t.Errorf("the list has %+v", items)
	}
}

func TestARecordingEndsAfterTheTimeItWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		f := s.ask(t, http.MethodPost, "/flv/record/start/live/test?for=10s")
		for at := 2 * time.Second; at <= 20*time.Second; at += time.Second {
			<-time.After(time.Second)
			p.until(at)
		}
		synctest.Wait()
		items := s.list(t, "").Items
		if len(items) != 1 || items[0].State != record.Finished || items[0].ID != f.ID {
			t.Fatalf("the list has %+v", items)
		}
		f = items[0]
		if ran := f.EndedAt.Sub(f.StartedAt); ran < 10*time.Second || ran > 10*time.Second+time.Millisecond {
			t.Errorf("it ran for %v", ran)
		}
		// The second from the key frame that it began with, and what came in ten more.
		if f.DurationMs < 9_900 || f.DurationMs > 11_100 {
			t.Errorf("it holds %d ms", f.DurationMs)
		}
		if !strings.Contains(s.log.String(), `"reason":"elapsed"`) || s.streams.Find("live/test") == nil {
			t.Errorf("the stream is %v, the log\n%s", s.streams.Find("live/test"), s.log)
		}
		plays(t, s.file(f))
		p.end()
		s.stop()
	})
}

func TestARecordingCanBeginBeforeItWasStarted(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) { c.Window = conf.Duration(time.Minute) })
	p := s.publish(t, "live/test", "h264_aac.flv").until(8 * time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test?before=5s")
	f := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	sent := p.sent(0, p.next)
	begin := 0 // at the newest key frame that is 5 s old
	for i, pkt := range sent {
		if pkt.Key && sent[len(sent)-1].DTS-pkt.DTS >= 5*time.Second {
			begin = i
		}
	}
	if back := sent[len(sent)-1].DTS - sent[begin].DTS; back > 6500*time.Millisecond { // a second and a half is more than any GOP of it has
		t.Fatalf("the test asks for %v", back)
	}
	recorded(t, s.file(f), sent[begin:])
	indexed(t, s.file(f), packets(t, s.file(f)))
	plays(t, s.file(f))
}

func TestBadOptionsOfAStartAreNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for query, says := range map[string]string{"arm=maybe": "arm", "before=10": "before", "for=-1s": "for"} {
		refused(t, s.call(http.MethodPost, "/flv/record/start/live/test?"+query), http.StatusBadRequest, says)
	}
}

func TestStreamsThatMatchAreRecordedUnasked(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) { c.Auto = []glob.Pattern{"live/*"} })
	p := s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	s.publish(t, "other/test", "h264_aac.flv").until(2 * time.Second)
	eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
	first := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	p.until(3 * time.Second).end()
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	eventually(t, "the next one is recorded", func() bool { return s.status(t).State == record.Running })
	if items := s.list(t, "").Items; len(items) != 2 || items[1].ID != first.ID {
		t.Errorf("the list has %+v", items)
	}
}

func TestARecordingGoesOnInANewFileWhenTheTracksChange(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	p := s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	other := s.publish(t, "live/other", "h264_bframes_aac.flv") // for its packets
	other.pub = p.pub
	for _, pkt := range flvtest.Packets(t, "h264_bframes_aac.flv") {
		if err := p.pub.Write(pkt); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the next file", func() bool {
		return s.status(t).State == record.Running && len(s.list(t, "").Items) == 2
	})
	s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	for _, f := range s.list(t, "").Items {
		if f.State != record.Finished {
			t.Errorf("the list has %+v", f)
		}
		plays(t, s.file(f))
	}
}

func TestSegmentsAreWholeFilesThatBeginAtKeyFrames(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) {
		c.Segment.Duration = conf.Duration(2 * time.Second)
		c.Name = "{date}/{name}-{seq}.flv"
	})
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(9 * time.Second)
	last := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	items := s.list(t, "").Items
	if len(items) < 3 || items[0].ID != last.ID || !strings.HasSuffix(items[len(items)-1].File, "/test-0001.flv") {
		t.Fatalf("the list has %+v", items)
	}
	frames := 0
	for _, f := range items {
		all := packetsBefore(t, s.file(f))
		frames += len(all)
		if f.State != record.Finished || !all[0].Key && all[0].Kind == media.Video {
			t.Errorf("%+v begins with %+v", f, all[0])
		}
		plays(t, s.file(f))
	}
	one := newServer(t, t.TempDir())
	q := one.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	one.ask(t, http.MethodPost, "/flv/record/start/live/test")
	q.until(9 * time.Second)
	whole := one.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	if want := len(packetsBefore(t, one.file(whole))); frames != want {
		t.Errorf("%d frames in segments, %d in one file", frames, want)
	}
}

func TestOnlyWhatIsNotToBeKeptIsDeleted(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) { c.Retain.PerStream = 2 })
	var all []record.Facts
	for range 4 {
		all = append(all, s.finished(t, "live/test", "h264_aac.flv", 2*time.Second))
	}
	other := s.finished(t, "live/other", "h264_aac.flv", 2*time.Second)
	eventually(t, "the oldest are gone", func() bool { return len(s.list(t, "").Items) == 3 })
	for i, f := range append(all, other) {
		if _, err := os.Stat(s.file(f)); (err == nil) != (i >= 2) {
			t.Errorf("recording %d: %v", i, err)
		}
	}
}

func TestRecordingsEndAndBeginAgainWithTheRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	s, err := build(t.Context(), t.TempDir(), func(c *record.Config) {
		c.Auto = []glob.Pattern{"**"}
		c.MinFree = record.MinFree{Size: conf.MiB}
	})
	if err != nil {
		t.Fatal(err)
	}
	var free atomic.Int64
	free.Store(1 << 30)
	record.SetSpace(s.module, func(string) (int64, int64, error) { return free.Load(), 1 << 30, nil })
	s.run(t)
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	eventually(t, "it runs", func() bool { return s.status(t).State == record.Running })
	free.Store(1000)
	eventually(t, "it failed", func() bool { return len(s.list(t, "?state=failed").Items) == 1 })
	got := s.list(t, "?state=failed").Items[0]
	if !strings.Contains(got.Error, "min_free") {
		t.Errorf("the list has %+v", got)
	}
	plays(t, s.file(got))
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusInsufficientStorage, "min_free")
	free.Store(1 << 30)
	eventually(t, "it begins again", func() bool { return s.status(t).State == record.Running })
}

func TestTheRoomLeftByItselfIsAPartOfASmallDiskAndAGibibyteOfALargeOne(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ total, least conf.Size }{
		{0, 0},
		{100 * conf.MiB, 5 * conf.MiB},
		{10 * conf.GiB, 512 * conf.MiB},
		{20 * conf.GiB, conf.GiB},
		{21 * conf.GiB, conf.GiB},
		{8192 * conf.GiB, conf.GiB},
	} {
		for missing, status := range map[conf.Size]int{0: http.StatusOK, 1: http.StatusInsufficientStorage} {
			s, err := build(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			record.SetSpace(s.module, func(string) (int64, int64, error) { return int64(tc.least - missing), int64(tc.total), nil })
			s.run(t)
			s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
			if w := s.call(http.MethodPost, "/flv/record/start/live/test"); w.Code != status {
				t.Errorf("a start with %v less than %v of %v free answers %d %s", missing, tc.least, tc.total, w.Code, w.Body)
			}
			s.stop()
		}
	}
}

// newOften is newServer that looks at its disk often, which has little room.
func newOften(t *testing.T) *server {
	t.Helper()
	s, err := build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	record.SetSpace(s.module, func(string) (int64, int64, error) { return 1 << 29, 1 << 32, nil })
	s.run(t)
	return s
}

// What writes a file anew puts another one in its place: nobody would find what
// is recorded from then on.
func TestAFileThatIsReplacedEndsTheRecording(t *testing.T) {
	t.Parallel()
	s := newOften(t)
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	other := filepath.Join(s.dir, "other")
	if err := errors.Join(os.WriteFile(other, []byte("FLV"), 0o644), os.Rename(other, s.file(f))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ended", func() bool { return s.status(t).State == "idle" })
	if got := s.list(t, "").Items[0]; got.State != record.Failed || !strings.Contains(got.Error, "replaced") {
		t.Errorf("the list has %+v", got)
	}
}

func TestAFolderThatIsRemovedEndsTheRecording(t *testing.T) {
	t.Parallel()
	s := newOften(t)
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	if err := os.RemoveAll(filepath.Join(s.dir, "rec")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ended", func() bool {
		return strings.Contains(s.call(http.MethodGet, "/flv/record/status/live/test").Body.String(), "removed")
	})
	if s.streams.Find("live/test") == nil {
		t.Error("the stream ended with its recording")
	}
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
}
