//go:build !unix

package bench

import "time"

// now returns the time of a clock that is the same in all processes of the
// machine.
func now() int64 { return time.Now().UnixNano() }
