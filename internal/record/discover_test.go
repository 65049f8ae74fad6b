package record_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/internal/record"
	"sluice/internal/s3"
)

// put makes an object that no server has put there.
func (m *memory) put(key string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = make(map[string][]byte)
	}
	m.objects[key] = content
}

// List implements [record.Bucket].
func (m *memory) List(ctx context.Context, prefix string, found func(s3.Object) error) error {
	if err := m.goes(ctx, &m.lists); err != nil {
		return err
	}
	keys := m.keys()
	slices.Sort(keys)
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		o := s3.Object{Key: key, Size: int64(len(m.get(key))), Modified: time.Now()}
		if err := found(o); err != nil {
			return err
		}
	}
	return nil
}

// Head implements [record.Bucket].
func (m *memory) Head(_ context.Context, key string, n int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == key {
		return nil, errors.New("InvalidObjectState: it is in the archive")
	}
	b, ok := m.objects[key]
	if !ok {
		return nil, s3.ErrMissing
	}
	return b[:min(int64(len(b)), n)], nil
}

// asked returns how often the storage was listed.
func (m *memory) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lists
}

// forgets stops a server and removes its catalogue.
func (s *server) forgets(t *testing.T) {
	t.Helper()
	s.stop()
	if err := os.RemoveAll(filepath.Join(s.dir, "rec.catalog")); err != nil {
		t.Fatal(err)
	}
}

// listed waits until the list has that many recordings, and returns them.
func (s *server) listed(t *testing.T, n int) (items []record.Facts) {
	t.Helper()
	eventually(t, "the recordings of the storage are listed", func() bool {
		items = s.list(t, "").Items
		return len(items) == n
	})
	return items
}

func TestWhatOnlyTheStorageHasIsListedAgainAfterTheCatalogueIsLost(t *testing.T) {
	t.Parallel()
	shelf, dir := &memory{}, t.TempDir()
	s := uploading(t, dir, shelf, record.KeepLocal{})
	f, want := s.made(t, "live/a+b")
	s.until(t, f, "it is away", away)
	s.forgets(t)
	if err := os.RemoveAll(filepath.Join(dir, "rec")); err != nil { // as on a new disk
		t.Fatal(err)
	}

	s = uploading(t, dir, shelf, record.KeepLocal{})
	got := s.listed(t, 1)[0]
	end := f.StartedAt.Add(time.Duration(f.DurationMs) * time.Millisecond)
	f.ID, f.EndedAt = got.ID, &end
	f.Remote = &record.Remote{State: record.Stored, Bucket: "shelf", Key: "studio/a/" + f.File, StoredAt: got.Remote.StoredAt}
	if d := cmp.Diff(f, got, cmpopts.IgnoreUnexported(record.Facts{})); d != "" {
		t.Errorf("the list (-want +got):\n%s", d)
	}
	if items := s.list(t, "?stream=live/a%2Bb&state=finished").Items; len(items) != 1 {
		t.Errorf("of its stream are listed %+v", items)
	}
	file := "/flv/record/files/" + f.File
	if w := s.call(http.MethodGet, file); w.Code != http.StatusTemporaryRedirect {
		t.Errorf("its file is answered with %d %s", w.Code, w.Body)
	}
	s.logs(t, "found recordings in the storage")
	s.stop()

	before := shelf.asked()
	s = uploading(t, dir, shelf, record.KeepLocal{})
	next, _ := s.made(t, "live/next")
	s.until(t, next, "the next is away", away)
	if after := shelf.asked(); after != before {
		t.Errorf("with a catalogue that is whole, the storage is listed %d times", after-before)
	}
	if w := s.call(http.MethodDelete, file); w.Code != http.StatusNoContent || shelf.get("studio/a/"+f.File) != nil || len(want) == 0 {
		t.Errorf("deleting it is answered with %d", w.Code)
	}
}

func TestOnlyRecordingsOfTheFolderAreTakenFromTheStorage(t *testing.T) {
	t.Parallel()
	shelf, dir := &memory{}, t.TempDir()
	s := uploading(t, dir, shelf, record.KeepLocal{})
	f, b := s.made(t, "live/test")
	s.until(t, f, "it is away", away)
	kept, _ := s.made(t, "live/kept")
	s.until(t, kept, "it is away, too", away)
	local := shelf.get("studio/a/" + kept.File)
	s.forgets(t)
	if err := os.MkdirAll(filepath.Dir(s.file(kept)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file(kept), local, 0o644); err != nil { // it is on the disk as well
		t.Fatal(err)
	}
	foreign, err := os.ReadFile("../../testdata/media/h264_aac.flv")
	if err != nil {
		t.Fatal(err)
	}
	for key, content := range map[string][]byte{
		"studio/a/old/cam/20060102T150405.000Z.flv": foreign, // it says nothing of where it is from
		"studio/a/../../etc/x.flv":                  b,
		"studio/a/../x.flv":                         b,
		"studio/a//etc/x.flv":                       b,
		"studio/a/live//x.flv":                      b,
		"studio/a/live/./x.flv":                     b,
		"studio/a/live/../x.flv":                    b,
		"studio/a/live/bad\xff.flv":                 b,
		"studio/a/.flv/":                            b,
		"studio/a/notes.txt":                        b,
		"studio/a/page.flv":                         []byte("<html>something else</html>"),
		"studio/a/empty.flv":                        nil,
		"studio/ab/other.flv":                       b,
		"other.flv":                                 b,
	} {
		shelf.put(key, content)
	}

	s = uploading(t, dir, shelf, record.KeepLocal{ForGood: true})
	items := s.listed(t, 3)
	eventually(t, "all has been looked through", func() bool { return strings.Contains(s.log.String(), "found recordings in the storage") })
	got := map[string]string{}
	for _, f := range s.list(t, "").Items {
		got[f.File] = f.StreamPath
	}
	want := map[string]string{f.File: "live/test", kept.File: "live/kept", "old/cam/20060102T150405.000Z.flv": "old/cam"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the list (-want +got):\n%s", d)
	}
	for _, f := range items {
		if f.File == kept.File && f.Remote != nil && !f.Remote.Local {
			t.Error("what is on the disk is said not to be")
		}
		if f.StreamPath == "old/cam" && (f.Bytes != int64(len(foreign)) || f.StartedAt.Year() != 2006 || f.DurationMs == 0) {
			t.Errorf("of a file that somebody else wrote is listed %+v", f)
		}
	}
}

func TestAStorageThatCannotBeListedIsAskedAgainAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	shelf, dir := &memory{}, t.TempDir()
	s := uploading(t, dir, shelf, record.KeepLocal{})
	var made []record.Facts
	for _, path := range []string{"live/one", "live/two"} {
		f, _ := s.made(t, path)
		s.until(t, f, "it is away", away)
		made = append(made, f)
	}
	s.forgets(t)

	shelf.mu.Lock()
	shelf.block = true
	shelf.mu.Unlock()
	s = uploading(t, dir, shelf, record.KeepLocal{ForGood: true})
	eventually(t, "the storage is asked", func() bool { return shelf.asked() > 0 })
	f, _ := s.made(t, "live/meanwhile")
	if items := s.list(t, "").Items; len(items) != 1 || f.State != record.Finished {
		t.Errorf("the list is %+v", items)
	}
	s.stop() // the next start goes on

	shelf.set(errors.New("AccessDenied: the key is wrong"))
	s = uploading(t, dir, shelf, record.KeepLocal{ForGood: true})
	before := shelf.asked()
	eventually(t, "it is asked again", func() bool { return shelf.asked() >= before+2 })
	if n := strings.Count(s.log.String(), "could not look for recordings in the storage"); n != 1 {
		t.Errorf("the log tells %d times", n)
	}

	shelf.mu.Lock()
	shelf.fail, shelf.broken = nil, "studio/a/"+made[0].File
	shelf.mu.Unlock()
	s.listed(t, 2) // one object that cannot be read is not in the way of others
	shelf.mu.Lock()
	shelf.broken = ""
	shelf.mu.Unlock()
	s.listed(t, 3)
}
