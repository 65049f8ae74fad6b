package record_test

import (
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/internal/conf"
	"sluice/internal/record"
)

// startIn runs a server in a folder that another one may have left.
func startIn(t *testing.T, dir string, change ...func(*record.Config)) *server {
	t.Helper()
	s, err := build(t.Context(), dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	s.run(t)
	return s
}

// Each limit deletes what it has to of what an earlier run left, with its
// files, and nothing that runs.
func TestEachLimitDeletesTheOldestOfEarlierRuns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit func(r *record.RetainConfig, size int64)
		kept  []int // of the recordings 0 to 4, of which the last is of another stream
	}{
		"none":       {func(*record.RetainConfig, int64) {}, []int{0, 1, 2, 3, 4}},
		"age":        {func(r *record.RetainConfig, _ int64) { r.Age = conf.Duration(time.Millisecond) }, nil},
		"young":      {func(r *record.RetainConfig, _ int64) { r.Age = conf.Duration(time.Hour) }, []int{0, 1, 2, 3, 4}},
		"bytes":      {func(r *record.RetainConfig, size int64) { r.Bytes = conf.Size(size*3 + size/2) }, []int{2, 3, 4}},
		"room":       {func(r *record.RetainConfig, size int64) { r.Bytes = conf.Size(size * 6) }, []int{0, 1, 2, 3, 4}},
		"per stream": {func(r *record.RetainConfig, _ int64) { r.PerStream = 3 }, []int{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first := newServer(t, dir)
			var all []record.Facts
			for _, path := range []string{"a", "a", "a", "a", "b"} {
				all = append(all, first.finished(t, path, "h264_aac.flv", 2*time.Second))
			}
			first.stop()

			s := startIn(t, dir, func(c *record.Config) { tc.limit(&c.Retain, all[0].Bytes) })
			eventually(t, "it is as it should be", func() bool { return len(s.list(t, "").Items) == len(tc.kept) })
			for i, f := range all {
				_, err := os.Stat(s.file(f))
				if slices.Contains(tc.kept, i) != (err == nil) {
					t.Errorf("recording %d: %v", i, err)
				}
			}
		})
	}
}

// What somebody removed by hand takes no room, and costs nobody else theirs.
func TestFilesThatWereTakenAwayDoNotCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newServer(t, dir)
	var all []record.Facts
	for range 4 {
		all = append(all, first.finished(t, "a", "h264_aac.flv", 2*time.Second))
	}
	first.stop()
	for _, f := range all[2:] {
		if err := os.Remove(first.file(f)); err != nil {
			t.Fatal(err)
		}
	}
	s := startIn(t, dir, func(c *record.Config) {
		c.Retain = record.RetainConfig{Bytes: conf.Size(all[0].Bytes * 5 / 2), PerStream: 2}
	})
	third := s.finished(t, "a", "h264_aac.flv", 2*time.Second)
	eventually(t, "the oldest one goes", func() bool { return len(s.list(t, "").Items) == 2 })
	for i, f := range []record.Facts{all[0], all[1], third} {
		if _, err := os.Stat(s.file(f)); (err == nil) != (i > 0) {
			t.Errorf("recording %d: %v", i, err)
		}
	}
}

func TestWhatRunsIsNeverDeleted(t *testing.T) {
	t.Parallel()
	s := configured(t, func(c *record.Config) {
		c.Retain = record.RetainConfig{Age: conf.Duration(time.Millisecond), Bytes: 1, PerStream: 1}
	})
	p := s.publish(t, "live/test", "h264_aac.flv").until(2 * time.Second)
	running := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	other := s.finished(t, "live/other", "h264_aac.flv", 2*time.Second)
	eventually(t, "the one that has ended is deleted", func() bool {
		_, err := os.Stat(s.file(other))
		return err != nil
	})
	p.until(4 * time.Second)
	if items := s.list(t, "").Items; len(items) != 1 || items[0].ID != running.ID || items[0].EndedAt != nil {
		t.Errorf("the list has %+v", items)
	}
}

// The number of a segment begins anew with each recording, so that names come
// again after a restart: none is written over.
func TestNamesThatComeAgainAfterARestartGetANumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	numbered := func(c *record.Config) {
		c.Name, c.Segment.Duration = "{name}-{seq}.flv", conf.Duration(2*time.Second)
	}
	files := map[string][]byte{}
	for round := range 3 {
		s := startIn(t, dir, numbered)
		p := s.publish(t, "live/test", "h264_aac.flv").until(time.Second)
		s.ask(t, http.MethodPost, "/flv/record/start/live/test")
		p.until(5 * time.Second)
		s.ask(t, http.MethodPost, "/flv/record/stop/live/test")
		items := s.list(t, "").Items
		if len(items) <= len(files) {
			t.Fatalf("round %d: the list has %+v", round, items)
		}
		for _, f := range items {
			b, err := os.ReadFile(s.file(f))
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := files[f.File]; ok && string(old) != string(b) {
				t.Errorf("round %d: %s is not as it was", round, f.File)
			}
			files[f.File] = b
		}
		s.stop()
	}
	for _, name := range []string{"test-0001.flv", "test-0002.flv", "test-0001-2.flv", "test-0001-3.flv"} {
		if files[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}
