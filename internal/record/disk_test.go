package record_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/flv"
	"sluice/internal/record"
	"sluice/media"
)

// badFile is a file on a disk that fails.
type badFile struct {
	record.File
	room  atomic.Int64 // bytes until the disk is full
	sync  error
	syncs atomic.Int32  // how often the disk was waited for
	stuck atomic.Bool   // writes wait for stall
	stall chan struct{} // is closed when they may go on
}

func (f *badFile) WriteAt(p []byte, off int64) (int, error) {
	if f.stuck.Load() {
		<-f.stall
	}
	if over := off + int64(len(p)) - f.room.Load(); over > 0 {
		n, err := f.File.WriteAt(p[:max(0, int64(len(p))-over)], off)
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.WriteAt(p, off)
}

func (f *badFile) Sync() error {
	f.syncs.Add(1)
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func newBadFile(room int64) *badFile {
	f := &badFile{stall: make(chan struct{})}
	f.room.Store(room)
	return f
}

func (s *server) onto(bad *badFile) {
	record.WrapFiles(s.module, func(f record.File) record.File {
		bad.File = f
		return bad
	})
}

// witness looks at a file behind each write.
type witness struct {
	record.File
	look func()
}

func (w witness) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.File.WriteAt(p, off)
	w.look()
	return n, err
}

func TestAFileHasItsIndexFromTheFirstByteOfMediaOn(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	var with, without atomic.Int32
	record.WrapFiles(s.module, func(f record.File) record.File {
		return witness{f, func() {
			all, err := readPackets(io.NewSectionReader(f, 0, 1<<30))
			if err != nil {
				t.Errorf("behind a write: %v", err)
			}
			if !slices.ContainsFunc(all, func(p media.Packet) bool { return p.Key }) {
				without.Add(1)
				return
			}
			with.Add(1)
			if index, err := flv.ReadIndex(f); err != nil || len(index) < 2 {
				t.Errorf("with %d packets behind a write the index is %v, %v", len(all), index, err)
			}
		}}
	})
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(4 * time.Second).end()
	eventually(t, "it is finished", func() bool { return len(s.list(t, "?state=finished").Items) == 1 })
	if with.Load() < 2 || without.Load() != 1 {
		t.Errorf("behind %d writes there were key frames, behind %d none", with.Load(), without.Load())
	}
}

func TestAFullDiskFailsTheRecordingAndLeavesItPlayable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.onto(newBadFile(250_000))
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.until(8 * time.Second) // some 320 kB
	eventually(t, "the recording failed", func() bool { return s.list(t, "").Items[0].State == record.Failed })
	got := s.list(t, "?state=failed").Items[0]
	if !strings.Contains(got.Error, "no space left") || got.EndedAt == nil || got.Bytes > 250_000 || got.DurationMs < 2000 {
		t.Errorf("the list says %+v", got)
	}
	all := packets(t, s.file(f))
	plays(t, s.file(f))
	indexed(t, s.file(f), all)
	s.logs(t, "no space left")
	if s.streams.Find("live/test") == nil {
		t.Error("the stream ended with its recording")
	}
	s.stop()
	after := newServer(t, dir).list(t, "").Items
	if len(after) != 1 || after[0].State != record.Failed || after[0].Error != got.Error {
		t.Errorf("after the restart the list has %+v", after)
	}
}

func TestADiskThatIsFullAtOnceRefusesTheStart(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.onto(newBadFile(100))
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	before := tree(t, s.dir)
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusInsufficientStorage, "full")
	if items := s.list(t, "").Items; len(items) != 0 {
		t.Errorf("the list has %+v", items)
	}
	if after := tree(t, s.dir); strings.Contains(after, ".flv") {
		t.Errorf("the files were\n%sand are\n%s", before, after)
	}
	s.onto(newBadFile(1 << 30))
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	p.end()
}

func TestAnErrorAtTheEndIsNotSilent(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	bad := newBadFile(1 << 30)
	bad.sync = errors.New("input/output error")
	s.onto(bad)
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	if f := s.ask(t, http.MethodPost, "/flv/record/stop/live/test"); f.State != record.Failed || !strings.Contains(f.Error, "input/output error") {
		t.Errorf("stop answered %+v", f)
	}
}

func TestTheDiskIsWaitedForOnlyAtTheEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	disk := newBadFile(1 << 40)
	s.onto(disk)
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	for at := 3 * time.Second; at < 20*time.Second; at += 3 * time.Second {
		p.until(at)
		eventually(t, "it is written", func() bool {
			return s.ask(t, http.MethodGet, "/flv/record/status/live/test").DurationMs > (at - 2*time.Second).Milliseconds()
		})
	}
	if n := disk.syncs.Load(); n != 0 {
		t.Errorf("the disk was waited for %d times", n)
	}
	s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	if n := disk.syncs.Load(); n != 1 {
		t.Errorf("the disk was waited for %d times in all", n)
	}
}

func TestAStuckDiskHoldsUpNeitherThePublisherNorOthers(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	stuck := newBadFile(1 << 40)
	s.onto(stuck)
	p := s.publish(t, "live/stuck", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/stuck")
	stuck.stuck.Store(true)
	const size = 1 << 20
	var kept atomic.Int64 // bytes in memory
	for i := range 2*record.MaxQueue/size + 2 {
		at := time.Second + time.Duration(i)*40*time.Millisecond
		p.until(at)
		big := make([]byte, size)
		copy(big, []byte{0x17, 1, 0, 0, 0})
		kept.Add(size)
		runtime.AddCleanup(&big[0], func(n int64) { kept.Add(-n) }, size)
		if err := p.pub.Write(media.Packet{Kind: media.Video, Codec: media.H264, DTS: at, Key: true, Body: big, Payload: 5}); err != nil {
			t.Fatal(err)
		}
	}
	const most = record.MaxQueue + 4*size // the stream has its newest pictures
	eventually(t, "no more is kept than may wait", func() bool {
		runtime.GC()
		return kept.Load() <= most
	})
	good := newBadFile(1 << 40)
	s.onto(good)
	s.finished(t, "live/good", "h264_aac.flv", 2*time.Second)
	if now := s.ask(t, http.MethodGet, "/flv/record/status/live/stuck"); now.ID != f.ID || now.Gaps != 1 {
		t.Errorf("status says %+v", now)
	}
	stuck.stuck.Store(false)
	close(stuck.stall)
	at := time.Second + (2*record.MaxQueue/size+2)*40*time.Millisecond
	eventually(t, "the queue is empty", func() bool {
		at += time.Second
		p.until(at)
		now := s.ask(t, http.MethodGet, "/flv/record/status/live/stuck")
		return now.DurationMs > 4000
	})
	got := s.ask(t, http.MethodPost, "/flv/record/stop/live/stuck")
	if got.State != record.Finished || got.Gaps != 1 || got.LostMs <= 0 {
		t.Errorf("stop says %+v", got)
	}
	s.logs(t, "too slow for a recording")
	if _, err := readPackets(s.call(http.MethodGet, files+f.File).Body); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
}

func TestADiskThatNeverAnswersHoldsUpNeitherStopNorTheShutdown(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	ended := record.Impatient(s.module, 50*time.Millisecond)
	stuck := newBadFile(1 << 40)
	s.onto(stuck)
	p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	stuck.stuck.Store(true)
	p.until(3 * time.Second)
	refused(t, s.call(http.MethodPost, "/flv/record/stop/live/test"), http.StatusServiceUnavailable, "the disk does not answer")
	s.stop()
	s.logs(t, "left as they are")
	stuck.stuck.Store(false)
	close(stuck.stall)
	<-ended
	if got := packets(t, s.file(f)); len(got) == 0 {
		t.Error("the file is empty")
	}
}

// countingFile counts what a disk is asked to do.
type countingFile struct {
	record.File

	writes, syncs *atomic.Int64
}

func (f countingFile) WriteAt(p []byte, off int64) (int, error) {
	f.writes.Add(1)
	return f.File.WriteAt(p, off)
}

func (f countingFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// No packet waits until the disk has it for good. What is handed to the system
// comes in batches.
func TestTheDiskIsWaitedForOnlyWhenAFileEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		var writes, syncs atomic.Int64
		record.WrapFiles(s.module, func(f record.File) record.File { return countingFile{f, &writes, &syncs} })
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		s.ask(t, http.MethodPost, "/flv/record/start/live/test")
		const seconds = 60
		for at := range seconds {
			p.until(time.Duration(at+2) * time.Second)
			<-time.After(time.Second)
		}
		synctest.Wait()
		if w, n := writes.Load(), syncs.Load(); n != 0 || w > 6*seconds {
			t.Errorf("%d writes and %d times waited for the disk in %d s", w, n, seconds)
		}
		s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d times waited for the disk at the end", n)
		}
		s.stop()
	})
}

// brokenFile panics when it is written to a second time.
type brokenFile struct {
	record.File
	writes int
}

func (f *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.writes++; f.writes > 1 {
		panic("broken")
	}
	return f.File.WriteAt(p, off)
}

func TestAPanicCostsOneRecording(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	record.WrapFiles(s.module, func(f record.File) record.File { return &brokenFile{File: f} })
	s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	f := s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
	if f.State != record.Failed || !strings.Contains(f.Error, "internal error") {
		t.Errorf("stop answered %+v", f)
	}
	s.logs(t, `"err":"broken"`)
}
