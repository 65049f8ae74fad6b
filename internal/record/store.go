package record

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sync"
	"syscall"

	"sluice/flv"
	"sluice/internal/filelock"
)

// store is where recordings lie: the folder with the files, and the catalogue.
// Neither folder is made before the first recording, so that a server that
// never records needs no place to write. It is safe for concurrent use.
type store struct {
	dir, catalogDir string
	name            Name
	log             *slog.Logger
	create          func(root *os.Root, name string) (file, error)
	settled         chan struct{}  // holds a token when a file has been finished
	stale           chan struct{}  // likewise, for those who delete
	stop            chan struct{}  // closed when repairs have to end
	searched        chan struct{}  // closed when the files have been looked through, or not
	work            sync.WaitGroup // the repairs
	tries           sync.WaitGroup // the catalogue's

	mu      sync.Mutex // guards catalog; held while it is opened
	catalog *catalog   // nil until it is opened
}

// file is what a recording is written to.
type file interface {
	flv.ReadWriterAt
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// createFile makes a new file, and never opens one that exists.
func createFile(root *os.Root, name string) (file, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	_ = filelock.Lock(f) // against repairs; where there are no locks, people must know
	return f, nil
}

// open returns the catalogue. If it has not been opened before, it opens it,
// or makes it if create is set, and repairs what a crash left behind; without
// create a catalogue that does not exist is nil, which is an empty one.
func (s *store) open(create bool) (*catalog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.catalog != nil {
		return s.catalog, nil
	}
	if !create && !s.exists() {
		return nil, nil
	}
	c, err := openCatalog(s.catalogDir, s.log)
	if err != nil {
		return nil, err
	}
	if err := s.recover(c); err != nil {
		c.close()
		return nil, err
	}
	s.tries.Go(func() { c.keepTrying(s.stop) })
	s.catalog = c
	return c, nil
}

// exists tells whether there is a catalogue, or files to make one from.
func (s *store) exists() bool {
	if _, err := os.Stat(s.catalogDir); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	names, err := os.ReadDir(s.dir)
	return err == nil && len(names) > 0
}

// ailing returns what is wrong with the catalogue, nil for nothing.
func (s *store) ailing() error {
	s.mu.Lock()
	c := s.catalog
	s.mu.Unlock()
	return c.ailing()
}

// gone returns a function that tells whether a recording that has ended well
// should have a file in the folder and does not. Without the folder it says no.
// done is called when it is not used any more.
func (s *store) gone() (gone func(*Facts) bool, done func()) {
	root, err := s.root()
	if err != nil {
		return func(*Facts) bool { return false }, func() {}
	}
	return func(f *Facts) bool {
		if f.busy() || f.away() || (f.State != Finished && f.State != Recovered) {
			return false
		}
		_, err := regular(root, f.File)
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}, func() { closeRoot(root) }
}

// newStore returns the store of two folders, which it does not touch yet.
func newStore(dir, catalogDir string, log *slog.Logger) *store {
	return &store{dir: dir, catalogDir: catalogDir, name: defaultName, log: log, create: createFile, settled: make(chan struct{}, 1), stale: make(chan struct{}, 1), stop: make(chan struct{}), searched: make(chan struct{})}
}

// signal says that a file has been finished.
func (s *store) signal() {
	put(s.settled)
	put(s.stale)
}

// close ends the repairs and lets other processes in. The store is not used
// any more.
func (s *store) close() {
	close(s.stop)
	s.work.Wait()
	s.tries.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.catalog != nil {
		s.catalog.close()
	}
}

// root opens the folder of the files. It is opened for each use, so that one
// that was moved away or mounted meanwhile is seen as it is.
func (s *store) root() (*os.Root, error) { return os.OpenRoot(s.dir) }

// maxNames is how many names are tried for one recording.
const maxNames = 100

// newFile makes the file and the entry of a recording, whose path, start and
// perhaps id the draft has. seq is its number among the segments. Begin gets the
// file, and whoever finds the entry finds what it has written; after an error
// there is no file any more.
func (s *store) newFile(c *catalog, draft Facts, seq int, begin func(file, *Facts) error) (Facts, error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return Facts{}, fmt.Errorf("making the folder: %w", err)
	}
	root, err := s.root()
	if err != nil {
		return Facts{}, fmt.Errorf("opening the folder: %w", err)
	}
	defer closeRoot(root)
	facts := draft
	facts.State, facts.StartedAt = Running, instant(draft.StartedAt)
	for n := range maxNames {
		if draft.ID == "" {
			facts.ID = newID(draft.StartedAt)
		}
		facts.File = s.name.file(naming{facts.StreamPath, facts.StartedAt, facts.ID, seq}, n)
		err := s.claim(c, root, &facts, begin)
		if errors.Is(err, errTaken) || errors.Is(err, fs.ErrExist) {
			continue
		}
		return facts, err
	}
	return Facts{}, fmt.Errorf("making the file %s: %w", facts.File, errTaken)
}

// claim makes one file and its entry, both or none.
func (s *store) claim(c *catalog, root *os.Root, facts *Facts, begin func(file, *Facts) error) error {
	folder := path.Dir(facts.File)
	f, err := s.createIn(root, folder, facts.File)
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	if err = begin(f, facts); err == nil {
		syncDir(root, folder)
		err = c.add(*facts)
	}
	if err != nil {
		_ = f.Close()                 // it is removed
		_ = discard(root, facts.File) // it stays behind, without media and in no list
	}
	return err
}

// createIn makes a file and the folders above it, which a removal at the same
// time may take away again.
func (s *store) createIn(root *os.Root, folder, name string) (f file, err error) {
	for range maxNames {
		if err = root.MkdirAll(folder, 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if f, err = s.create(root, name); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, err
}

// openFile opens the file of a recording for reading.
func (s *store) openFile(name string) (*os.File, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer closeRoot(root)
	if _, err := regular(root, name); err != nil {
		return nil, err
	}
	return root.Open(name)
}

// regular looks at the file of a recording. A link, or whatever else stands in
// its place, counts as none: it leads to what is no recording, or never ends.
func regular(root *os.Root, name string) (fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: %w", name, fs.ErrNotExist)
	}
	return info, err
}

// remove deletes the file of a recording, which may be gone already, with the
// folders that are empty then, and its entry.
func (s *store) remove(c *catalog, f Facts) error {
	if err := s.removeFile(f.File); err != nil {
		return err
	}
	return c.remove(f)
}

// removeFile deletes a file, which may be gone already, with the folders that
// are empty then.
func (s *store) removeFile(name string) error {
	root, err := s.root()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeRoot(root)
	return discard(root, name)
}

// discard is removeFile in an open folder.
func discard(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := path.Dir(name)
	for dir != "." && root.Remove(dir) == nil { // until one is not empty
		dir = path.Dir(dir)
	}
	return nil
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
