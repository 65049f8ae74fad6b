package record

import (
	"os"

	"sluice/internal/module"
)

// File is what a recording is written to.
type File = file

// The bounds of the queue, for the tests that reach them.
const MaxQueue = maxQueue

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
