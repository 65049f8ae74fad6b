package record_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
)

// rebuilt starts a server on the files of another one, whose catalogue was
// changed, and returns its list.
func rebuilt(t *testing.T, s *server, change func(catalog string)) (*server, []record.Facts) {
	t.Helper()
	s.stop()
	change(filepath.Join(s.dir, "rec.catalog"))
	again := newServer(t, s.dir)
	return again, again.list(t, "").Items
}

func TestACatalogueThatIsLostIsMadeAnewFromTheFiles(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(catalog string) error{
		"deleted": os.RemoveAll,
		"empty":   func(c string) error { return os.Truncate(filepath.Join(c, "catalog.db"), 0) },
		"cut off": func(c string) error { return os.Truncate(filepath.Join(c, "catalog.db"), 5000) },
		"alien": func(c string) error {
			return os.WriteFile(filepath.Join(c, "catalog.db"), []byte(strings.Repeat("alien", 9000)), 0o644)
		},
		"marked": func(c string) error { return os.WriteFile(filepath.Join(c, "damaged"), nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, t.TempDir())
			s.many(t, 5)
			before := s.list(t, "").Items
			again, after := rebuilt(t, s, func(c string) {
				if err := change(c); err != nil {
					t.Fatal(err)
				}
			})
			if len(after) != len(before) {
				t.Fatalf("the list has %+v", after)
			}
			for i, f := range after {
				b := before[i]
				if f.File != b.File || f.StreamPath != b.StreamPath || !f.StartedAt.Equal(b.StartedAt) || f.State != record.Finished ||
					f.DurationMs != b.DurationMs || f.Bytes != b.Bytes || f.EndedAt == nil {
					t.Errorf("%+v, want %+v", f, b)
				}
			}
			damaged := name != "deleted" && name != "empty"
			if aside, err := filepath.Glob(filepath.Join(s.dir, "rec.catalog", "damaged-*.db")); err != nil || (len(aside) == 1) != damaged {
				t.Errorf("kept aside are %v, %v", aside, err)
			}
			if w := again.call(http.MethodDelete, files+after[0].File); w.Code != http.StatusNoContent {
				t.Errorf("DELETE answered %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestAFileThatWasCutOffIsRecoveredWithoutACatalogue(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_aac.flv", 2*time.Second)
	_, after := rebuilt(t, s, func(c string) {
		if err := os.RemoveAll(c); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(s.file(f), f.Bytes-10); err != nil {
			t.Fatal(err)
		}
	})
	if len(after) != 1 || after[0].State != record.Recovered || after[0].Bytes >= f.Bytes-10 || after[0].StreamPath != "live/test" {
		t.Fatalf("the list has %+v", after)
	}
	plays(t, s.file(f))
}

func TestAScanTakesNoFileForARecordingThatIsNone(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/a+b", "h264_aac.flv", time.Second)
	rec := filepath.Join(s.dir, "rec")
	_, after := rebuilt(t, s, func(c string) {
		if err := os.RemoveAll(c); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"x.flv": "something else", "empty.flv": "", "notes.txt": "FLV"} {
			if err := os.WriteFile(filepath.Join(rec, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(s.file(f), filepath.Join(rec, "link.flv")); err != nil {
			t.Fatal(err)
		}
	})
	if len(after) != 1 || after[0].File != f.File {
		t.Errorf("the list has %+v", after)
	}
}

func TestTheCatalogueOfAnOlderVersionIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.many(t, 4)
	before := s.list(t, "").Items
	before[1].Error, before[1].State = "why", record.Failed
	again, after := rebuilt(t, s, func(c string) {
		if err := os.RemoveAll(c); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(c, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, f := range before {
			b, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			switch i {
			case 2:
				b = b[:len(b)/2] // the file tells what it says
			case 3:
				b = []byte(strings.Replace(string(b), `"file":"`, `"file":"../`, 1))
			}
			if err := os.WriteFile(filepath.Join(c, f.ID+".json"), append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(after) != 4 || after[1].Error != "why" || after[0].ID != before[0].ID || after[2].File != before[2].File {
		t.Errorf("the list has %+v", after)
	}
	if n := strings.Count(again.log.String(), "damaged entry"); n != 2 {
		t.Errorf("%d lines of the log tell of damage:\n%s", n, again.log)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "rec.catalog", "*.json")); err != nil || len(left) != 2 {
		t.Errorf("%v are left, %v", left, err)
	}
}
