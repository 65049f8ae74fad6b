package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Written tells whether somebody, also another program that knows nothing of
// locks, has a file open for writing. Where the system cannot tell, it says no.
func Written(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() // gives the lease up
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return errors.Is(err, unix.EAGAIN)
}
