package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sluice/internal/conf"
	"sluice/internal/session"
)

const (
	// diskEvery and diskSeldom are how often the disk is looked at while
	// recordings run: the more often, the sooner it can be full.
	diskEvery  = time.Second
	diskSeldom = 30 * time.Second
	// fillRate is how many bytes a second a disk takes at most.
	fillRate = 1 << 30
)

// errNoRoom ends recordings, and refuses new ones, on a disk that is as good
// as full.
var errNoRoom error = session.NewReason("no_room", "the disk has less room left than record.min_free")

// space is the room on the disk of a folder. It is safe for concurrent use.
type space struct {
	dir  string
	min  MinFree
	look func(dir string) (free, total int64, err error) // statfs
}

// check returns [errNoRoom] when less than the least room and that much more
// is left. What cannot be told is no reason not to record.
func (s *space) check(more int64) error {
	if s.min == (MinFree{}) {
		return nil
	}
	free, total, err := s.look(existing(s.dir))
	if err != nil {
		return nil //nolint:nilerr // writing will tell
	}
	if least := s.least(total); free < least+more {
		return fmt.Errorf("%w: %v of %v", errNoRoom, round(free), round(least))
	}
	return nil
}

// least returns how much of a disk has to be free.
func (s *space) least(total int64) int64 {
	if s.min.Auto {
		return min(total/20, int64(conf.GiB))
	}
	return int64(s.min.Size)
}

// pause returns how long the disk need not be looked at.
func (s *space) pause() time.Duration {
	free, total, err := s.look(existing(s.dir))
	if err != nil || s.min == (MinFree{}) {
		return diskSeldom
	}
	seconds := max(free-s.least(total), 0) / fillRate
	return min(max(time.Duration(seconds)*time.Second, diskEvery), diskSeldom)
}

// margin is what has to be free besides before automatic recordings begin
// again, so that they do not end at once.
func (s *space) margin() int64 {
	_, total, err := s.look(existing(s.dir))
	if err != nil || s.min == (MinFree{}) {
		return 0
	}
	return s.least(total) / 8
}

// round returns a size as people want to read it.
func round(n int64) conf.Size {
	z := conf.Size(n)
	if z >= 10*conf.MiB {
		return z - z%conf.MiB
	}
	return z - z%conf.KiB
}

// existing returns the folder, or the next one above it that is there.
func existing(dir string) string {
	for {
		_, err := os.Stat(dir)
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return dir
		}
		dir = up
	}
}

// watchDisk ends recordings when the room runs out, and those whose files are
// not there any more, until ctx is done.
func (r *recorder) watchDisk(ctx context.Context) {
	timer := time.NewTimer(diskEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(r.space.pause())
		}
		all := r.recordings()
		if len(all) == 0 {
			continue
		}
		err := r.space.check(0)
		for _, rec := range all {
			if err != nil {
				rec.queue.End(err)
			} else if r.lost(rec) {
				rec.queue.End(errRemoved)
			}
		}
	}
}

// recordings returns those that write a file.
func (r *recorder) recordings() (all []*recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.open {
		if f, ok := r.running(rec); ok && f.State.open() && f.State != Armed {
			all = append(all, rec)
		}
	}
	return all
}

// lost tells whether the file of a recording was removed, or replaced, under it.
func (r *recorder) lost(rec *recording) bool {
	f, made := rec.writes()
	if !f.State.open() || r.store.has(f, made) {
		return false
	}
	now := rec.snapshot() // a segment may have ended, and been deleted, meanwhile
	return now.State.open() && now.ID == f.ID
}

// has tells whether the file that was made for a recording is there, as far as
// can be told: where a file system gives other numbers each time, another one is
// known by its size.
func (s *store) has(f Facts, made fs.FileInfo) bool {
	root, err := s.root()
	var info fs.FileInfo
	if err == nil {
		defer closeRoot(root)
		info, err = regular(root, f.File)
	}
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(info, made) || info.Size() >= f.Bytes
}
