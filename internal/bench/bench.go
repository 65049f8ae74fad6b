// Package bench measures servers that take RTMP and give out HTTP-FLV, Sluice
// or any other: it publishes streams whose frames carry the time at which they
// were sent, plays them with many viewers that cost next to nothing, and tells
// from the frames' times how much later they came out.
package bench

import (
	"math"
	"slices"
	"time"
)

// Stats describes a set of durations.
type Stats struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50Ns"`
	P90   time.Duration `json:"p90Ns"`
	P99   time.Duration `json:"p99Ns"`
	Max   time.Duration `json:"maxNs"`
}

// newStats sorts all and sums them up.
func newStats(all []time.Duration) Stats {
	slices.Sort(all)
	return Stats{
		Count: len(all),
		P50:   percentile(all, 0.50), P90: percentile(all, 0.90), P99: percentile(all, 0.99), Max: percentile(all, 1),
	}
}

// percentile returns the value below or at which that part of the sorted
// values lies, zero of none.
func percentile[T int64 | float64 | time.Duration](sorted []T, part float64) T {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
