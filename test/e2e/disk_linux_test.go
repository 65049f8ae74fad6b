package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/test/harness"
)

// A file system takes no writes between these two calls, as a disk that hangs.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// disk returns a folder on a disk of its own, which is a file. With an error it
// turns read-only.
func disk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{{"/sbin/mkfs.ext4", "-q", "-m", "0", "-F", image}, {"mount", "-o", "loop,errors=remount-ro", image, at}} {
		if out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a disk that hangs needs root, ext4 and a loop device: %q: %v\n%s", line, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return at
}

// freeze makes a disk hang until thaw, or the end of the test.
func freeze(t *testing.T, disk string) (thaw func()) {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), fiFreeze, 0); err != nil {
		t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() {
		defer f.Close()
		if err := unix.IoctlSetInt(int(f.Fd()), fiThaw, 0); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(thaw)
	return thaw
}

// ask makes a call that has to succeed.
func ask(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Timeout: harness.Patience}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(address + " answered " + answer.Status)
	}
	return nil
}

// Recordings, their list and its database lie on a disk that hangs. The process
// as a whole must not hang with it.
func TestADiskThatHangsDisturbsNobodyWhoWatches(t *testing.T) {
	at := disk(t, 32<<20)
	s := harness.StartIn(t, at, "--set", "record.min_free=0")
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/test"))
	r := record(t, s, "live/test")
	witness := harness.NewWitness(t, s.Play("http", "live/test.flv"))

	thaw := freeze(t, at)
	lists := make(chan error, 4)
	for range cap(lists) {
		go func() { lists <- ask(t.Context(), "http://"+s.HTTP+"/flv/record/list") }() // it may wait for the disk
	}
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		witness.Undisturbed(t)
		if now := s.Record(t, http.MethodGet, "status/live/test"); now.ID != r.ID || now.State != "recording" {
			t.Errorf("while the disk hangs, the status is %+v", now)
		}
	}
	harness.NewWitness(t, s.Play("http", "live/test.flv")) // one who comes meanwhile
	thaw()
	for range cap(lists) {
		if err := <-lists; err != nil {
			t.Error(err)
		}
	}
	witness.Undisturbed(t)
	done := s.Record(t, http.MethodPost, "stop/live/test")
	if done.ID != r.ID || done.State != "finished" || done.DurationMS < 12_000 {
		t.Errorf("stop says %+v", done)
	}
	plays(t, s.File(t, done), src, 12)
	if all := recordings(t, s, ""); len(all) != 1 || all[0].State != "finished" {
		t.Errorf("the list has %+v", all)
	}
}

// Recordings, their list and its database lie on a disk that is full to the last
// byte for a while.
func TestAFullDiskDisturbsNobodyWhoWatches(t *testing.T) {
	at := t.TempDir()
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a disk can only be mounted by root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := harness.StartIn(t, at, "--set", "record.min_free=0", "--set", `record.auto=["live/*"]`)
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/test"))
	witness := harness.NewWitness(t, s.Play("http", "live/test.flv?wait=30s"))
	status := func() harness.Recording { return s.Record(t, http.MethodGet, "status/live/test") }
	harness.Eventually(t, "it is recorded", func() bool { return status().State == "recording" })
	first := status()
	witness.Undisturbed(t)

	ballast := filepath.Join(at, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	harness.Eventually(t, "the recording fails", func() bool {
		witness.Undisturbed(t)
		return len(recordings(t, s, "?state=failed")) == 1
	})
	failed := recordings(t, s, "")[0]
	if failed.ID != first.ID || !strings.Contains(failed.Error, "no space left") {
		t.Errorf("the list has %+v", failed)
	}
	if now := status(); now.State != "idle" || !strings.Contains(now.Error, "full") && !strings.Contains(now.Error, "no space left") {
		t.Errorf("the status is %+v", now)
	}
	witness.Undisturbed(t)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it is recorded again", func() bool {
		witness.Undisturbed(t)
		now := status()
		return now.State == "recording" && now.DurationMS > 2000
	})
	done := s.Record(t, http.MethodPost, "stop/live/test")
	if done.ID == first.ID || done.State != "finished" {
		t.Errorf("stop says %+v", done)
	}
	plays(t, s.File(t, done), src, 2)
	plays(t, s.File(t, failed), src, 0.1)
	witness.Undisturbed(t)
	if all := recordings(t, s, ""); len(all) != 2 || all[0].ID != done.ID {
		t.Errorf("the list has %+v", all)
	}
}

// The system makes a disk read-only on which it has found an error, also for
// files that are open.
func TestADiskThatTurnsReadOnlyDisturbsNobodyWhoWatches(t *testing.T) {
	at := disk(t, 32<<20)
	s := harness.StartIn(t, at, "--set", "record.min_free=0")
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/test"))
	r := record(t, s, "live/test")
	witness := harness.NewWitness(t, s.Play("http", "live/test.flv"))

	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		t.Fatal(err)
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error"), []byte("a test"), 0); err != nil {
		t.Skipf("this system cannot be told that a disk has an error: %v", err)
	}
	harness.Eventually(t, "the recording fails", func() bool {
		witness.Undisturbed(t)
		return len(recordings(t, s, "?state=failed")) == 1
	})
	if f := recordings(t, s, "")[0]; f.ID != r.ID || !strings.Contains(f.Error, "read-only file system") {
		t.Errorf("the list has %+v", f)
	}
	if status, body := s.Call(t, http.MethodPost, "/flv/record/start/live/test"); status != http.StatusInternalServerError || !strings.Contains(body, "may not write") {
		t.Errorf("start answered %d %s", status, body)
	}
	witness.Undisturbed(t)
	plays(t, s.File(t, r), src, 2)
}
