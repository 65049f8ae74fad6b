// Package memtest holds parsers to the memory that their input is worth.
package memtest

import (
	"flag"
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
	// sampled is how many executions of a fuzz target there are for one that is
	// measured exactly in any case.
	sampled = 32
)

// Bound fails the test when f, which parses n bytes, allocates more than they are
// worth.
//
//nolint:thelper // Helper would take longer than many a parser
func Bound(tb testing.TB, n int, f func()) { Limit(tb, PerByte*n+Fixed, f) }

// Limit fails the test when f allocates more than so many bytes. While a target is
// fuzzed it calls f once as a rule and looks at what the heap grew by, which costs
// nothing: but objects of up to 32 KiB are counted when the pages that they lie in are
// full, so that half of the limit is left for them, and one call in 32 is measured
// exactly, which stops the program. Seeds always are.
//
//nolint:thelper // Helper would take longer than many a parser
func Limit(tb testing.TB, bytes int, f func()) {
	limit := uint64(bytes)
	if fuzzed() && rand.IntN(sampled) != 0 {
		was := roughly()
		f()
		if roughly()-was <= limit/2 {
			return
		}
	}
	size := Allocated(f)
	for i := 1; i < tries && size > limit; i++ {
		size = min(size, Allocated(f))
	}
	if size > limit {
		tb.Helper()
		tb.Fatalf("it took %d bytes of memory, more than %d", size, limit)
	}
}

// fuzzed tells whether the test runs to find inputs, not only with those that are known.
func fuzzed() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
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
