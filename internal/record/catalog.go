package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/stream"
)

const (
	entrySuffix = ".json"
	entryTemp   = ".tmp"
	lockName    = "lock"
	// entrySize is the length that an entry is padded to, so that it never
	// needs more room than it had when it was made.
	entrySize = 3072
	// maxEntry is the longest entry that is read.
	maxEntry = 64 << 10
)

// errTaken reports that a name or an id is in use.
var errTaken = errors.New("record: taken already")

// catalog is the durable list of all recordings: a folder with one small file
// per recording, so that a damaged file costs one entry. An entry is replaced
// by writing a temporary file, syncing and renaming it, which a crash at any
// moment leaves either old or new. A lock keeps other processes out. It is
// safe for concurrent use.
type catalog struct {
	root *os.Root
	lock *os.File
	log  *slog.Logger

	mu      sync.Mutex        // guards all below; no I/O while it is held
	entries []Facts           // by id, so the oldest first
	files   map[string]string // folded file name to id
}

// openCatalog opens the catalogue in a folder, which it makes if necessary.
func openCatalog(dir string, log *slog.Logger) (*catalog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the catalogue: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the catalogue: %w", err)
	}
	c := &catalog{root: root, log: log, files: make(map[string]string)}
	if err := c.start(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *catalog) start() error {
	f, err := c.root.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("opening the catalogue: %w", err)
	}
	c.lock = f
	if err := lockFile(f); err != nil {
		return fmt.Errorf("the catalogue %s is in use by another process: %w", c.root.Name(), err)
	}
	return c.load()
}

// close lets other processes in.
func (c *catalog) close() {
	if c.lock != nil {
		unlockFile(c.lock)
		_ = c.lock.Close() // read only
	}
	closeRoot(c.root)
}

// load reads all entries. It logs those that are damaged and removes what a
// crash left behind.
func (c *catalog) load() error {
	names, err := fs.ReadDir(c.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	for _, n := range names {
		id, isEntry := strings.CutSuffix(n.Name(), entrySuffix)
		if temp, ok := strings.CutSuffix(n.Name(), entryTemp); ok && isID(temp) {
			_ = c.root.Remove(n.Name()) // it is written over when the id comes again
		}
		if !isEntry || !isID(id) {
			continue
		}
		f, err := c.read(id)
		if err == nil {
			err = c.insert(f)
		}
		if err != nil {
			c.log.Error("left out a damaged entry of the catalogue", "file", n.Name(), "err", err)
		}
	}
	return nil
}

// read returns one entry from its file.
func (c *catalog) read(id string) (Facts, error) {
	f, err := c.root.Open(id + entrySuffix)
	if err != nil {
		return Facts{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry))
	if err != nil {
		return Facts{}, err
	}
	var e Facts
	if err := json.Unmarshal(b, &e); err != nil {
		return Facts{}, err
	}
	return e, e.check(id)
}

// check tells what is wrong with facts that were read.
func (f *Facts) check(id string) error {
	if err := stream.CheckPath(f.StreamPath); err != nil {
		return err
	}
	switch {
	case f.ID != id:
		return fmt.Errorf("its id is %q", f.ID)
	case !f.State.known():
		return fmt.Errorf("its state is %q", f.State)
	case !filepath.IsLocal(filepath.FromSlash(f.File)), path.Clean(f.File) != f.File,
		!strings.HasSuffix(f.File, extension):
		return fmt.Errorf("its file is %q", f.File)
	}
	return nil
}

// insert adds an entry in memory.
func (c *catalog) insert(f Facts) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, found := c.search(f.ID)
	if found || c.files[fold(f.File)] != "" {
		return errTaken
	}
	c.entries = slices.Insert(c.entries, at, f)
	c.files[fold(f.File)] = f.ID
	return nil
}

// search returns where an id is or belongs. mu is held.
func (c *catalog) search(id string) (int, bool) {
	return slices.BinarySearchFunc(c.entries, id, func(f Facts, id string) int { return strings.Compare(f.ID, id) })
}

// add makes a new entry. It returns [errTaken] if the id or the file is in use.
func (c *catalog) add(f Facts) error {
	if err := c.insert(f); err != nil {
		return err
	}
	if err := c.write(f); err != nil {
		c.drop(f)
		return err
	}
	return nil
}

// update replaces an entry. What it says holds at once; an error is about the
// durable copy.
func (c *catalog) update(f Facts) error {
	c.replace(f)
	return c.write(f)
}

// replace replaces an entry in memory.
func (c *catalog) replace(f Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, found := c.search(f.ID); found {
		c.entries[at] = f
	}
}

// remove forgets an entry for good.
func (c *catalog) remove(f Facts) error {
	if err := c.root.Remove(f.ID + entrySuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.drop(f)
	syncDir(c.root, ".")
	return nil
}

// drop forgets an entry in memory.
func (c *catalog) drop(f Facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, found := c.search(f.ID); found {
		c.entries = slices.Delete(c.entries, at, at+1)
		delete(c.files, fold(f.File))
	}
}

// byFile returns the entry of exactly that file. A nil catalogue is empty.
func (c *catalog) byFile(name string) (Facts, bool) {
	if c == nil {
		return Facts{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at, found := c.search(c.files[fold(name)])
	if !found || c.entries[at].File != name {
		return Facts{}, false
	}
	return c.entries[at], true
}

// page returns up to limit entries that match, newest first, beginning behind
// the one with the id before, or with the newest where before is empty. more
// tells whether there are further ones. A nil catalogue is empty.
func (c *catalog) page(before string, limit int, match func(*Facts) bool) (items []Facts, more bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := len(c.entries)
	if before != "" {
		at, _ = c.search(before)
	}
	for at--; at >= 0; at-- {
		f := &c.entries[at]
		if !match(f) {
			continue
		}
		if len(items) == limit {
			return items, true
		}
		items = append(items, *f)
	}
	return items, false
}

// due returns up to limit entries for which something is to be done by now,
// the oldest first, and when there is for the next of all others; zero is
// never. when tells of one entry. A nil catalogue is empty.
func (c *catalog) due(now time.Time, limit int, when func(*Facts) (time.Time, bool)) (items []Facts, next time.Time) {
	if c == nil {
		return nil, time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.entries {
		at, ok := when(&c.entries[i])
		switch {
		case !ok:
			continue
		case !at.After(now) && len(items) < limit:
			items = append(items, c.entries[i])
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return items, next
}

// write makes the durable copy of an entry. When the disk is full it writes
// over the old one in place, which needs no new room.
func (c *catalog) write(f Facts) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte{' '}, max(0, entrySize-1-len(b)))...)
	b = append(b, '\n')
	temp, name := f.ID+entryTemp, f.ID+entrySuffix
	err = c.writeFile(temp, os.O_CREATE|os.O_TRUNC, b)
	if err == nil {
		err = c.root.Rename(temp, name)
	}
	if err == nil {
		syncDir(c.root, ".")
		return nil
	}
	_ = c.root.Remove(temp) // it is worth nothing now
	if c.writeFile(name, 0, b) == nil {
		return nil
	}
	return fmt.Errorf("writing the catalogue: %w", err)
}

func (c *catalog) writeFile(name string, flags int, b []byte) error {
	f, err := c.root.OpenFile(name, os.O_WRONLY|flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a folder durable, where the system can: some
// file systems cannot sync a folder and lose nothing by it.
func syncDir(root *os.Root, name string) {
	d, err := root.Open(name)
	if err != nil {
		return
	}
	defer d.Close()
	_ = d.Sync() // see above
}

// closeRoot closes a folder, which cannot lose anything by that.
func closeRoot(root *os.Root) { _ = root.Close() }
