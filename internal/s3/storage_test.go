package s3_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"

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
