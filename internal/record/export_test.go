package record

import (
	"context"
	"os"
	"time"

	"sluice/internal/module"
)

// File is what a recording is written to.
type File = file

// The bounds, for the tests that reach them.
const (
	MaxQueue   = maxQueue
	WriteLimit = writeLimit
)

// WrapFiles puts wrap around every file that m makes from now on.
func WrapFiles(m module.Module, wrap func(File) File) {
	m.(*recorder).store.create = func(root *os.Root, name string) (file, error) {
		f, err := createFile(root, name)
		if err != nil {
			return nil, err
		}
		return wrap(f), nil
	}
}

// Bucket is where files are uploaded to.
type Bucket = bucket

// UploadTo makes m, which does not run yet, upload to b.
func UploadTo(m module.Module, b Bucket, cfg S3Config) {
	r := m.(*recorder)
	r.uploads = newUploader(r.log, r.store, b, cfg)
}

// FileName returns the file of a recording that begins at that time.
var FileName = fileName

func fileName(path string, start time.Time, attempt int) string {
	return defaultName.file(naming{path: path, start: start, seq: 1}, attempt)
}

// Named returns the file that a template gives.
func Named(t Name, path string, start time.Time, id string, seq, attempt int) string {
	return t.file(naming{path, start, id, seq}, attempt)
}

// SetSpace makes m, which does not run yet, look at the disk with look.
func SetSpace(m module.Module, look func(dir string) (free, total int64, err error)) {
	m.(*recorder).space.look = look
}

// Impatient makes m wait for the disk only so long, and returns what is closed
// when all of it has ended.
func Impatient(m module.Module, patience time.Duration) (ended <-chan struct{}) {
	r := m.(*recorder)
	r.patience = patience
	return r.ended
}

// UploadLate makes m do the step that was due for a file, after somebody has
// done it already.
func UploadLate(ctx context.Context, m module.Module, name string) error {
	r := m.(*recorder)
	c, err := r.store.open(false)
	if err == nil {
		r.uploads.step(ctx, c, name)
	}
	return err
}
