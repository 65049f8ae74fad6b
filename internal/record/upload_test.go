package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/record"
)

// memory is a bucket that keeps everything, or fails as it is told.
type memory struct {
	mu      sync.Mutex // guards all below
	objects map[string][]byte
	fail    error
	block   bool   // uploads and listings do not end by themselves
	broken  string // the key of an object that cannot be read
	puts    int
	lists   int
}

func (m *memory) Name() string { return "shelf" }

func (m *memory) Close() {}

func (m *memory) Put(ctx context.Context, key string, file io.ReaderAt, size int64) error {
	b, err := io.ReadAll(io.NewSectionReader(file, 0, size))
	if err != nil {
		return err
	}
	if err := m.goes(ctx, &m.puts); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = make(map[string][]byte)
	}
	m.objects[key] = b
	return nil
}

func (m *memory) Remove(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	delete(m.objects, key)
	return nil
}

func (m *memory) Sign(_ context.Context, method, key string) (string, error) {
	return "https://shelf.example/" + url.PathEscape(key) + "?for=" + method, nil
}

// goes counts a call and tells how it goes.
func (m *memory) goes(ctx context.Context, calls *int) error {
	m.mu.Lock()
	*calls++
	fail, block := m.fail, m.block
	m.mu.Unlock()
	if block {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return fail
}

// set tells how everything goes from now on.
func (m *memory) set(fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail, m.block = fail, false
}

func (m *memory) get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[key]
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.objects))
}

func (m *memory) tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts
}

// uploading is a server that uploads to b.
func uploading(t *testing.T, dir string, b record.Bucket, keep record.KeepLocal) *server {
	t.Helper()
	s, err := build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	record.UploadTo(s.module, b, record.S3Config{Prefix: "/studio/a/", KeepLocal: keep})
	s.run(t)
	return s
}

// made records two seconds of a stream and returns the recording and its file.
func (s *server) made(t *testing.T, path string) (record.Facts, []byte) {
	t.Helper()
	p := s.publish(t, path, "h264_aac.flv").until(500 * time.Millisecond)
	s.ask(t, http.MethodPost, "/flv/record/start/"+path)
	p.until(2 * time.Second)
	before, err := os.Open(s.file(s.ask(t, http.MethodGet, "/flv/record/status/"+path)))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close() // read after the end: it may be removed by then
	f := s.ask(t, http.MethodPost, "/flv/record/stop/"+path)
	b, err := io.ReadAll(before)
	if err != nil || int64(len(b)) != f.Bytes {
		t.Fatalf("the file has %d bytes of %d, %v", len(b), f.Bytes, err)
	}
	p.end()
	return f, b
}

// until waits for a state of an upload.
func (s *server) until(t *testing.T, f record.Facts, what string, is func(record.Remote) bool) record.Remote {
	t.Helper()
	var last record.Remote
	eventually(t, what, func() bool {
		for _, now := range s.list(t, "").Items {
			if now.ID == f.ID && now.Remote != nil {
				last = *now.Remote
				return is(last)
			}
		}
		return false
	})
	return last
}

func stored(r record.Remote) bool { return r.State == record.Stored }
func away(r record.Remote) bool   { return stored(r) && !r.Local }

func TestAFinishedRecordingIsUploadedAndItsFileStays(t *testing.T) {
	t.Parallel()
	shelf := &memory{}
	s := uploading(t, t.TempDir(), shelf, record.KeepLocal{ForGood: true})
	f, want := s.made(t, "live/test")
	r := s.until(t, f, "it is stored", stored)
	if r.Key != "studio/a/"+f.File || r.Bucket != "shelf" || !r.Local || r.StoredAt == nil || r.Error != "" || r.Attempts != 0 {
		t.Errorf("it is said to be at %+v", r)
	}
	if !bytes.Equal(shelf.get(r.Key), want) {
		t.Errorf("the object has %d bytes of %d", len(shelf.get(r.Key)), len(want))
	}
	if w := s.call(http.MethodGet, "/flv/record/files/"+f.File); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("the file is answered with %d", w.Code)
	}
	if w := s.call(http.MethodDelete, "/flv/record/files/"+f.File); w.Code != http.StatusNoContent || len(shelf.keys()) != 0 {
		t.Errorf("deleting: %d, there are %q", w.Code, shelf.keys())
	}
}

func TestAFileThatIsInTheStorageAloneIsRedirectedTo(t *testing.T) {
	t.Parallel()
	shelf := &memory{}
	s := uploading(t, t.TempDir(), shelf, record.KeepLocal{})
	f, want := s.made(t, "live/test")
	r := s.until(t, f, "it is away", away)
	if _, err := os.Stat(s.file(f)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if !bytes.Equal(shelf.get(r.Key), want) {
		t.Errorf("the object has %d bytes of %d", len(shelf.get(r.Key)), len(want))
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := s.call(method, "/flv/record/files/"+f.File)
		if to := w.Header().Get("Location"); w.Code != http.StatusTemporaryRedirect || to != "https://shelf.example/"+url.PathEscape(r.Key)+"?for="+method {
			t.Errorf("%s answers %d to %q", method, w.Code, to)
		}
	}
	for _, query := range []string{"start=1", "follow=true", "format=mp4"} {
		refused(t, s.call(http.MethodGet, "/flv/record/files/"+f.File+"?"+query), http.StatusConflict, "whole")
	}

	shelf.set(errors.New("no such luck"))
	refused(t, s.call(http.MethodDelete, "/flv/record/files/"+f.File), http.StatusBadGateway, "no such luck")
	if len(s.list(t, "").Items) != 1 {
		t.Error("it is in no list, though its object is there")
	}
	shelf.set(nil)
	if w := s.call(http.MethodDelete, "/flv/record/files/"+f.File); w.Code != http.StatusNoContent || len(shelf.keys()) != 0 {
		t.Errorf("deleting: %d, there are %q", w.Code, shelf.keys())
	}
	refused(t, s.call(http.MethodGet, "/flv/record/files/"+f.File), http.StatusNotFound, "no recording")
}

func TestAnUploadThatComesTooLateChangesNothing(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]record.KeepLocal{"kept": {ForGood: true}, "away": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shelf := &memory{}
			s := uploading(t, t.TempDir(), shelf, keep)
			f, _ := s.made(t, "live/test")
			before := s.until(t, f, "it is done", func(r record.Remote) bool { return stored(r) && r.Local == keep.ForGood })
			if err := record.UploadLate(t.Context(), s.module, f.File); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&before, s.list(t, "").Items[0].Remote); diff != "" {
				t.Errorf("the recording (-before +after):\n%s", diff)
			}
			shelf.mu.Lock()
			defer shelf.mu.Unlock()
			if shelf.puts != 1 {
				t.Errorf("it was uploaded %d times", shelf.puts)
			}
		})
	}
}

func TestAFileOfStorageThatIsNotConfiguredAnyMoreIsNotForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := uploading(t, dir, &memory{}, record.KeepLocal{})
	f, _ := s.made(t, "live/test")
	s.until(t, f, "it is away", away)
	s.stop()

	s = newServer(t, dir)
	if items := s.list(t, "").Items; len(items) != 1 || items[0].Remote == nil || !away(*items[0].Remote) {
		t.Errorf("the list is %+v", items)
	}
	refused(t, s.call(http.MethodGet, "/flv/record/files/"+f.File), http.StatusConflict, "record.s3")
	refused(t, s.call(http.MethodDelete, "/flv/record/files/"+f.File), http.StatusConflict, "record.s3")
}

func TestAFileStaysForAsLongAsItShould(t *testing.T) {
	t.Parallel()
	shelf := &memory{}
	s := uploading(t, t.TempDir(), shelf, record.KeepLocal{For: 2 * time.Second})
	f, want := s.made(t, "live/test")
	if r := s.until(t, f, "it is stored", stored); !r.Local {
		t.Error("the file is gone at once")
	}
	shelf.mu.Lock()
	shelf.objects = nil // as if somebody had emptied the bucket
	shelf.mu.Unlock()
	r := s.until(t, f, "it is away", away)
	if !bytes.Equal(shelf.get(r.Key), want) {
		t.Error("the file was removed without another look at the storage")
	}
}

func TestAStorageThatFailsIsTriedAgainAndDisturbsNobody(t *testing.T) {
	t.Parallel()
	shelf := &memory{fail: errors.New("AccessDenied: the key is wrong " + strings.Repeat("x", 400))}
	s := uploading(t, t.TempDir(), shelf, record.KeepLocal{})
	f, _ := s.made(t, "live/one")
	r := s.until(t, f, "an attempt has failed", func(r record.Remote) bool { return r.Attempts > 0 })
	if r.State != record.Waiting || r.NextAt == nil || !r.Local || !strings.HasPrefix(r.Error, "AccessDenied: the key is wrong") || len(r.Error) > 320 {
		t.Errorf("it is said to be at %+v", r)
	}
	s.logs(t, "could not upload a recording")
	other, _ := s.made(t, "live/two")
	if other.State != record.Finished || other.Error != "" {
		t.Errorf("a recording meanwhile: %+v", other)
	}
	if w := s.call(http.MethodGet, "/flv/record/files/"+f.File); w.Code != http.StatusOK {
		t.Errorf("the file is answered with %d", w.Code)
	}
	shelf.set(nil)
	for _, f := range []record.Facts{f, other} {
		if r := s.until(t, f, "it is away", away); r.Error != "" || r.Attempts != 0 || r.NextAt != nil {
			t.Errorf("it is said to be at %+v", r)
		}
	}
}

func TestARecordingIsDeletedInTheMiddleOfItsUpload(t *testing.T) {
	t.Parallel()
	shelf := &memory{block: true}
	s := uploading(t, t.TempDir(), shelf, record.KeepLocal{})
	f, _ := s.made(t, "live/test")
	s.until(t, f, "it is being uploaded", func(r record.Remote) bool { return r.State == record.Uploading })
	if w := s.call(http.MethodDelete, "/flv/record/files/"+f.File); w.Code != http.StatusNoContent {
		t.Errorf("deleting: %d %s", w.Code, w.Body)
	}
	shelf.set(nil)
	other, _ := s.made(t, "live/other")
	s.until(t, other, "the next is away", away)
	if d := cmp.Diff([]string{"studio/a/" + other.File}, shelf.keys()); d != "" {
		t.Errorf("the storage has (-want +got):\n%s", d)
	}
}

func TestAnUploadThatTheEndOfTheServerCutsOffBeginsAgain(t *testing.T) {
	t.Parallel()
	dir, shelf := t.TempDir(), &memory{block: true}
	s := uploading(t, dir, shelf, record.KeepLocal{})
	f, want := s.made(t, "live/test")
	eventually(t, "it is being uploaded", func() bool { return shelf.tries() == 1 })
	s.stop()

	shelf.set(nil)
	s = uploading(t, dir, shelf, record.KeepLocal{})
	if r := s.until(t, f, "it is away", away); r.Attempts != 0 || !bytes.Equal(shelf.get(r.Key), want) {
		t.Errorf("it is said to be at %+v", r)
	}
}

func TestARecoveredRecordingIsUploadedToo(t *testing.T) {
	t.Parallel()
	dir, shelf := t.TempDir(), &memory{}
	kill(t, dir, 2*time.Second)
	s := uploading(t, dir, shelf, record.KeepLocal{})
	items := s.list(t, "").Items
	if len(items) != 1 || items[0].State != record.Recovered {
		t.Fatalf("the list is %+v", items)
	}
	r := s.until(t, items[0], "it is away", away)
	if got := int64(len(shelf.get(r.Key))); got != s.list(t, "").Items[0].Bytes {
		t.Errorf("the storage has %d bytes of %+v", got, items[0])
	}
}

func TestAMistakeInTheStorageIsNamed(t *testing.T) {
	t.Parallel()
	good := record.S3Config{Endpoint: "https://s3.example", Bucket: "b", AccessKeyFile: "a", SecretKeyFile: "s"}
	for says, change := range map[string]func(*record.S3Config){
		"":                           func(*record.S3Config) {},
		"s3.endpoint: must be":       func(c *record.S3Config) { c.Endpoint = "s3.example:443" },
		"s3.endpoint: must be https": func(c *record.S3Config) { c.Endpoint = "https://user:word@s3.example" },
		"s3.endpoint: needed":        func(c *record.S3Config) { c.Endpoint = "" },
		"s3.bucket: needed":          func(c *record.S3Config) { c.Bucket = "" },
		"s3.access_key_file: needed": func(c *record.S3Config) { c.AccessKeyFile = "" },
		"s3.secret_key_file: needed": func(c *record.S3Config) { c.SecretKeyFile = "" },
		"s3.prefix:":                 func(c *record.S3Config) { c.Prefix = "a//b" },
	} {
		cfg := record.Default()
		cfg.S3 = good
		change(&cfg.S3)
		err := cfg.Validate()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
	for text, want := range map[string]record.KeepLocal{
		"true": {ForGood: true}, "False": {}, "0": {}, "36h": {For: 36 * time.Hour},
	} {
		var k record.KeepLocal
		if err := k.UnmarshalText([]byte(text)); err != nil || k != want {
			t.Errorf("%s is %+v, %v", text, k, err)
		}
	}
	var k record.KeepLocal
	if err := k.UnmarshalText([]byte("maybe")); err == nil {
		t.Error("maybe is something")
	}
}

func TestWhatIsNotToBeKeptStaysInTheStorage(t *testing.T) {
	t.Parallel()
	shelf := &memory{}
	s, err := build(t.Context(), t.TempDir(), func(c *record.Config) { c.Retain.PerStream = 1 })
	if err != nil {
		t.Fatal(err)
	}
	record.UploadTo(s.module, shelf, record.S3Config{KeepLocal: record.KeepLocal{ForGood: true}})
	s.run(t)
	old, want := s.made(t, "live/test")
	s.until(t, old, "the older one is stored", stored)
	newer, _ := s.made(t, "live/test")
	r := s.until(t, old, "the older one is away", away)
	if !bytes.Equal(shelf.get(r.Key), want) {
		t.Error("the storage does not have it")
	}
	if r := s.until(t, newer, "the newer one is stored", stored); !r.Local {
		t.Error("the newer one is away, too")
	}
}
