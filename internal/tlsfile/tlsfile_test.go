package tlsfile_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/tlsfile"
	"sluice/internal/tlsfile/tlstest"
)

// subject returns whose certificate a client would see.
func subject(t *testing.T, c *tlsfile.Certificate) string {
	t.Helper()
	pair, err := c.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.Subject.CommonName
}

// later lets the time pass after which the files are looked at again. The
// clock is that of a bubble.
func later() { <-time.After(2 * time.Second) }

func TestAPairThatChangesIsFollowed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, key, _ := tlstest.Pair(t, dir, "first")
		var log bytes.Buffer
		c, err := tlsfile.Load(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		later()
		if got := subject(t, c); got != "first" || log.Len() > 0 {
			t.Errorf("got %q, and the log says %s", got, &log)
		}
		tlstest.Pair(t, dir, "second")
		later()
		if got := subject(t, c); got != "second" || strings.Count(log.String(), "the certificate was reloaded") != 1 {
			t.Errorf("got %q, and the log says %s", got, &log)
		}
		if cfg := c.Config("h2"); cfg.MinVersion != tls.VersionTLS12 || len(cfg.NextProtos) != 1 {
			t.Errorf("the configuration is %+v", cfg)
		}
	})
}

func TestABrokenPairLeavesTheOldOneInForceAndIsReportedOnce(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, key, _ := tlstest.Pair(t, dir, "old")
		other, _, _ := tlstest.Pair(t, t.TempDir(), "new")
		stranger, err := os.ReadFile(other)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c, err := tlsfile.Load(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range map[string]func() error{
			"of a stranger": func() error { return os.WriteFile(cert, stranger, 0o600) },
			"empty":         func() error { return os.WriteFile(cert, nil, 0o600) },
			"missing":       func() error { return os.Remove(cert) },
			"huge":          func() error { return os.WriteFile(cert, make([]byte, 2<<20), 0o600) },
		} {
			log.Reset()
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				later()
				if got := subject(t, c); got != "old" {
					t.Errorf("%s: got %q", name, got)
				}
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "the old one stays in force") {
				t.Errorf("%s: %d lines:\n%s", name, n, &log)
			}
		}
		tlstest.Pair(t, dir, "mended")
		later()
		if got := subject(t, c); got != "mended" {
			t.Errorf("afterwards: got %q", got)
		}
	})
}

func TestTheFilesAreLookedAtOnceASecondAtMost(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, key, _ := tlstest.Pair(t, dir, "first")
		c, err := tlsfile.Load(cert, key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		tlstest.Pair(t, dir, "second")
		if got := subject(t, c); got != "first" {
			t.Errorf("at once: %q", got)
		}
		later()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { subject(t, c) })
		}
		wg.Wait()
		if got := subject(t, c); got != "second" {
			t.Errorf("later: %q", got)
		}
	})
}

func TestAPairBehindALinkIsFollowedWhenTheLinkIsSwitched(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key, _ := tlstest.Pair(t, filepath.Join(dir, name), name)
		for _, file := range []string{cert, key} { // as copies have it
			if err := os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := filepath.Join(dir, "now")
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, err := tlsfile.Load(filepath.Join(link, "cert.pem"), filepath.Join(link, "key.pem"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Symlink("b", link+"2"), os.Rename(link+"2", link)); err != nil {
			t.Fatal(err)
		}
		later()
		if got := subject(t, c); got != "b" {
			t.Errorf("got %q", got)
		}
	})
}

func TestWhatCannotBeLoadedIsNamed(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := tlstest.Pair(t, dir, "a")
	_, stranger, _ := tlstest.Pair(t, t.TempDir(), "b")
	for _, tc := range []struct{ cert, key, want string }{
		{cert + ".none", key, "cert: open "},
		{cert, key + ".none", "key: open "},
		{cert, stranger, "cert: " + cert + " with the key " + stranger + ": "},
		{key, cert, "cert: "},
		{dir, key, "cert: "},
	} {
		_, err := tlsfile.Load(tc.cert, tc.key, slog.New(slog.DiscardHandler))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s, %s: %v; want %q", tc.cert, tc.key, err, tc.want)
		}
	}
	if _, err := tlsfile.Load(cert+".none", key, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}
