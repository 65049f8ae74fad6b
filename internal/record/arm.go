package record

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/session"
	"sluice/internal/stream"
)

const (
	// maxArmed is how many recordings may wait for their streams.
	maxArmed = 1000
	// followWithin is how long one waits that goes on behind another one, for
	// a publisher that has changed its tracks to show the new ones.
	followWithin = 30 * time.Second
	// opening is how long after the beginning of a stream a recording that
	// waited for it can still have all of it.
	opening = 3 * time.Second
)

var (
	// errArmed refuses to arm one more.
	errArmed = fmt.Errorf("record: %d recordings wait for their streams already", maxArmed)
	// errNoStream ends the wait for a stream that was to go on.
	errNoStream error = session.NewReason("no_stream", "the stream did not go on")
)

// arm makes a reserved recording wait for its stream. It is in no catalogue
// until it has a file.
func (r *recorder) arm(rec *recording, path string) Facts {
	now := time.Now()
	rec.options.before = max(rec.options.before, opening)
	rec.mu.Lock()
	rec.facts = Facts{ID: newID(now), StreamPath: path, State: Armed, StartedAt: instant(now)}
	facts := rec.facts
	rec.mu.Unlock()
	close(rec.begun)
	go func() {
		err := r.await(rec, path)
		r.mu.Lock()
		r.armed--
		r.mu.Unlock()
		if err == nil && rec.stream != nil {
			rec.run()
		} else {
			rec.disarm(err)
		}
		r.release(path, rec, err)
	}()
	return facts
}

// await begins the recording as soon as its stream is live. Without a stream it
// has been called off.
func (r *recorder) await(rec *recording, path string) error {
	live := make(chan struct{}, 1)
	defer r.streams.Watch(live)()
	for {
		if s := r.streams.Find(path); s != nil {
			err := r.prepare(rec, s)
			if err == nil {
				return nil
			}
			rec.stream = nil
			if !errors.Is(err, errNotLive) {
				r.log.Error("an armed recording could not begin", "stream", path, "err", err)
				return err
			}
		}
		select {
		case <-live:
		case <-rec.queue.over:
			return nil
		}
	}
}

// disarm ends a recording that never had a file.
func (r *recording) disarm(err error) {
	r.queue.End(err)
	_, r.reason = r.queue.state()
	state := Finished
	if err != nil {
		state, r.reason = Failed, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts.end(state, time.Now(), err)
}

// goesOn tells whether a recording that is over goes on with the next stream
// under its path. The caller holds r.mu.
func (r *recorder) goesOn(rec *recording) bool {
	changed := errors.Is(rec.reason, stream.ErrChanged) || errors.Is(rec.reason, stream.ErrTimeline)
	return changed && !rec.options.auto && !rec.stopped && !r.closing && r.armed < maxArmed &&
		(rec.until.IsZero() || time.Now().Before(rec.until))
}

// follow arms a recording in place of one whose stream goes on with other
// tracks, for as long as these may take to show up.
func (r *recorder) follow(rec *recording, path string) {
	rec.options.before = 0 // of the stream before
	r.arm(rec, path)
	time.AfterFunc(followWithin, func() {
		if rec.snapshot().State == Armed {
			rec.queue.End(errNoStream)
		}
	})
}

// waiting returns the facts of the armed recordings that match, newest first.
func (r *recorder) waiting(match func(*Facts) bool) (items []Facts) {
	for _, f := range r.all() {
		if f.State == Armed && match(&f) {
			items = append(items, f)
		}
	}
	slices.SortFunc(items, func(a, b Facts) int { return b.StartedAt.Compare(a.StartedAt) })
	return items
}
