package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/flv"
	"sluice/internal/bench"
)

const (
	recordedStreams = 50
	// settle passes after recordings begin or end before anything is counted.
	settle = 4 * time.Second
	// offBy is how much a recording may be shorter or longer than the time
	// that passed: it begins at a key frame.
	offBy = 3 * time.Second
)

// recorded is what the API says of a recording.
type recorded struct {
	State      string `json:"state"`
	File       string `json:"file"`
	DurationMS int64  `json:"durationMs"`
	Bytes      int64  `json:"bytes"`
	Gaps       int    `json:"gaps"`
	LostMS     int64  `json:"lostMs"`
}

// recordings measures what recordings cost beyond taking their streams in: the
// server without, with, and again without them, and then a loop that only
// writes the same bytes to the same disk, as often.
func (b *rig) recordings(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	l := load{streams: recordedStreams, bitRate: 4_000_000, flush: "auto", records: filepath.Join(dir, "recordings")}
	s, err := b.open(ctx, l)
	if err != nil {
		return "", err
	}
	defer s.close()
	without, err := b.observe(ctx, s)
	if err != nil {
		return "", err
	}
	begun := time.Now()
	if _, err := s.recordAll(ctx, "start"); err != nil {
		return "", fmt.Errorf("%w (the publisher: %s)", err, lastLine(s.publisher.err.String()))
	}
	with, err := b.observe(ctx, s)
	if err != nil {
		return "", err
	}
	took := time.Since(begun)
	all, err := s.recordAll(ctx, "stop")
	if err != nil {
		return "", err
	}
	after, err := b.observe(ctx, s)
	if err != nil {
		return "", err
	}
	s.close()
	var kernel bench.DiskResult
	if err := b.ask(ctx, &kernel, "disk", dir, "-n", strconv.Itoa(recordedStreams), "--bit-rate", strconv.Itoa(l.bitRate),
		"--warmup", settle.String(), "--duration", b.duration.String()); err != nil {
		return "", err
	}
	whole, bytes := 0, int64(0)
	for _, r := range all {
		bytes += r.Bytes
		if err := r.check(l.records, took); err != nil {
			fmt.Fprintln(os.Stderr, r.File+":", err)
			continue
		}
		whole++
	}
	idle := (without.cpu + after.cpu) / 2
	price := (with.cpu - idle) / (float64(bytes) / took.Seconds() / 1e9)
	return fmt.Sprintf("%.2f | %.2f | %.2f | – | – | – | %.1f kB | %d of %d whole; %.1f %% of a core, %.1f %% and %.1f %% without",
		price, kernel.CPUPerGB, price/kernel.CPUPerGB, float64(with.rss-without.rss)/recordedStreams/1000, whole, recordedStreams,
		100*with.cpu, 100*without.cpu, 100*after.cpu), nil
}

// observed is what a server used for a while.
type observed struct {
	cpu float64 // of a core
	rss int64   // at most
}

// observe waits until the server has settled, and measures it.
func (b *rig) observe(ctx context.Context, s *site) (o observed, err error) {
	if err := pause(ctx, settle); err != nil {
		return o, err
	}
	pid, err := strconv.Atoi(s.pid)
	if err != nil {
		return o, err
	}
	before, err := bench.ReadUsage(pid)
	if err != nil {
		return o, err
	}
	start := time.Now()
	for time.Since(start) < b.duration {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return o, err
		}
		now, err := bench.ReadUsage(pid)
		if err != nil {
			return o, err
		}
		o.cpu, o.rss = (now.CPU-before.CPU).Seconds()/time.Since(start).Seconds(), max(o.rss, now.RSS)
	}
	return o, nil
}

// recordAll starts or stops the recordings of all streams.
func (s *site) recordAll(ctx context.Context, what string) ([]recorded, error) {
	all, errs := make([]recorded, recordedStreams), make([]error, recordedStreams)
	base, _, _ := strings.Cut(s.url, "/flv/")
	var wg sync.WaitGroup
	for n := range all {
		wg.Go(func() {
			errs[n] = post(ctx, base+"/flv/record/"+what+"/live/bench"+strconv.Itoa(n), &all[n])
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func post(ctx context.Context, url string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, a.Status)
	}
	return json.NewDecoder(a.Body).Decode(answer)
}

// check tells what a recording lacks that took so long.
func (r *recorded) check(dir string, took time.Duration) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(r.File)))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := flv.SurveyFile(f, info.Size())
	if err != nil {
		return err
	}
	said := time.Duration(r.DurationMS) * time.Millisecond
	switch {
	case r.State != "finished" || r.Gaps > 0 || r.LostMS > 0:
		return fmt.Errorf("it is said to be %s with %d gaps", r.State, r.Gaps)
	case !s.Complete || s.Size != r.Bytes:
		return fmt.Errorf("it is not complete: %d bytes of tags, said to be %d", s.Size, r.Bytes)
	case (s.Duration-said).Abs() > time.Millisecond || (said-took).Abs() > offBy:
		return fmt.Errorf("it is %v long, said to be %v, and took %v", s.Duration, said, took)
	}
	return nil
}
