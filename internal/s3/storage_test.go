package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/s3"
	"sluice/test/harness"
)

// noise returns bytes of which no two runs are alike.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func open(t *testing.T, s *harness.Storage) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(s3.Options{Endpoint: s.Endpoint, Bucket: "tests", AccessKeyFile: s.Access, SecretKeyFile: s.Secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// fetch gets what is at an address.
func fetch(t *testing.T, url string) (int, []byte) {
	t.Helper()
	answer, err := http.Get(url) //nolint:gosec // of the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return answer.StatusCode, b
}

func TestFilesOfAllSizesAreStoredVerifiedFetchedAndRemoved(t *testing.T) {
	storage := harness.S3(t)
	b := open(t, storage)
	for name, size := range map[string]int{
		"empty": 0, "live/a b/ü+%25.flv": 1, "small.flv": 70_001,
		"one part.flv": 16 << 20, "two parts.flv": 16<<20 + 1, "cam/parts.flv": 40<<20 + 17,
	} {
		want := noise(size)
		if err := b.Put(t.Context(), name, bytes.NewReader(want), int64(size)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := os.ReadFile(storage.File(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the storage has %d bytes of %d, %v", name, len(got), size, err)
		}
		url, err := b.Sign(t.Context(), http.MethodGet, name)
		if err != nil {
			t.Fatal(err)
		}
		if status, got := fetch(t, url); status != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("%s: %d with %d bytes of %d", name, status, len(got), size)
		}
		for range 2 { // there is nothing the second time
			if err := b.Remove(t.Context(), name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := os.Stat(storage.File(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there still: %v", name, err)
		}
	}
}

func TestObjectsAreListedPageByPageAndTheirHeadsRead(t *testing.T) {
	storage := harness.S3(t)
	b := open(t, storage)
	want := map[string]int64{}
	put := func(key string, size int) {
		t.Helper()
		if err := b.Put(t.Context(), key, bytes.NewReader(noise(size)), int64(size)); err != nil {
			t.Fatal(err)
		}
	}
	put("other/a.flv", 1)
	put("a/live/a b/ü+%25.flv", 70_001)
	want["a/live/a b/ü+%25.flv"] = 70_001
	const more = 1100 // a page has 1,000
	if err := os.MkdirAll(storage.File("a/many"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range more {
		key := fmt.Sprintf("a/many/%04d.flv", i)
		want[key] = 3
		if err := os.WriteFile(storage.File(key), []byte("FLV"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int64{}
	err := b.List(t.Context(), "a/", func(o s3.Object) error {
		got[o.Key] = o.Size
		if o.Modified.IsZero() {
			t.Errorf("%s has no time", o.Key)
		}
		return nil
	})
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("List() = %v (-want +got):\n%s", err, d)
	}
	enough := errors.New("enough")
	if err := b.List(t.Context(), "a/", func(s3.Object) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("List() = %v", err)
	}
	for _, n := range []int64{100, 70_001, 1 << 20} {
		head, err := b.Head(t.Context(), "a/live/a b/ü+%25.flv", n)
		if err != nil || !bytes.Equal(head, noise(70_001)[:min(n, 70_001)]) {
			t.Errorf("Head(%d) = %d bytes, %v", n, len(head), err)
		}
	}
	if _, err := b.Head(t.Context(), "a/none.flv", 1); !errors.Is(err, s3.ErrMissing) {
		t.Errorf("Head() = %v", err)
	}
	storage.Kill(t)
	if err := b.List(t.Context(), "a/", func(s3.Object) error { return nil }); err == nil {
		t.Error("a storage that is gone has a list")
	}
}
