package record

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"sluice/internal/session"
	"sluice/internal/stream"
)

var (
	// errNotLive refuses to record a stream that nobody publishes.
	errNotLive = errors.New("record: the stream is not live")
	// errNotRecorded refuses to stop what does not run.
	errNotRecorded = errors.New("record: the stream is not being recorded")
	// errClosing refuses new recordings while the server shuts down.
	errClosing = errors.New("record: the server shuts down")
	// errInUse refuses to delete a file that is being written.
	errInUse = errors.New("record: the file is being written")
	// errNoStorage says that the storage which has a file is not the one that
	// is configured.
	errNoStorage = errors.New("record: the file lies in storage that is not configured")
	// errStorage says that the storage could not be asked.
	errStorage = errors.New("record: the storage does not answer as it should")
	// errStuck says that a recording could not be ended in time.
	errStuck = errors.New("record: the disk does not answer: the recording ends once it does")
	// errStopped ends a recording by a call of the API.
	errStopped error = session.NewReason("stopped", "stopped by a control call")
)

// recorder knows the recordings that run, at most one for each stream path. It
// is safe for concurrent use.
type recorder struct {
	log      *slog.Logger
	streams  *stream.Registry
	sessions *session.List
	store    *store
	uploads  *uploader // nil where recordings stay on the disk
	config   Config
	space    space
	work     sync.WaitGroup // the goroutines of open
	patience time.Duration  // for a disk to take the end of a recording
	ended    chan struct{}  // closed when nothing of all this runs any more

	mu       sync.Mutex            // guards all below; no I/O while it is held
	open     map[string]*recording // by stream path
	armed    int                   // of open
	failures map[string]error      // by stream path: why the last recording failed
	closing  bool
}

// options is what a recording is asked to do.
type options struct {
	arm    bool          // wait for the stream
	before time.Duration // how far back it begins
	length time.Duration // when it ends by itself; 0 is never
	until  time.Time     // the same of one that goes on in place of another
	auto   bool          // nobody asked
}

// start returns the recording of a stream, which it begins unless one runs or
// is armed. The options of one that is there stay as they are.
func (r *recorder) start(ctx context.Context, path string, o options) (Facts, error) {
	for {
		s := r.streams.Find(path)
		if s == nil { // it may be held for its publisher, and recorded
			if f, ok := r.status(path); ok && (f.State == Reconnecting || f.State == Armed) {
				return f, nil
			}
			if !o.arm {
				return Facts{}, errNotLive
			}
		}
		rec, own, err := r.reserve(path, o, s == nil)
		if err != nil {
			return Facts{}, err
		}
		if own && s == nil {
			return r.arm(rec, path), nil
		}
		if own {
			err := r.begin(rec, s)
			if errors.Is(err, errNotLive) {
				continue // it ended since; look who follows
			}
			return rec.snapshot(), err
		}
		if f, ok, err := join(ctx, rec); ok || err != nil {
			return f, err
		}
	}
}

// join returns the facts of a recording that somebody else has begun, or waits
// until it is over, so that a new one can begin.
func join(ctx context.Context, rec *recording) (f Facts, ok bool, err error) {
	if err := wait(ctx, rec.begun); err != nil {
		return Facts{}, false, err
	}
	if rec.startErr != nil && !errors.Is(rec.startErr, errNotLive) {
		return Facts{}, false, rec.startErr
	}
	if ended, _ := rec.queue.state(); !ended && rec.startErr == nil {
		return rec.snapshot(), true, nil
	}
	return Facts{}, false, wait(ctx, rec.done)
}

func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reserve returns the recording of a path. own tells that it is new, and for
// the caller to begin.
func (r *recorder) reserve(path string, o options, arm bool) (rec *recording, own bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return nil, false, errClosing
	}
	if rec := r.open[path]; rec != nil {
		return rec, false, nil
	}
	if arm && r.armed >= maxArmed {
		return nil, false, errArmed
	}
	return r.newRecording(path, o, arm), true, nil
}

// newRecording makes a recording and puts it into place. mu is held.
func (r *recorder) newRecording(path string, o options, arm bool) *recording {
	rec := newRecording(r.log)
	rec.options, rec.store, rec.segment = o, r.store, r.config.Segment
	r.open[path] = rec
	if arm {
		r.armed++
	}
	r.work.Add(1)
	return rec
}

// begin makes the file of a reserved recording and starts to write it.
func (r *recorder) begin(rec *recording, s *stream.Stream) error {
	err := r.prepare(rec, s)
	if err != nil {
		rec.startErr = err
		rec.queue.End(err)
	}
	close(rec.begun)
	if err != nil {
		r.release(s.Path(), rec, err)
		return err
	}
	go func() {
		rec.run()
		r.release(s.Path(), rec, nil)
	}()
	return nil
}

func (r *recorder) prepare(rec *recording, s *stream.Stream) error {
	catalog, err := r.store.open(true)
	if err != nil {
		return err
	}
	if err := r.space.check(0); err != nil {
		return err
	}
	rec.queue.video, rec.waiting = s.HasVideo(), s.HasVideo()
	window, detach, err := s.TapFrom(rec.queue, rec.options.before)
	if err != nil {
		return errNotLive
	}
	now := time.Now()
	rec.stream, rec.catalog = s, catalog
	p, facts, err := rec.next(Facts{ID: rec.snapshot().ID, StreamPath: s.Path(), StartedAt: now}, s)
	if err != nil {
		detach()
		return err
	}
	if rec.until = rec.options.until; rec.until.IsZero() && rec.options.length > 0 {
		rec.until = now.Add(rec.options.length)
	}
	rec.window, rec.detach = window, detach
	rec.session = r.sessions.Open(session.Info{Role: session.Recording, Proto: "file", Stream: s.Path()}, rec.queue.End)
	rec.use(p, facts)
	return nil
}

// maxFailures is how many streams are remembered whose recording failed.
const maxFailures = 1000

// release forgets a recording that is over, and remembers why it failed, or
// could not begin. Where its stream goes on with other tracks, another one waits
// in its place.
func (r *recorder) release(path string, rec *recording, failed error) {
	if f := rec.snapshot(); failed == nil && f.State == Failed {
		failed = rec.reason
	}
	r.mu.Lock()
	delete(r.open, path)
	if failed == nil || errors.Is(failed, errNotLive) {
		delete(r.failures, path)
	} else if _, known := r.failures[path]; known || len(r.failures) < maxFailures {
		r.failures[path] = failed
	}
	var next *recording
	if r.goesOn(rec) {
		o := rec.options
		o.until = rec.until
		next = r.newRecording(path, o, true)
	}
	r.mu.Unlock()
	if next != nil {
		r.follow(next, path)
	}
	close(rec.done)
	r.store.signal()
	r.work.Done()
}

// failure returns why the last recording of a stream failed, nil if it did not.
func (r *recorder) failure(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures[path]
}

// stop ends the recording of a stream and returns its final facts, when the
// file is complete and synced. On a disk that does not answer it ends later.
func (r *recorder) stop(ctx context.Context, path string) (Facts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.patience, errStuck)
	defer cancel()
	rec := r.halt(path)
	if rec == nil {
		return Facts{}, errNotRecorded
	}
	if err := wait(ctx, rec.begun); err != nil {
		return Facts{}, err
	}
	if rec.startErr != nil {
		return Facts{}, errNotRecorded
	}
	rec.queue.End(errStopped)
	if err := wait(ctx, rec.done); err != nil {
		return Facts{}, err
	}
	return rec.snapshot(), nil
}

// halt returns the recording of a stream, behind which none follows.
func (r *recorder) halt(path string) *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.open[path]
	if rec != nil {
		rec.stopped = true
	}
	return rec
}

// status returns the running recording of a stream.
func (r *recorder) status(path string) (Facts, bool) {
	rec := r.find(path)
	if rec == nil {
		return Facts{}, false
	}
	return r.running(rec)
}

// running returns the facts of a recording that has begun.
func (r *recorder) running(rec *recording) (Facts, bool) {
	select {
	case <-rec.begun:
		return rec.snapshot(), rec.startErr == nil
	default:
		return Facts{}, false
	}
}

// all returns the facts of the recordings that have not ended.
func (r *recorder) all() (items []Facts) {
	r.mu.Lock()
	open := slices.Collect(maps.Values(r.open))
	r.mu.Unlock()
	for _, rec := range open {
		if f, ok := r.running(rec); ok {
			items = append(items, f)
		}
	}
	return items
}

func (r *recorder) find(path string) *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[path]
}

// patience is how long a call waits for the end of a recording, and a shutdown
// for the end of all: what a disk needs that has fallen asleep.
const patience = 10 * time.Second

// Run implements [module.Module]: it ends all recordings cleanly when ctx is
// done, but waits no longer than its patience for a disk that does not answer:
// what was written is repaired at the next start.
func (r *recorder) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { r.watchDisk(ctx) })
	if len(r.config.Auto) > 0 {
		work.Go(func() { r.runAuto(ctx) })
	}
	if r.config.Retain != (RetainConfig{}) {
		work.Go(func() { r.retain(ctx) })
	}
	if r.uploads != nil {
		r.uploads.run(ctx)
	}
	<-ctx.Done()
	r.mu.Lock()
	r.closing = true
	for _, rec := range r.open {
		rec.queue.End(session.ErrShutdown)
	}
	running := len(r.open)
	r.mu.Unlock()
	go func() {
		r.work.Wait()
		work.Wait()
		r.store.close()
		close(r.ended)
	}()
	late := time.NewTimer(r.patience)
	defer late.Stop()
	select {
	case <-r.ended:
	case <-late.C:
		r.log.ErrorContext(ctx, "recordings are left as they are: the disk does not answer", "recordings", running)
	}
	return nil
}
