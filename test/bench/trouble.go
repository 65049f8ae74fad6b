package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"sluice/internal/bench"
)

// others is a site with a crowd that shall notice nothing.
type others struct {
	*site
	b     *rig
	crowd *process
	calm  bench.LatencyResult // before
}

func (b *rig) others(ctx context.Context, l load) (*others, error) {
	s, err := b.open(ctx, l)
	if err != nil {
		return nil, err
	}
	o := &others{site: s, b: b}
	o.crowd, err = b.start(ctx, loadCore, "bench", "play", s.url, "-n", strconv.Itoa(l.viewers), "--duration", "5m")
	if err == nil {
		err = pause(ctx, 3*time.Second)
	}
	if err == nil {
		o.calm, err = o.watch(ctx, 8*time.Second)
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *others) close() {
	o.crowd.end()
	o.site.close()
}

// watch measures how late the others get their frames.
func (o *others) watch(ctx context.Context, d time.Duration) (r bench.LatencyResult, err error) {
	err = o.b.ask(ctx, &r, "latency", o.url, "--starts", "0", "--warmup", "1s", "--duration", d.String())
	return r, err
}

// growth watches the server's memory until stop is closed, and returns by how
// much it has grown at most.
func (o *others) growth(stop <-chan struct{}) int64 {
	before, most := o.server.rss(), int64(0)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return most - before
		case <-tick.C:
			most = max(most, o.server.rss())
		}
	}
}

// burst lets a thousand browsers join within a second.
func (b *rig) burst(ctx context.Context) (string, error) {
	o, err := b.others(ctx, load{viewers: 200, flush: "auto", bitRate: 4_000_000, gop: 4 * time.Second})
	if err != nil {
		return "", err
	}
	defer o.close()
	var joined, during bench.LatencyResult
	var joinErr error
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var grown int64
	var memory sync.WaitGroup
	memory.Go(func() { grown = o.growth(stop) })
	wg.Go(func() {
		joinErr = b.ask(ctx, &joined, "latency", o.url+"?profile=web", noProbes, "--starts", "1000",
			"--within", "1s", "--warmup", "2s", "--duration", "4s")
	})
	during, err = o.watch(ctx, 4*time.Second)
	wg.Wait()
	close(stop)
	memory.Wait()
	if err != nil || joinErr != nil {
		return "", fmt.Errorf("%w, %w", err, joinErr)
	}
	return fmt.Sprintf("– | – | – | %s | others: %s / %s, before %s / %s | %s / %s (%d joined) | %.0f MiB in all | %d failed, –",
		ms(during.Gap), ms(during.Added.P50), ms(during.Added.P99), ms(o.calm.Added.P50), ms(o.calm.Added.P99),
		ms(joined.First.P50), ms(joined.First.P99), joined.First.Count, float64(grown)/(1<<20), joined.Failed), nil
}

// stalled adds a thousand viewers that read nothing.
func (b *rig) stalled(ctx context.Context) (string, error) {
	const n = 1000
	o, err := b.others(ctx, load{viewers: 500, flush: "auto"})
	if err != nil {
		return "", err
	}
	defer o.close()
	stop := make(chan struct{})
	var grown int64
	var memory sync.WaitGroup
	memory.Go(func() { grown = o.growth(stop) })
	kernel := kernelTCP()
	bad, err := b.start(ctx, loadCore, "bench", "play", o.url, "-n", strconv.Itoa(n), "--stalled", "--warmup", "0s", "--duration", "30s")
	if err != nil {
		return "", err
	}
	defer bad.end()
	if err := pause(ctx, 3*time.Second); err != nil {
		return "", err
	}
	during, err := o.watch(ctx, 6*time.Second) // until before they are closed
	if err != nil {
		return "", err
	}
	kernel = kernelTCP() - kernel
	close(stop)
	memory.Wait()
	return fmt.Sprintf("– | – | – | %s | healthy: %s / %s, before %s / %s | – | process %.1f MiB in all, kernel %.0f kB each | –",
		ms(during.Gap), ms(during.Added.P50), ms(during.Added.P99), ms(o.calm.Added.P50), ms(o.calm.Added.P99),
		float64(grown)/(1<<20), float64(kernel)/n/1000), nil
}
