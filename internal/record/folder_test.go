package record_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/conf"
	"sluice/internal/record"
)

func TestNothingIsMadeBeforeTheFirstRecording(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	if l := s.list(t, ""); len(l.Items) != 0 || l.Next != "" {
		t.Errorf("the list is %+v", l)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("ReadDir() = %v, %v", left, err)
	}
}

func TestAFolderThatCannotBeUsedCostsTheRecordingsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rec"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, dir)
	s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	refused(t, s.call(http.MethodPost, "/flv/record/start/live/test"), http.StatusInternalServerError, "making the folder")
	if err := os.Remove(filepath.Join(dir, "rec")); err != nil {
		t.Fatal(err)
	}
	s.ask(t, http.MethodPost, "/flv/record/start/live/test")
}

func TestTwoProcessesDoNotShareACatalogue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newServer(t, dir)
	first.publish(t, "live/test", "h264_aac.flv").until(time.Second)
	f := first.ask(t, http.MethodPost, "/flv/record/start/live/test")
	second := newServer(t, dir)
	if !strings.Contains(second.log.String(), "in use by another process") {
		t.Errorf("the log says\n%s", second.log)
	}
	refused(t, second.call(http.MethodGet, "/flv/record/list"), http.StatusInternalServerError, "in use by another process")
	if now := first.ask(t, http.MethodGet, "/flv/record/status/live/test"); now.ID != f.ID || now.State != record.Running {
		t.Errorf("the recording is %+v now", now)
	}
}

// The room for the index is a part of each file's size.
func TestASegmentIsLargerThanWhatAFileBeginsWith(t *testing.T) {
	t.Parallel()
	for size, ok := range map[conf.Size]bool{0: true, 64 * conf.KiB: false, 100 * conf.KiB: false, conf.MiB: true} {
		cfg := record.Default()
		cfg.Segment.Size = size
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("size %v: Validate() = %v", size, err)
		}
	}
}

func TestTheCatalogueMustLieOutsideTheFolder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cfg record.Config
		ok  bool
	}{
		{record.Default(), true},
		{record.Config{Dir: "rec/"}, true},
		{record.Config{Dir: "."}, true},
		{record.Config{Dir: "rec", Catalog: "rec.catalog"}, true},
		{record.Config{Dir: "a/rec", Catalog: "a"}, true},
		{record.Config{}, false},
		{record.Config{Dir: "rec", Catalog: "rec"}, false},
		{record.Config{Dir: "rec", Catalog: "rec/catalog"}, false},
		{record.Config{Dir: "rec", Catalog: "x/../rec/..catalog"}, false},
		{record.Config{Dir: "/"}, false},
	} {
		tc.cfg.Name = record.Default().Name
		if err := tc.cfg.Validate(); (err == nil) != tc.ok {
			t.Errorf("%+v: Validate() = %v", tc.cfg, err)
		}
	}
}
