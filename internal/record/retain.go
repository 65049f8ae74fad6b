package record

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// retainEvery is how often it is looked for recordings that are too old.
	retainEvery = time.Minute
	// retainPause is the least time between two looks, however many
	// recordings end, and retainShare how many times as long as a look it is.
	retainPause = time.Second
	retainShare = 20
	// retainPage is how many recordings are looked at at once.
	retainPage = 1000
)

// retain deletes what the configuration does not want to keep, until ctx is
// done.
func (r *recorder) retain(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var soonest, due time.Time // of the next look
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			begun := time.Now()
			r.prune(ctx, begun)
			now := time.Now()
			soonest = now.Add(max(retainPause, retainShare*now.Sub(begun)))
			due = now.Add(retainEvery)
		case <-r.store.stale:
			due = earlier(due, time.Now().Add(retainPause))
		}
		if due.Before(soonest) {
			due = soonest
		}
		timer.Reset(time.Until(due))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// prune deletes the recordings that nobody wants to keep, the oldest first.
func (r *recorder) prune(ctx context.Context, now time.Time) {
	due, err := r.surplus(now)
	if err != nil {
		r.log.ErrorContext(ctx, "cannot look for recordings to delete", "err", err)
		return
	}
	for _, f := range slices.Backward(due) {
		if ctx.Err() != nil {
			return
		}
		switch err := r.forgo(ctx, f); {
		case errors.Is(err, errNoFile): // somebody else was faster
		case err != nil:
			r.log.ErrorContext(ctx, "could not delete a recording that is not to be kept", "stream", f.StreamPath, "file", f.File, "err", err)
		default:
			r.log.InfoContext(ctx, "deleted a recording that is not to be kept", "stream", f.StreamPath, "file", f.File)
		}
	}
}

// forgo makes room: it deletes a recording, or, where the storage has it, its
// file on the disk alone.
func (r *recorder) forgo(ctx context.Context, f Facts) error {
	if r.uploads == nil || f.Remote == nil || f.Remote.State != Stored {
		return r.remove(ctx, f.File)
	}
	catalog, err := r.store.open(false)
	if err != nil {
		return err
	}
	return r.uploads.evict(ctx, catalog, f.File)
}

// surplus returns the recordings that are not to be kept, newest first.
func (r *recorder) surplus(now time.Time) (due []Facts, err error) {
	if fits, err := r.fits(now); fits || err != nil {
		return nil, err
	}
	k := keeper{config: r.config.Retain, now: now, streams: make(map[string]int)}
	q := query{limit: retainPage}
	for {
		items, next, err := r.list(q)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if k.surplus(&items[i]) {
				due = append(due, items[i])
			}
		}
		if next == "" {
			return due, nil
		}
		q.before = next
	}
}

// fits tells whether everything can be kept, without a look at each recording.
// It may say no though that is so.
func (r *recorder) fits(now time.Time) (bool, error) {
	catalog, err := r.store.open(false)
	if err != nil {
		return false, err
	}
	e, err := catalog.extent()
	if err != nil {
		return false, err
	}
	for _, f := range r.all() {
		e.bytes += f.Bytes
	}
	c := r.config.Retain
	return (c.Age == 0 || now.UnixMilli()-e.oldest <= c.Age.D().Milliseconds()) &&
		(c.Bytes == 0 || e.bytes <= int64(c.Bytes)) &&
		(c.PerStream == 0 || e.most <= c.PerStream), nil
}

// keeper decides what is kept, from the newest recording to the oldest.
type keeper struct {
	config  RetainConfig
	now     time.Time
	bytes   int64
	streams map[string]int // how many there are of each
}

// surplus tells whether a recording is not to be kept. Those that run count,
// and stay; those that only the storage has are left alone.
func (k *keeper) surplus(f *Facts) bool {
	if !f.onDisk() {
		return false
	}
	k.bytes += f.Bytes
	k.streams[f.StreamPath]++
	c := k.config
	switch {
	case f.busy() || f.EndedAt == nil:
		return false
	case c.Age > 0 && k.now.Sub(*f.EndedAt) > c.Age.D():
		return true
	case c.Bytes > 0 && k.bytes > int64(c.Bytes):
		return true
	}
	return c.PerStream > 0 && k.streams[f.StreamPath] > c.PerStream
}
