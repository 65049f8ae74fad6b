package harness

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"sluice/internal/flvtest"
)

// The keys of the storage that [S3] runs.
const (
	S3Access = "sluice-tests"
	S3Secret = "not-a-secret-key"
)

// Storage is a real S3-compatible server on this machine with a bucket
// "tests", which it keeps in a folder: objects are files.
type Storage struct {
	*Process

	Endpoint           *url.URL
	Access, Secret     string // files with the keys
	tb                 testing.TB
	root, meta, binary string
}

// S3 runs versitygw, which it builds when it is not there.
func S3(tb testing.TB) *Storage {
	tb.Helper()
	dir := tb.TempDir()
	s := &Storage{
		tb: tb, root: filepath.Join(dir, "data"), meta: filepath.Join(dir, "meta"), binary: versitygw(tb),
		Endpoint: &url.URL{Scheme: "http", Host: FreePort(tb)},
		Access:   filepath.Join(dir, "access"), Secret: filepath.Join(dir, "secret"),
	}
	for _, folder := range []string{s.File(""), s.meta} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for name, key := range map[string]string{s.Access: S3Access, s.Secret: S3Secret} {
		if err := os.WriteFile(name, []byte(key+"\n"), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	s.Start()
	return s
}

// Start runs the server, again where it was stopped before.
func (s *Storage) Start() {
	s.tb.Helper()
	env := []string{"ROOT_ACCESS_KEY=" + S3Access, "ROOT_SECRET_KEY=" + S3Secret}
	s.Process = Run(s.tb, s.root, env, s.binary, "--port", s.Endpoint.Host, "posix", "--sidecar", s.meta, s.root)
	Eventually(s.tb, "the storage listens", func() bool { return listens(s.tb, s.Endpoint.Host) })
}

// File returns where the storage keeps an object of its bucket.
func (s *Storage) File(key string) string {
	return filepath.Join(s.root, "tests", filepath.FromSlash(key))
}

// versitygw returns the program, which is built on first use: that takes as
// long as all else, so that only those wait for it who need it.
func versitygw(tb testing.TB) string {
	tb.Helper()
	root := flvtest.Root(tb)
	bin, module := filepath.Join(root, "tools", "bin", "versitygw"), filepath.Join(root, "tools", "s3")
	if newer(bin, filepath.Join(module, "go.mod")) {
		return bin
	}
	temp := fmt.Sprintf("%s.%d", bin, os.Getpid())
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", temp, "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building versitygw: %v\n%s", err, out)
	}
	if err := os.Rename(temp, bin); err != nil {
		tb.Fatal(err)
	}
	return bin
}

// newer tells whether a file is there and not older than another.
func newer(file, than string) bool {
	a, err := os.Stat(file)
	if err != nil {
		return false
	}
	b, err := os.Stat(than)
	return err == nil && !a.ModTime().Before(b.ModTime())
}

// Kill ends the server as no program can prepare for.
func (s *Storage) Kill(tb testing.TB) {
	tb.Helper()
	s.Signal(tb, syscall.SIGKILL)
	s.Wait(tb)
}
