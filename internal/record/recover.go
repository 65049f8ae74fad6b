package record

import (
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/flv"
	"sluice/internal/filelock"
)

// repairWait is how long the first use of the catalogue waits for the repair
// of what a crash left behind. Larger files take longer, in the background.
const repairWait = 2 * time.Second

// errAborted ends a repair because the server shuts down. The next start
// begins it again.
var errAborted = errors.New("record: the repair was given up")

// errNothing says that the server was ended before the beginning of a file was
// written.
var errNothing = errors.New("nothing had been recorded yet")

// recover repairs the recordings that were being written when the process
// ended. They count as recovered at once, with what the file system tells; a
// goroutine looks into their files, which cannot be deleted meanwhile, and then
// for files that a new catalogue does not know. Until it is through with one, its durable entry stays as it was, so that a repair
// that is cut short is made again.
func (s *store) recover(c *catalog) error {
	left, err := c.unended()
	if err != nil {
		return err
	}
	scans, err := c.db.scans()
	if err != nil {
		return err
	}
	if scans != scannedNothing && len(left) == 0 {
		close(s.searched)
		return nil
	}
	for i := range left {
		s.presume(&left[i])
		c.replace(left[i])
	}
	done := make(chan struct{})
	s.work.Go(func() {
		defer close(done)
		for _, f := range left {
			s.recoverOne(c, f)
		}
		if scans == scannedNothing {
			s.scan(c)
		}
		close(s.searched)
	})
	timer := time.NewTimer(repairWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return nil
}

// presume says of a recording what can be said before its file is read.
func (s *store) presume(f *Facts) {
	f.repairing = true
	at := f.StartedAt
	if file, err := s.openFile(f.File); err == nil {
		if info, err := file.Stat(); err == nil {
			at, f.Bytes = info.ModTime(), info.Size()
		}
		file.Close()
	}
	f.end(Recovered, at, nil)
}

func (s *store) recoverOne(c *catalog, f Facts) {
	info, err := s.repair(f.File)
	if errors.Is(err, errAborted) {
		return
	}
	f.repairing = false
	f.Bytes, f.DurationMs = info.Size, info.Duration.Milliseconds()
	if err != nil {
		f.end(Failed, *f.EndedAt, fmt.Errorf("the server was ended while it recorded, and the file cannot be repaired: %w", err))
	}
	s.log.Warn("recovered a recording that was cut off", "stream", f.StreamPath, "file", f.File, "err", err)
	if err := c.update(f); err != nil {
		s.log.Error("the catalogue does not know how a recording ended", "stream", f.StreamPath, "file", f.File, "err", err)
	}
	put(s.settled)
}

// repair makes a file whole that was cut off.
func (s *store) repair(name string) (flv.FileInfo, error) {
	root, err := s.root()
	if err != nil {
		return flv.FileInfo{}, err
	}
	defer closeRoot(root)
	if _, err := regular(root, name); err != nil {
		return flv.FileInfo{}, err
	}
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return flv.FileInfo{}, err
	}
	defer f.Close()
	_ = filelock.Lock(f) // as createFile
	info, err := f.Stat()
	if err != nil {
		return flv.FileInfo{}, err
	}
	r, err := repair(abortable{f, s.stop}, info.Size())
	if errors.Is(err, flv.ErrShort) || err == nil && r.Size <= flv.HeaderLen {
		err = errNothing
	}
	return r, err
}

// repair cuts a file of the given size behind its last whole tag and writes
// duration, size and index into it.
func repair(f file, size int64) (flv.FileInfo, error) {
	info, err := flv.Recover(f, size)
	if err == nil { // a write that failed may have left more than it said
		err = f.Truncate(info.Size)
	}
	if err == nil {
		err = f.Sync()
	}
	return info, err
}

// abortable is a file that cannot be read any more once stop is closed.
type abortable struct {
	file
	stop <-chan struct{}
}

func (a abortable) ReadAt(p []byte, off int64) (int, error) {
	select {
	case <-a.stop:
		return 0, errAborted
	default:
		return a.file.ReadAt(p, off)
	}
}
