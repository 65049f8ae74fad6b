package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"sluice/internal/httpd"
	"sluice/internal/module"
)

const (
	// maxUploads is how many files are uploaded at a time: two, so that a
	// large one does not hold up all others.
	maxUploads = 2
	// firstRetry and lastRetry are the shortest and the longest wait after an
	// attempt that failed; each is twice the one before.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// lastPause is the longest time that nothing at all is tried, when one
	// attempt after another fails, whatever the file.
	lastPause = time.Minute
	// removeTimeout is how long the storage may take to delete something.
	removeTimeout = 20 * time.Second
	// maxRemoteError bounds what the catalogue keeps of an error.
	maxRemoteError = 300
)

var (
	// errHeld ends an upload whose recording is being deleted.
	errHeld = errors.New("record: the recording is being deleted")
	// errGone says that a file was removed from the folder before it was
	// uploaded. It may come back with a disk that is mounted.
	errGone = errors.New("record: the file is gone from the folder")
)

// uploader takes finished files to the storage, oldest first. What there is to
// do stands in the catalogue, so that nothing is forgotten when the process
// ends at whatever moment, and an upload that was cut off begins again. It is
// safe for concurrent use.
type uploader struct {
	log    *slog.Logger
	store  *store
	bucket bucket
	config S3Config
	facts  *module.Facts // nil, or where the page learns from where files are fetched

	mu    sync.Mutex           // guards all below
	busy  map[string]*transfer // by id: what is being uploaded, or held
	fails int                  // attempts in a row, of whatever file
	pause time.Time            // nothing is tried before that
}

// transfer is the work on one recording.
type transfer struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func newUploader(log *slog.Logger, s *store, b bucket, cfg S3Config) *uploader {
	return &uploader{log: log, store: s, bucket: b, config: cfg, busy: make(map[string]*transfer)}
}

// run uploads until ctx is done, and returns when nothing is under way. What
// is cut off by that begins again at the next start.
func (u *uploader) run(ctx context.Context) {
	var work sync.WaitGroup
	defer u.bucket.Close()
	defer work.Wait()
	work.Go(func() { u.discover(ctx) })
	work.Go(func() { u.announce(ctx) })
	for {
		timer := time.NewTimer(u.begin(ctx, &work))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-u.store.settled:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// announce says to what host addresses are signed, which need not be that of
// the endpoint: it can have the bucket's name and the region in it, for which
// the storage may have to be asked.
func (u *uploader) announce(ctx context.Context) {
	for attempts := 1; u.facts != nil; attempts++ {
		signed, err := u.bucket.Sign(ctx, http.MethodGet, u.config.key("any"+extension))
		if at, parse := url.Parse(signed); err == nil && parse == nil {
			u.facts.Set(factStorage, u.config.origin()+" "+at.Scheme+"://"+at.Host)
			return
		}
		timer := time.NewTimer(backoff(attempts))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// begin begins as many uploads as may run and returns how long there is
// nothing to do.
func (u *uploader) begin(ctx context.Context, work *sync.WaitGroup) time.Duration {
	catalog, err := u.store.open(false)
	if err != nil || catalog == nil {
		return lastPause // whoever makes it signals it, too
	}
	now := time.Now()
	busy, wait := u.load(now)
	if wait > 0 {
		return wait
	}
	items, next, err := catalog.due(now, maxUploads+busy, u.config.KeepLocal)
	if err != nil {
		return firstRetry // the catalogue tells
	}
	for _, f := range items {
		one, cancel := context.WithCancelCause(ctx)
		t := &transfer{cancel, make(chan struct{})}
		if !u.claim(f.ID, t) {
			cancel(nil)
			continue
		}
		work.Go(func() {
			defer put(u.store.settled)
			defer u.release(f.ID, t)
			u.step(one, catalog, f.File)
		})
	}
	if next.IsZero() {
		return lastRetry
	}
	return max(0, next.Sub(now))
}

// load returns how many recordings are worked on or held, and how long nothing
// more is to be begun. The end of one signals.
func (u *uploader) load(now time.Time) (busy int, wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.busy) >= maxUploads {
		return len(u.busy), lastRetry
	}
	return len(u.busy), u.pause.Sub(now)
}

// claim makes a recording busy, unless it is, or enough others are.
func (u *uploader) claim(id string, t *transfer) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.busy[id] != nil || len(u.busy) >= maxUploads {
		return false
	}
	u.busy[id] = t
	return true
}

// release lets others work on a recording.
func (u *uploader) release(id string, t *transfer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t.cancel(nil)
	delete(u.busy, id)
	close(t.done)
}

// hold cuts off the upload of a recording and keeps others from beginning. The
// caller releases it.
func (u *uploader) hold(ctx context.Context, id string) (release func(), err error) {
	for {
		u.mu.Lock()
		t := u.busy[id]
		if t == nil {
			t = &transfer{func(error) {}, make(chan struct{})}
			u.busy[id] = t
			u.mu.Unlock()
			return func() { u.release(id, t); put(u.store.settled) }, nil
		}
		t.cancel(errHeld)
		u.mu.Unlock()
		if err := wait(ctx, t.done); err != nil {
			return nil, err
		}
	}
}

// serveAway answers for a file that is in the storage alone.
func (r *recorder) serveAway(w http.ResponseWriter, req *http.Request, at *Remote) {
	if req.URL.RawQuery != "" {
		httpd.Error(w, httpd.NewProblem(http.StatusConflict,
			"the file lies in the storage and can only be had whole: ask without parameters and follow the redirect"))
		return
	}
	if r.uploads == nil || r.uploads.bucket.Name() != at.Bucket {
		httpd.Error(w, problem(errNoStorage))
		return
	}
	address, err := r.uploads.bucket.Sign(req.Context(), req.Method, at.Key)
	if err != nil {
		httpd.Error(w, problem(fmt.Errorf("%w: %w", errStorage, err)))
		return
	}
	h := w.Header()
	h.Set("Location", address)
	h.Set("Cache-Control", "no-store") // the address is good for some time only
	w.WriteHeader(http.StatusTemporaryRedirect)
}
