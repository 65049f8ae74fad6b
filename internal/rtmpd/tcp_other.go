//go:build !linux

package rtmpd

import "syscall"

// setUserTimeout does nothing where there is no such limit; keep-alive probes
// find most of what it would.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
