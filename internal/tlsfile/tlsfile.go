// Package tlsfile keeps a certificate that lies in two files, and follows them
// when they change, so that it can be renewed without a restart.
package tlsfile

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often the files are looked at, at most: by a handshake.
const checkEvery = time.Second

// maxFile bounds each of the files. A chain of certificates has a few kB.
const maxFile = 1 << 20

// Certificate is the newest certificate that the files held. It is safe for
// concurrent use.
type Certificate struct {
	certFile, keyFile string

	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	next    atomic.Int64 // when the files may be looked at again, Unix nanoseconds

	mu   sync.Mutex // guards seen
	seen [2]os.FileInfo
}

// Load reads a certificate with its chain, and its key, both in PEM. Its
// error begins with "cert: " or "key: ".
func Load(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, seen: look(certFile, keyFile)}
	pair, err := read(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c.current.Store(pair)
	c.next.Store(time.Now().Add(checkEvery).UnixNano())
	return c, nil
}

// Config returns the configuration of a server with this certificate, which
// speaks one of those protocols where the client lets it choose.
func (c *Certificate) Config(protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetCertificate: c.GetCertificate}
}

// GetCertificate returns the certificate for [tls.Config]. When the files have
// changed it reads them first; if they hold no certificate with its key by
// then, the old one stays in force, and the log says so once.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	now, next := time.Now(), c.next.Load()
	if now.UnixNano() >= next && c.next.CompareAndSwap(next, now.Add(checkEvery).UnixNano()) {
		c.follow()
	}
	return c.current.Load(), nil
}

// follow reads the files again if they have changed.
func (c *Certificate) follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := look(c.certFile, c.keyFile) // before they are read: what comes later is seen the next time
	if same(c.seen[0], seen[0]) && same(c.seen[1], seen[1]) {
		return
	}
	c.seen = seen
	pair, err := read(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("the changed certificate cannot be used, the old one stays in force",
			"cert", c.certFile, "key", c.keyFile, "err", err)
		return
	}
	c.current.Store(pair)
	c.log.Info("the certificate was reloaded", "cert", c.certFile, "until", pair.Leaf.NotAfter)
}

// look returns what tells whether the files change, nil for one that is not
// there.
func look(names ...string) (seen [2]os.FileInfo) {
	for i, name := range names {
		if info, err := os.Stat(name); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// same tells whether a file is as it was. One that another took the place of,
// as where links are switched, is not.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func read(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert: %s with the key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

var errTooLarge = errors.New("larger than a certificate can be")

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxFile:
		return nil, fmt.Errorf("%s: %w", name, errTooLarge)
	}
	return b, nil
}
