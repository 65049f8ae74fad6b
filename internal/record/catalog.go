package record

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sluice/internal/filelock"
)

const (
	lockName = "lock"
	// retryEvery is how long the catalogue waits before it tries again to
	// write what the disk has not taken.
	retryEvery = 2 * time.Second
	// lastPlace stands behind all places.
	lastPlace = "~"
)

// errTaken reports that a name or an id is in use.
var errTaken = errors.New("record: taken already")

// catalog is the durable list of all recordings: a database in a folder that a
// lock keeps other processes out of. What the database does not take, because
// the disk is full or does not answer, is kept in memory, holds, and is
// written later. It is safe for concurrent use.
type catalog struct {
	dir    string
	lock   *os.File
	db     *database
	log    *slog.Logger
	unsent chan struct{} // holds a token when something has to be tried again

	write sync.Mutex // held over a write to the database

	mu      sync.Mutex          // guards all below; no I/O while it is held
	held    map[string]*holding // by place: what the database does not say
	trouble error               // of the last call of the database
}

// holding are facts that go before those of the database.
type holding struct {
	facts  Facts
	isNew  bool // the database has nothing of it
	memory bool // it is not meant to be written
}

// openCatalog opens the catalogue in a folder, which it makes if necessary.
func openCatalog(dir string, log *slog.Logger) (*catalog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the catalogue: %w", err)
	}
	c := &catalog{dir: dir, log: log, unsent: make(chan struct{}, 1), held: make(map[string]*holding)}
	if err := c.start(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *catalog) start() (err error) {
	if c.lock, err = os.OpenFile(filepath.Join(c.dir, lockName), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return fmt.Errorf("opening the catalogue: %w", err)
	}
	if err := filelock.Lock(c.lock); err != nil {
		return fmt.Errorf("the catalogue %s is in use by another process: %w", c.dir, err)
	}
	db, aside, err := openDatabase(c.dir)
	if aside != "" {
		c.log.Error("the catalogue was damaged and is made anew from the files", "kept_as", aside)
	}
	if err != nil {
		return err
	}
	c.db = db
	if done, err := db.scans(); err != nil || done != scannedNothing {
		return err
	}
	return c.importEntries()
}

// close writes what is left to be written and lets other processes in.
func (c *catalog) close() {
	if c.db != nil {
		c.retry()
		c.db.close()
	}
	if c.lock != nil {
		filelock.Unlock(c.lock)
		_ = c.lock.Close() // read only
	}
}

// keepTrying writes what the database has not taken, when it does again, until
// stop is closed.
func (c *catalog) keepTrying(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-c.unsent:
		}
		timer := time.NewTimer(retryEvery)
		select {
		case <-stop:
			timer.Stop()
			return
		case <-timer.C:
			c.retry()
		}
	}
}

// retry writes what the database has not taken.
func (c *catalog) retry() {
	c.mu.Lock()
	var places []string
	for place, h := range c.held {
		if !h.memory {
			places = append(places, place)
		}
	}
	c.mu.Unlock()
	slices.Sort(places)
	for _, place := range places {
		switch err := c.save(place); {
		case errors.Is(err, errTaken):
			c.drop(place) // another recording has that file now
		case err != nil:
			put(c.unsent)
			return // the next one would fare no better
		}
	}
}

// save writes what is held at a place, and holds it no more then.
func (c *catalog) save(place string) error {
	c.write.Lock()
	defer c.write.Unlock()
	c.mu.Lock()
	h := c.held[place]
	c.mu.Unlock()
	if h == nil || h.memory {
		return nil // somebody else has written it
	}
	err := c.db.put(&h.facts, h.isNew)
	c.note(err)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch now := c.held[place]; now {
	case h:
		delete(c.held, place)
	default:
		if now != nil { // it has changed meanwhile
			now.isNew = false
		}
	}
	return nil
}

// note keeps what went wrong in the last call of the database.
func (c *catalog) note(err error) {
	if errors.Is(err, errTaken) {
		err = nil
	}
	if errors.Is(err, errDamaged) {
		c.db.mark()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble == nil && err != nil {
		c.log.Error("the catalogue of recordings does not work", "err", err)
	}
	c.trouble = err
}

// ailing returns what is wrong with the catalogue, nil for nothing.
func (c *catalog) ailing() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// add makes a new entry. It returns [errTaken] if the id or the file is in use.
// An entry that cannot be written is kept in memory and tried again.
func (c *catalog) add(f Facts) error {
	place := f.place()
	if !c.reserve(place, f) {
		return errTaken
	}
	err := c.save(place)
	if errors.Is(err, errTaken) {
		c.drop(place)
		return err
	}
	if err != nil {
		put(c.unsent)
	}
	return nil
}

// reserve holds a new entry, unless another one is held in its place.
func (c *catalog) reserve(place string, f Facts) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, h := range c.held {
		if at == place || fold(h.facts.File) == fold(f.File) {
			return false
		}
	}
	c.held[place] = &holding{facts: f, isNew: true}
	return true
}

// update replaces an entry. What it says holds at once; an error is about the
// durable copy, which is tried again.
func (c *catalog) update(f Facts) error {
	c.hold(f, false)
	err := c.save(f.place())
	if err != nil {
		put(c.unsent)
		return fmt.Errorf("writing the catalogue: %w", err)
	}
	return nil
}

// replace replaces an entry in memory.
func (c *catalog) replace(f Facts) { c.hold(f, true) }

// hold makes facts go before those of the database.
func (c *catalog) hold(f Facts, memory bool) {
	place := f.place()
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.held[place]
	c.held[place] = &holding{facts: f, memory: memory, isNew: before != nil && before.isNew}
}

// remove forgets an entry for good.
func (c *catalog) remove(f Facts) error {
	c.write.Lock()
	defer c.write.Unlock()
	err := c.db.exec(sqlDelete, f.place())
	c.note(err)
	if err != nil {
		return fmt.Errorf("writing the catalogue: %w", err)
	}
	c.drop(f.place())
	return nil
}

// drop forgets an entry in memory.
func (c *catalog) drop(place string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, place)
}

// read returns what the database says, and notes its errors.
func (c *catalog) read(query string, args ...any) ([]Facts, error) {
	all, err := c.db.read(query, args...)
	if err != nil {
		c.note(err)
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	return all, nil
}

// byFile returns the entry of exactly that file. A nil catalogue is empty.
func (c *catalog) byFile(name string) (f Facts, ok bool, err error) {
	if c == nil {
		return Facts{}, false, nil
	}
	if f, ok := c.heldFile(name); ok {
		return f, true, nil
	}
	all, err := c.read(sqlByFile, fold(name))
	if err != nil || len(all) == 0 || all[0].File != name {
		return Facts{}, false, err
	}
	if f, ok := c.heldFile(name); ok {
		return f, true, nil // it has changed in between
	}
	return all[0], true, nil
}

func (c *catalog) heldFile(name string) (Facts, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.held {
		if h.facts.File == name {
			return h.facts, true
		}
	}
	return Facts{}, false
}
