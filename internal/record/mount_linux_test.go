package record_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
