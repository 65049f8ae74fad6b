//go:build linux || darwin || freebsd

package record

import "golang.org/x/sys/unix"

// statfs returns how much room a file system has for those who are not root,
// and how large it is.
func statfs(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := int64(s.Bsize)                                     //nolint:unconvert // its type depends on the system
	return int64(s.Bavail) * size, int64(s.Blocks) * size, nil //nolint:gosec // no disk is that large
}
