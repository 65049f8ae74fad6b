package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"sluice/internal/bench"
)

// load is a crowd of viewers.
type load struct {
	viewers   int
	streams   int
	bitRate   int
	gop       time.Duration
	flush     string
	scheme    string        // ws, or empty for http
	kernelGap time.Duration // of the kernel's price, 0 for none
	records   string        // folder of the recordings, empty for the usual one
}

// chosen as a kernelGap means the mean gap that the server had.
const chosen time.Duration = -1

// site is a server with streams under way.
type site struct {
	server    *process // nil for a peer
	publisher *process
	url       string
	pid       string
}

func (s *site) close() {
	s.publisher.end()
	s.server.end()
}

// open starts a server and publishes to it, or publishes to the peer.
func (b *rig) open(ctx context.Context, l load) (s *site, err error) {
	s = &site{url: b.peer.flv, pid: b.peer.pid}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	target := b.peer.rtmp
	if target == "" {
		http, err1 := freePort(ctx)
		rtmp, err2 := freePort(ctx)
		if err1 != nil || err2 != nil {
			return s, fmt.Errorf("looking for ports: %w, %w", err1, err2)
		}
		s.server, err = b.start(ctx, serverCore, "--log-level", "warn",
			"--set", "http.listen=127.0.0.1:"+http, "--set", "rtmp.listen=127.0.0.1:"+rtmp, "--set", "flv.flush="+l.flush,
			"--set", "record.dir="+orElse(l.records, "./recordings"))
		if err != nil {
			return s, err
		}
		if err := await(ctx, "127.0.0.1:"+rtmp); err != nil {
			return s, fmt.Errorf("%w: %s", err, s.server.err)
		}
		target, s.url, s.pid = "rtmp://127.0.0.1:"+rtmp+"/live/bench", "http://127.0.0.1:"+http+"/flv/live/bench", s.server.pid()
	}
	if l.scheme != "" {
		s.url = l.scheme + s.url[len("http"):]
	}
	s.publisher, err = b.start(ctx, loadCore, "bench", "publish", target,
		"--streams", strconv.Itoa(max(1, l.streams)), "--bit-rate", strconv.Itoa(orElse(l.bitRate, 1_100_000)),
		"--gop", orElse(l.gop, 2*time.Second).String(), "--duration", "10m")
	if err != nil {
		return s, err
	}
	return s, pause(ctx, 3*time.Second)
}

func orElse[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// viewers measures a crowd.
func (b *rig) viewers(ctx context.Context, l load) (string, error) {
	s, err := b.open(ctx, l)
	if err != nil {
		return "", err
	}
	defer s.close()
	streams := strconv.Itoa(max(1, l.streams))
	warmup := 6 * time.Second
	play := []string{
		"play", s.url, "-n", strconv.Itoa(l.viewers), "--streams", streams,
		"--warmup", (warmup + b.duration).String(), "--duration", b.duration.String(),
	}
	if s.pid != "" {
		play = append(play, "--pid", s.pid)
	}
	// The probes read while the crowd warms up: in what is counted, the
	// crowd is alone.
	var got bench.PlayResult
	var wg sync.WaitGroup
	var playErr error
	wg.Go(func() { playErr = b.ask(ctx, &got, play...) })
	connecting := 4*time.Second + time.Duration(l.viewers)*time.Millisecond
	var late bench.LatencyResult
	if err = pause(ctx, connecting); err == nil {
		err = b.ask(ctx, &late, "latency", s.url, "--streams", streams, "--warmup", "1s", "--duration", b.duration.String())
	}
	wg.Wait()
	if err != nil || playErr != nil {
		return "", fmt.Errorf("%w, %w", err, playErr)
	}
	kernel, err := b.kernel(ctx, l, late.Gap)
	if err != nil {
		return "", err
	}
	return format(got, late, kernel), nil
}

// kernel measures the kernel's own price of a load, 0 for none.
func (b *rig) kernel(ctx context.Context, l load, gap time.Duration) (float64, error) {
	switch l.kernelGap {
	case 0:
		return 0, nil
	case chosen:
		gap = gap.Round(time.Millisecond)
	default:
		gap = l.kernelGap
	}
	port, err := freePort(ctx)
	if err != nil {
		return 0, err
	}
	floor, err := b.start(ctx, serverCore, "bench", "floor", "--listen", "127.0.0.1:"+port,
		"-n", strconv.Itoa(l.viewers), "--bit-rate", strconv.Itoa(orElse(l.bitRate, 1_100_000)), "--gap", gap.String())
	if err != nil {
		return 0, err
	}
	defer floor.end()
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	var r bench.PlayResult
	err = b.ask(ctx, &r, "play", "http://127.0.0.1:"+port+"/", "-n", strconv.Itoa(l.viewers),
		"--warmup", "3s", "--duration", b.duration.String(), "--pid", floor.pid())
	return r.CPUPerGB, err
}

func format(p bench.PlayResult, l bench.LatencyResult, kernel float64) string {
	price, ratio := "–", "–"
	if kernel > 0 {
		price, ratio = fmt.Sprintf("%.2f", kernel), fmt.Sprintf("%.2f", p.CPUPerGB/kernel)
	}
	slowest := 0.0
	if p.RateP50 > 0 {
		slowest = 100 * p.RateMin / p.RateP50
	}
	return fmt.Sprintf("%.2f | %s | %s | %s | %s / %s | %s / %s | %.1f kB | %d, %.0f %%",
		p.CPUPerGB, price, ratio, ms(l.Gap), ms(l.Added.P50), ms(l.Added.P99), ms(l.First.P50), ms(l.First.P99),
		p.PerViewer/1000, p.Starved, slowest)
}

func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
