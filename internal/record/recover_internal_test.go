package record

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/flv"
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
	whole, err := flv.AppendTag(flv.AppendHeader(nil, true, false), flv.TagAudio, 0, []byte{0x2f, 1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	cut := append(whole, "partial"...)
	facts, err := s.newFile(c, Facts{StreamPath: "live/test", StartedAt: time.Now()}, 1, func(f file, _ *Facts) error {
		if _, err := f.WriteAt(cut, 0); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	s.close()

	s = newStore(files, list, log)
	close(s.stop) // the server shuts down at once
	if c, err = s.open(false); err != nil {
		t.Fatal(err)
	}
	s.work.Wait()
	got, ok, err := c.byFile(facts.File)
	if err != nil || !ok || got.State != Recovered || !got.busy() || got.Bytes != int64(len(cut)) || got.EndedAt == nil {
		t.Errorf("while it is repaired the catalogue says %+v", got)
	}
	r := &recorder{store: s}
	if err := r.remove(t.Context(), facts.File); !strings.Contains(err.Error(), "being written") {
		t.Errorf("remove() = %v", err)
	}
	if all, err := c.db.read(sqlByFile, fold(facts.File)); err != nil || len(all) != 1 || all[0].State != Running {
		t.Errorf("the durable entry is %+v, %v", all, err)
	}
	c.close()

	s = newStore(files, list, log)
	if c, err = s.open(false); err != nil {
		t.Fatal(err)
	}
	s.work.Wait()
	if got, _, err = c.byFile(facts.File); err != nil || got.State != Recovered || got.busy() || got.Bytes != int64(len(whole)) {
		t.Errorf("after the repair the catalogue says %+v", got)
	}
	s.close()
}
