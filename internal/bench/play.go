package bench

import (
	"slices"
	"time"
)

// PlayOptions say how many viewers play what.
type PlayOptions struct {
	// URL of the stream, http://, ws:// or rtmp://. With several streams, "{n}" in it
	// stands for the stream's number, see [StreamURL].
	URL     string
	Streams int
	// Viewers in all, shared out evenly over the streams.
	Viewers int
	// Warmup passes before anything is counted, once all viewers are
	// connected; then Duration is measured.
	Warmup, Duration time.Duration
	// PID is the server's process, whose CPU time and memory are measured on
	// Linux; 0 means none.
	PID int
	// Base is the memory of the server with one viewer, in bytes, for the
	// memory per viewer; 0 lets the first viewer be connected alone.
	Base int64
	// Stalled viewers ask for the stream with the smallest window there is,
	// and then read nothing.
	Stalled bool
	// Progress, if it is not nil, is called about once a second.
	Progress func(text string)
}

// PlayResult is what the viewers saw. Rates are in bits per second.
type PlayResult struct {
	Viewers   int     `json:"viewers"`
	Seconds   float64 `json:"seconds"`
	Bytes     int64   `json:"bytes"`
	RateMin   float64 `json:"rateMin"`
	RateP50   float64 `json:"rateMedian"`
	RateMax   float64 `json:"rateMax"`
	Dropped   int     `json:"dropped"` // connections that ended
	Starved   int     `json:"starved"` // viewers with less than 90 % of the median
	Errors    string  `json:"errors,omitempty"`
	CPUPerGB  float64 `json:"cpuSecondsPerGB,omitempty"`
	CPU       float64 `json:"cpuSeconds,omitempty"`
	RSS       int64   `json:"rss,omitempty"`
	PerViewer float64 `json:"memoryPerViewer,omitempty"`
}

// starvedBelow is the part of the median rate below which a viewer starves.
const starvedBelow = 0.9

// sumUp fills in what follows from the bytes that each viewer got.
func (r *PlayResult) sumUp(bytes []int64, took time.Duration) {
	r.Viewers, r.Seconds = len(bytes), took.Seconds()
	rates := make([]float64, len(bytes))
	for i, n := range bytes {
		r.Bytes += n
		rates[i] = float64(n) * 8 / took.Seconds()
	}
	slices.Sort(rates)
	r.RateMin, r.RateP50, r.RateMax = percentile(rates, 0), percentile(rates, 0.5), percentile(rates, 1)
	for _, rate := range rates {
		if rate < starvedBelow*r.RateP50 {
			r.Starved++
		}
	}
}

// charge adds what the server used between two moments.
func (r *PlayResult) charge(before, after Usage, base int64) {
	r.CPU = (after.CPU - before.CPU).Seconds()
	r.RSS = after.RSS
	if r.Bytes > 0 {
		r.CPUPerGB = r.CPU / (float64(r.Bytes) / 1e9)
	}
	if r.Viewers > 0 {
		r.PerViewer = float64(after.RSS-base) / float64(r.Viewers)
	}
}
