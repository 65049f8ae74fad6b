package record_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/conf"
	"sluice/internal/record"
)

// mounted puts a small disk of its own where the recordings lie.
func mounted(t *testing.T, dir, size string) {
	t.Helper()
	at := filepath.Join(dir, "rec")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestARealDiskThatIsFullEndsTheRecordingAlone(t *testing.T) {
	t.Parallel()
	for name, least := range map[string]record.MinFree{"to the last byte": {}, "with room left": {Size: 128 * conf.KiB}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mounted(t, dir, "400k")
			s, err := build(t.Context(), dir, func(c *record.Config) { c.MinFree = least })
			if err != nil {
				t.Fatal(err)
			}
			s.run(t)
			p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
			f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
			at := time.Second
			eventually(t, "it failed", func() bool {
				at = min(at+100*time.Millisecond, 60*time.Second)
				p.until(at)
				return len(s.list(t, "?state=failed").Items) == 1
			})
			got := s.list(t, "").Items[0]
			if !strings.Contains(got.Error, "no space left") && !strings.Contains(got.Error, "min_free") {
				t.Errorf("the list has %+v", got)
			}
			plays(t, s.file(f))
			if s.streams.Find("live/test") == nil {
				t.Error("the stream ended with its recording")
			}
		})
	}
}

// fill takes the room on a disk but for what is to be left, until empty.
func fill(t *testing.T, dir string, left int64) (empty func()) {
	t.Helper()
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	err := os.WriteFile(ballast, make([]byte, int64(disk.Bavail)*disk.Bsize-left), 0o600) //nolint:gosec // it is small
	if err != nil && !errors.Is(err, unix.ENOSPC) {                                       // a recording may have had its part
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Error(err)
		}
	}
}

// readOnly makes a folder one that cannot be written, for files that are not
// open yet.
func readOnly(t *testing.T, dir string) (end func()) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return end
}

func TestTroubleWithARealDiskIsNotNoticedByViewers(t *testing.T) {
	t.Parallel()
	for name, tr := range map[string]trouble{
		"full to the last byte": {
			change: func(c *record.Config) { c.MinFree = record.MinFree{} },
			begin:  func(t *testing.T, rec string) func() { t.Helper(); return fill(t, rec, 64<<10) },
			says:   "no space left",
		},
		"less room than is to be left": {
			change: func(c *record.Config) { c.MinFree = record.MinFree{Size: conf.MiB} },
			begin:  func(t *testing.T, rec string) func() { t.Helper(); return fill(t, rec, 512<<10) },
			says:   "min_free",
		},
		"read-only from the next segment on": {
			change: func(c *record.Config) { c.Segment.Duration = conf.Duration(2 * time.Second) },
			begin:  readOnly, says: "read-only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr.disk = func(t *testing.T, dir string) {
				t.Helper()
				mounted(t, dir, "8m")
			}
			tr.passes(t)
		})
	}
}

func TestAReadOnlyDiskRefusesTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mounted(t, dir, "1m")
	if err := unix.Mount("", filepath.Join(dir, "rec"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, dir)
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusInternalServerError, "read-only")
	if items := s.list(t, "").Items; len(items) != 0 {
		t.Errorf("the list has %+v", items)
	}
}
