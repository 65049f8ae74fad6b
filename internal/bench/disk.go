package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// DiskOptions describe the least that any recorder has to do: to append the
// same bytes to so many files, so often.
type DiskOptions struct {
	Dir     string // where the files are made; they stay
	Files   int
	BitRate int // of one file, in bits per second
	Gap     time.Duration
	// Warmup passes before anything is counted; then Duration is measured.
	Warmup, Duration time.Duration
}

// DiskResult is what that cost.
type DiskResult struct {
	Bytes    int64   `json:"bytes"`
	CPU      float64 `json:"cpuSeconds"`
	CPUPerGB float64 `json:"cpuSecondsPerGB"`
}

// Disk is the kernel's own price of recording: a loop that does nothing but
// write what a stream brings in one gap to each file in turn. It measures the
// process that it runs in.
func Disk(ctx context.Context, o DiskOptions) (r DiskResult, err error) {
	files := make([]*os.File, o.Files)
	defer func() {
		for _, f := range files {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	for i := range files {
		if files[i], err = os.Create(filepath.Join(o.Dir, strconv.Itoa(i))); err != nil {
			return r, fmt.Errorf("making a file: %w", err)
		}
	}
	piece := make([]byte, int(float64(o.BitRate)/8*o.Gap.Seconds()))
	if _, err := fill(ctx, files, piece, o.Gap, o.Warmup); err != nil {
		return r, err
	}
	before, err := ReadUsage(os.Getpid())
	if err != nil {
		return r, err
	}
	if r.Bytes, err = fill(ctx, files, piece, o.Gap, o.Duration); err != nil {
		return r, err
	}
	after, err := ReadUsage(os.Getpid())
	if err != nil {
		return r, err
	}
	r.CPU = (after.CPU - before.CPU).Seconds()
	if r.Bytes > 0 {
		r.CPUPerGB = r.CPU / (float64(r.Bytes) / 1e9)
	}
	return r, nil
}

// fill appends to the files for a while, one after the other, each once in a gap.
func fill(ctx context.Context, files []*os.File, piece []byte, gap, d time.Duration) (n int64, err error) {
	tick := time.NewTicker(max(gap/time.Duration(max(len(files), 1)), 1))
	defer tick.Stop()
	for end, i := time.Now().Add(d), 0; time.Now().Before(end) && len(files) > 0; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n, context.Cause(ctx)
		}
		m, err := files[i%len(files)].Write(piece)
		if n += int64(m); err != nil {
			return n, fmt.Errorf("writing to a file: %w", err)
		}
	}
	return n, nil
}
