package record

import (
	"os"

	"sluice/internal/filelock"
)

// lockFile and unlockFile are how the catalogue is locked.
func lockFile(f *os.File) error { return filelock.Lock(f) }
func unlockFile(f *os.File)     { filelock.Unlock(f) }
