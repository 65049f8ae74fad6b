//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package record

import (
	"log/slog"
	"syscall"
	"testing"
)

func TestAClosedCatalogueIsFreeThoughAChildStillHoldsItsLockFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	c, err := openCatalog(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	// What a process has of it that was forked just now, up to its exec.
	fd, err := syscall.Dup(int(c.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) }) // a copy of a file that is read only

	if other, err := openCatalog(dir, log); err == nil {
		other.close()
		t.Error("two can open it at a time")
	}
	c.close()
	again, err := openCatalog(dir, log)
	if err != nil {
		t.Fatalf("openCatalog() error = %v after the other one was closed", err)
	}
	again.close()
}
