package record

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A repair can take minutes. Whoever looks meanwhile, or after it was cut
// short, must see the truth.
func TestARepairThatIsCutShortIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, list := filepath.Join(dir, "rec"), filepath.Join(dir, "rec.catalog")
	log := slog.New(slog.DiscardHandler)
	s := newStore(files, list, log)
	c, err := s.open(true)
	if err != nil {
		t.Fatal(err)
	}
	f, facts, err := s.newFile(c, Facts{StreamPath: "live/test", StartedAt: time.Now()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00partial"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.close()

	s = newStore(files, list, log)
	close(s.stop) // the server shuts down at once
	if c, err = s.open(false); err != nil {
		t.Fatal(err)
	}
	s.work.Wait()
	got, ok := c.byFile(facts.File)
	if !ok || got.State != Recovered || !got.busy() || got.Bytes != 20 || got.EndedAt == nil {
		t.Errorf("while it is repaired the catalogue says %+v", got)
	}
	r := &recorder{store: s}
	if err := r.remove(t.Context(), facts.File); !strings.Contains(err.Error(), "being written") {
		t.Errorf("remove() = %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(list, facts.ID+entrySuffix)); err != nil || !strings.Contains(string(b), `"state":"recording"`) {
		t.Errorf("the durable entry is %s, %v", b, err)
	}
	c.close()

	s = newStore(files, list, log)
	if c, err = s.open(false); err != nil {
		t.Fatal(err)
	}
	s.work.Wait()
	if got, _ = c.byFile(facts.File); got.State != Recovered || got.busy() || got.Bytes != 13 {
		t.Errorf("after the repair the catalogue says %+v", got)
	}
	s.close()
}

func TestTheCatalogueIsWrittenEvenIfTheDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	c, err := openCatalog(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	now := instant(time.Now())
	f := Facts{ID: newID(now), StreamPath: "live/test", State: Running, File: fileName("live/test", now, 0), StartedAt: now}
	if err := c.add(f); err != nil {
		t.Fatal(err)
	}
	// A folder in the place of the temporary file stands for a disk that has
	// no room for it.
	if err := os.MkdirAll(filepath.Join(dir, f.ID+entryTemp, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, f.ID+entrySuffix))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	f.end(Failed, now, errors.New("the disk is full"))
	if err := c.update(f); err != nil {
		t.Errorf("update() = %v", err)
	}
	if after := size(); after != before {
		t.Errorf("the entry has %d bytes, it had %d", after, before)
	}
	c.close()
	if c, err = openCatalog(dir, log); err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if got, ok := c.byFile(f.File); !ok || got.State != Failed || got.Error != "the disk is full" {
		t.Errorf("the catalogue says %+v", got)
	}
}
