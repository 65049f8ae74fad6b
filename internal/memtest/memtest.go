// Package memtest holds parsers to the memory that their input is worth.
package memtest

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// What a parser may allocate for n bytes of input: PerByte·n + Fixed.
const (
	PerByte = 4
	Fixed   = 64 << 10
)

// tries is how often a function is measured that seems to allocate too much:
// the fuzzing engine allocates beside it now and then.
const tries = 5

// Bound fails the test when f, which parses n bytes, allocates more than they are
// worth. It calls f once if all is well.
func Bound(tb testing.TB, n int, f func()) {
	tb.Helper()
	limit := PerByte*uint64(n) + Fixed
	was := roughly()
	f()
	// Small objects are counted late: what they may hide is left out of the limit.
	if roughly()-was <= limit/4 {
		return
	}
	size := Allocated(f)
	for i := 1; i < tries && size > limit; i++ {
		size = min(size, Allocated(f))
	}
	if size > limit {
		tb.Fatalf("%d bytes of input cost %d bytes of memory", n, size)
	}
}

// roughly returns how many bytes were taken from the heap so far, without
// stopping the program for it as [Allocated] does.
func roughly() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Allocated returns how many bytes f takes from the heap. Tests that run beside it
// count too.
func Allocated(f func()) uint64 {
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	f()
	runtime.ReadMemStats(&is)
	return is.TotalAlloc - was.TotalAlloc
}
