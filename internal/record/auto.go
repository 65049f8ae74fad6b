package record

import (
	"context"
	"errors"
	"time"

	"sluice/internal/glob"
	"sluice/internal/stream"
)

const (
	// autoEvery is how often it is tried whether a recording that failed can
	// begin again; after that long in a row of failures, less often.
	autoEvery   = time.Second
	firstRecord = 5 * time.Second
	lastRecord  = time.Minute
)

// attempt is what has been done about a stream that is to be recorded.
type attempt struct {
	stream *stream.Stream
	tried  bool
	again  time.Time // not before that, if it failed
	pause  time.Duration
}

// runAuto records the streams that match until ctx is done. One whose recording
// was stopped is left alone until it is published anew; one whose recording
// failed is recorded again when there is room.
func (r *recorder) runAuto(ctx context.Context) {
	live := make(chan struct{}, 1)
	defer r.streams.Watch(live)()
	ticker := time.NewTicker(autoEvery)
	defer ticker.Stop()
	attempts := make(map[string]*attempt)
	for {
		r.tryAll(attempts, time.Now())
		select {
		case <-live:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (r *recorder) tryAll(attempts map[string]*attempt, now time.Time) {
	seen := make(map[string]bool)
	for _, s := range r.streams.Streams() {
		if !glob.Any(r.config.Auto, s.Path()) {
			continue
		}
		seen[s.Path()] = true
		a := attempts[s.Path()]
		if a == nil || a.stream != s {
			a = &attempt{stream: s, pause: firstRecord}
			attempts[s.Path()] = a
		}
		if rec := r.find(s.Path()); rec != nil {
			a.tried = a.tried || rec.records(s)
			continue // or the one before is being finished
		}
		if s.State() != stream.Live || a.tried && !r.again(a, now) {
			continue
		}
		before := opening
		if a.tried { // the one before has its beginning
			before = 0
			a.pause = min(2*a.pause, lastRecord)
		}
		a.tried, a.again = true, now.Add(a.pause)
		r.startAuto(s, before)
	}
	for path := range attempts {
		if !seen[path] {
			delete(attempts, path)
		}
	}
}

// again tells whether a stream is to be recorded once more.
func (r *recorder) again(a *attempt, now time.Time) bool {
	return r.failure(a.stream.Path()) != nil && !now.Before(a.again) && r.space.check(r.space.margin()) == nil
}

// startAuto begins to record a stream, from that long ago on. A disk that is
// slow to make the file holds up no other.
func (r *recorder) startAuto(s *stream.Stream, before time.Duration) {
	rec, own, err := r.reserve(s.Path(), options{auto: true, before: before}, false)
	if err != nil || !own {
		return
	}
	go func() {
		if err := r.begin(rec, s); err != nil && !errors.Is(err, errNotLive) {
			r.log.Error("a stream that is to be recorded is not", "stream", s.Path(), "err", err)
		}
	}()
}
