// Package memtest holds parsers to the memory that their input is worth.
package memtest

import (
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
)

// What a parser may allocate for n bytes of input: PerByte·n + Fixed.
const (
	PerByte = 4
	Fixed   = 64 << 10
)

const (
	// tries is how often a function is measured that seems to allocate too much:
	// the fuzzing engine allocates beside it now and then.
	tries = 5
	// sampled is how many calls there are for one that is measured exactly in any case.
	sampled = 64
)

// Bound fails the test when f, which parses n bytes, allocates more than they are
// worth. As a rule it calls f once, and looks at what the heap grew by. That costs
// nothing, but small objects are counted late, by pages: so half of the limit is
// left for them, and one call in 64 is measured exactly, which stops the program.
//
//nolint:thelper // Helper would take longer than many a parser
func Bound(tb testing.TB, n int, f func()) {
	limit := PerByte*uint64(n) + Fixed
	was := roughly()
	f()
	if roughly()-was <= limit/2 && rand.IntN(sampled) != 0 {
		return
	}
	size := Allocated(f)
	for i := 1; i < tries && size > limit; i++ {
		size = min(size, Allocated(f))
	}
	if size > limit {
		tb.Helper()
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
