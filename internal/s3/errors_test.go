package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sluice/internal/s3"
)

// fake is a storage that answers as it is told.
type fake struct {
	header http.Header // of what it says that it holds
	status int         // of every PUT
	error  string      // its code
	cut    int64       // bytes that are lost on the way

	mu   sync.Mutex // guards all below
	size int64      // of what it holds; -1 is nothing
	sent int        // how often something was put
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		f.sent++
		_, _ = io.Copy(io.Discard, r.Body) // signed in chunks: longer than the file
		n, _ := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
		if f.error != "" {
			w.WriteHeader(f.status)
			_, _ = io.WriteString(w, "<Error><Code>"+f.error+"</Code><Message>No.</Message></Error>")
			return
		}
		f.size = n - f.cut
	case http.MethodHead:
		if f.size < 0 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for name := range f.header {
			w.Header().Set(name, f.header.Get(name))
		}
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", strconv.FormatInt(f.size, 10))
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// keys writes the files with the keys.
func keys(t *testing.T, access, secret string) (accessFile, secretFile string) {
	t.Helper()
	dir := t.TempDir()
	accessFile, secretFile = filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for name, text := range map[string]string{accessFile: access, secretFile: secret} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return accessFile, secretFile
}

// serve returns the bucket of a fake.
func serve(t *testing.T, f *fake) *s3.Bucket {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	access, secret := keys(t, "me", "mine")
	b, err := s3.Open(s3.Options{Endpoint: u, Region: "here", Bucket: "tests", AccessKeyFile: access, SecretKeyFile: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestOnlyWhatTheStorageSaysOfItselfCounts(t *testing.T) {
	t.Parallel()
	file := []byte("123456789")
	sum := md5.Sum(file)
	const crc = "4waSgw==" // the check value of CRC-32C
	for name, c := range map[string]struct {
		fake *fake
		says string // the error; empty is none
	}{
		"the same checksum":             {&fake{header: http.Header{"X-Amz-Checksum-Crc32c": {crc}}}, ""},
		"the ETag of S3":                {&fake{header: http.Header{"Etag": {`"` + hex.EncodeToString(sum[:]) + `"`}}}, ""},
		"another checksum":              {&fake{header: http.Header{"X-Amz-Checksum-Crc32c": {"AAAAAA=="}, "Etag": {`"` + hex.EncodeToString(sum[:]) + `"`}}}, "CRC-32C is AAAAAA=="},
		"another size":                  {&fake{header: http.Header{"X-Amz-Checksum-Crc32c": {crc}}, cut: 1}, "8 bytes instead of 9"},
		"an ETag of its own":            {&fake{header: http.Header{"Etag": {`"0815"`}}}, "ETag 0815"},
		"neither":                       {&fake{}, "no CRC-32C"},
		"a refusal":                     {&fake{status: http.StatusForbidden, error: "AccessDenied"}, "AccessDenied"},
		"a bucket that is not there":    {&fake{status: http.StatusNotFound, error: "NoSuchBucket"}, "NoSuchBucket"},
		"a storage that is overwhelmed": {&fake{status: http.StatusServiceUnavailable, error: "SlowDown"}, "SlowDown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.fake.size = -1
			err := serve(t, c.fake).Put(t.Context(), "a.flv", bytes.NewReader(file), int64(len(file)))
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("Put() = %v, want %q", err, c.says)
			}
			if isDiffers := c.says != "" && c.fake.error == ""; errors.Is(err, s3.ErrDiffers) != isDiffers {
				t.Errorf("Put() = %v, want ErrDiffers: %t", err, isDiffers)
			}
		})
	}
}

func TestWhatTheStorageHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	f := &fake{size: 9, header: http.Header{"X-Amz-Checksum-Crc32c": {"4waSgw=="}}}
	if err := serve(t, f).Put(t.Context(), "a.flv", strings.NewReader("123456789"), 9); err != nil || f.sent != 0 {
		t.Errorf("Put() = %v, %d were sent", err, f.sent)
	}
}

func TestAFileThatIsShorterThanItWasIsNotPut(t *testing.T) {
	t.Parallel()
	f := &fake{size: -1}
	err := serve(t, f).Put(t.Context(), "a.flv", strings.NewReader("1234"), 9)
	if !errors.Is(err, io.ErrUnexpectedEOF) || f.sent != 0 {
		t.Errorf("Put() = %v, %d were sent", err, f.sent)
	}
}

func TestAnUploadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if err := serve(t, &fake{size: -1}).Put(ctx, "a.flv", strings.NewReader("1"), 1); !errors.Is(err, enough) {
		t.Errorf("Put() = %v", err)
	}
}

func TestFilesWithoutAKeyAreRefused(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", " \n", "two\nlines"} {
		access, secret := keys(t, "me", secret)
		_, err := s3.Open(s3.Options{Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Bucket: "tests", AccessKeyFile: access, SecretKeyFile: secret})
		if !errors.Is(err, s3.ErrKeys) {
			t.Errorf("Open() = %v", err)
		}
	}
	_, err := s3.Open(s3.Options{Endpoint: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Bucket: "tests", AccessKeyFile: "/nowhere", SecretKeyFile: "/nowhere"})
	if !errors.Is(err, s3.ErrKeys) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open() = %v", err)
	}
}
