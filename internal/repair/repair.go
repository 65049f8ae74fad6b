// Package repair makes FLV files whole that were cut off, or that another
// server wrote without telling their length:
//
//	survey ─▶ complete: nothing is done
//	       ─▶ there is room for the index: cut, and finished in place
//	       ─▶ there is none: a new file beside it, which takes its place
//
// Whatever goes wrong on the last way, the file stays as it was.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sluice/flv"
	"sluice/internal/filelock"
)

var (
	// ErrInUse reports a file that somebody writes.
	ErrInUse = errors.New("it is being written")
	// ErrDamaged reports a file with something else than tags in its middle,
	// which would be cut off with all that is behind.
	ErrDamaged = errors.New("it is damaged in the middle")
	// ErrEmpty reports a file without a single frame.
	ErrEmpty = errors.New("there is no audio and no video in it")
)

// Action is what was done to a file.
type Action int

// The actions.
const (
	Nothing  Action = iota // it was complete
	Finished               // in place
	Rebuilt                // by a new file in its place
)

// Result is what became of a file.
type Result struct {
	flv.FileInfo
	Action Action
	Cut    int64 // bytes of it that are gone
}

// Options says how far a repair may go.
type Options struct {
	// Cut also cuts what is more than the tag at the end, see [ErrDamaged].
	Cut bool
}

// File repairs a file that nobody writes. It keeps other processes of Sluice
// from writing it meanwhile, and notices if another program does. A file whose
// repair ctx ends is as it was.
func File(ctx context.Context, name string, o Options) (Result, error) {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return Result{}, err
	}
	if filelock.Written(name) {
		return Result{}, ErrInUse
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	if err := filelock.Lock(f); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	defer filelock.Unlock(f)
	before, err := f.Stat()
	if err != nil {
		return Result{}, err
	}
	if !before.Mode().IsRegular() {
		return Result{}, errors.New("it is no regular file")
	}
	s, err := flv.SurveyFile(reader{ctx, f}, before.Size())
	if err != nil {
		return Result{}, fmt.Errorf("reading it: %w", err)
	}
	switch {
	case !s.Audio && !s.Video:
		return Result{}, ErrEmpty
	case s.Complete:
		return Result{FileInfo: s.FileInfo}, nil
	case s.Damaged && !o.Cut:
		return Result{}, fmt.Errorf("%w: no tag begins at byte %d, where %d bytes follow", ErrDamaged, s.Size, s.Rest)
	}
	j := job{ctx: ctx, f: f, before: before, survey: s}
	if s.InPlace {
		return j.finish()
	}
	return j.rebuild()
}

// job is the repair of one file.
type job struct {
	ctx    context.Context //nolint:containedctx // of the one call
	f      *os.File
	before os.FileInfo
	survey *flv.Survey
}

// untouched tells whether the file is as it was when it was looked at.
func (j *job) untouched() error {
	now, err := j.f.Stat()
	if err != nil {
		return err
	}
	if now.Size() != j.before.Size() || !now.ModTime().Equal(j.before.ModTime()) {
		return ErrInUse
	}
	return j.ctx.Err()
}

func (j *job) finish() (Result, error) {
	if err := j.untouched(); err != nil {
		return Result{}, err
	}
	size := j.before.Size()
	info, err := flv.Recover(j.f, size)
	if err == nil && info.Size < size {
		err = j.f.Truncate(info.Size)
	}
	if err == nil {
		err = j.f.Sync()
	}
	return Result{FileInfo: info, Action: Finished, Cut: size - info.Size}, err
}

// rebuild writes a new file and puts it in the place of the old one.
func (j *job) rebuild() (_ Result, err error) {
	folder := filepath.Dir(j.f.Name())
	n, err := os.CreateTemp(folder, "."+filepath.Base(j.f.Name())+".*.repair")
	if err != nil {
		return Result{}, fmt.Errorf("making a new file beside it: %w", err)
	}
	defer func() {
		n.Close()
		if err != nil {
			_ = os.Remove(n.Name()) // the first error tells more
		}
	}()
	info, err := j.survey.Rebuild(n, reader{j.ctx, j.f})
	if err != nil {
		return Result{}, fmt.Errorf("writing a new file beside it: %w", err)
	}
	if err := errors.Join(n.Chmod(j.before.Mode().Perm()), n.Sync()); err != nil {
		return Result{}, fmt.Errorf("writing a new file beside it: %w", err)
	}
	if err := j.untouched(); err != nil {
		return Result{}, err
	}
	if err := os.Rename(n.Name(), j.f.Name()); err != nil {
		return Result{}, fmt.Errorf("putting the new file in its place: %w", err)
	}
	if d, err := os.Open(folder); err == nil {
		_ = d.Sync() // some file systems cannot, and lose nothing by it
		d.Close()
	}
	return Result{FileInfo: info, Action: Rebuilt, Cut: j.before.Size() - j.survey.Size}, nil
}

// reader is a file that cannot be read any more once ctx is done.
type reader struct {
	ctx context.Context //nolint:containedctx // of the one call
	io.ReaderAt
}

// ReadAt implements [io.ReaderAt].
func (r reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.ReaderAt.ReadAt(p, off)
}
