package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"sluice/flv"
	"sluice/media"
)

// probe is a viewer that notes when each picture came. It is safe for
// concurrent use.
type probe struct {
	url string

	mu       sync.Mutex // guards all below
	pictures []arrival
	key      time.Time
	more     chan struct{} // closed and replaced with each key frame
	err      error
}

type arrival struct {
	came time.Time
	dts  time.Duration
}

// newProbe watches until the context is done.
func newProbe(ctx context.Context, url string) (*probe, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"&profile=web&join=next", http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r) //nolint:bodyclose // the goroutine that reads it closes it
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	p := &probe{url: url, more: make(chan struct{})}
	go func() {
		defer answer.Body.Close()
		in := flv.NewReader(answer.Body)
		for err := error(nil); err == nil; {
			var tag flv.Tag
			tag, err = in.Next()
			p.note(tag, err)
		}
	}()
	return p, nil
}

func (p *probe) note(tag flv.Tag, err error) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	frame := flv.ParseBody(tag.Type, tag.Body)
	if err == nil && (frame.Kind != media.Video || frame.Type != media.Frame) {
		return
	}
	p.err = err
	if err == nil {
		p.pictures = append(p.pictures, arrival{now, tag.DTS})
	}
	if err != nil || frame.Key {
		p.key = now
		close(p.more)
		p.more = make(chan struct{})
	}
}

// into waits until so long behind the next key frame.
func (p *probe) into(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	more := p.more
	p.mu.Unlock()
	select {
	case <-more:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	key, err := p.key, p.err
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("the probe: %w", err)
	}
	return pause(ctx, time.Until(key.Add(d)))
}

// newest returns the decoding time of the newest picture that had come by then.
func (p *probe) newest(by time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, picture := range slices.Backward(p.pictures) {
		if !picture.came.After(by) {
			return picture.dts
		}
	}
	return 0
}
