package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"sluice/internal/httpd"
	"sluice/internal/module"
	"sluice/internal/session"
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

// step brings a recording that is claimed one step further, if there still is one:
// between the look at what is due and the claim somebody may have done it.
func (u *uploader) step(ctx context.Context, c *catalog, name string) {
	f, ok, err := c.byFile(name)
	if err != nil || !ok {
		return // the catalogue tells
	}
	if at, ok := f.due(u.config.KeepLocal); ok && !at.After(time.Now()) {
		u.guard(ctx, c, f)
	}
}

// guard turns a panic into a failed attempt.
func (u *uploader) guard(ctx context.Context, c *catalog, f Facts) {
	defer func() {
		if v := recover(); v != nil {
			u.log.ErrorContext(ctx, "recovered from a panic", "stream", f.StreamPath, "err", v, "stack", string(debug.Stack()))
			u.failed(ctx, c, f, session.ErrInternal)
		}
	}()
	u.transfer(ctx, c, f)
}

// transfer brings one recording one step further.
func (u *uploader) transfer(ctx context.Context, c *catalog, f Facts) {
	begun := time.Now()
	r := Remote{State: Uploading, Bucket: u.bucket.Name(), Key: u.config.key(f.File), Local: true}
	again := f.Remote != nil && f.Remote.State == Stored
	if f.Remote != nil {
		r.Attempts, r.Error, r.StoredAt = f.Remote.Attempts, f.Remote.Error, f.Remote.StoredAt
	}
	if !again {
		u.note(ctx, c, &f, r)
	}
	size, err := u.put(ctx, r.Key, f.File)
	if again && errors.Is(err, errGone) {
		err, r.Local = nil, false // somebody else has removed it, or a crash came in between
	}
	if err != nil {
		u.failed(ctx, c, f, err)
		return
	}
	u.count(nil)
	if r.StoredAt == nil || !again {
		at := instant(time.Now())
		r.StoredAt = &at
		u.log.InfoContext(ctx, "uploaded a recording", "stream", f.StreamPath, "file", f.File, "bucket", r.Bucket,
			"key", r.Key, "bytes", size, "seconds", time.Since(begun).Seconds())
	}
	r.State, r.Attempts, r.Error = Stored, 0, ""
	u.note(ctx, c, &f, r)
	if at, ok := f.due(u.config.KeepLocal); ok && !at.After(time.Now()) {
		u.dropLocal(ctx, c, f, r)
	}
}

// put uploads the file of a recording and returns its size. The error is
// [errGone] if there is no file.
func (u *uploader) put(ctx context.Context, key, name string) (int64, error) {
	file, err := u.store.openFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errGone
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), u.bucket.Put(ctx, key, file, info.Size())
}

// count takes account of an attempt, so that a storage that does not work is
// not asked for one file after another. A file that is gone tells nothing.
func (u *uploader) count(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil:
		u.fails, u.pause = 0, time.Time{}
	case !errors.Is(err, errGone):
		u.fails++
		u.pause = time.Now().Add(min(backoff(u.fails), lastPause))
	}
}

// evict removes the file of a recording that the storage has, if it still says
// so. The error is [errNoFile] if somebody else was faster.
func (u *uploader) evict(ctx context.Context, c *catalog, name string) error {
	f, ok, err := c.byFile(name)
	if err != nil {
		return err
	}
	if !ok {
		return errNoFile
	}
	release, err := u.hold(ctx, f.ID)
	if err != nil {
		return err
	}
	defer release()
	if f, ok, err = c.byFile(name); err != nil {
		return err
	}
	if !ok || f.Remote == nil || f.away() {
		return errNoFile
	}
	r := *f.Remote
	if _, err := u.put(ctx, r.Key, name); err != nil {
		return err
	}
	if err := u.store.removeFile(name); err != nil {
		return err
	}
	r.Local = false
	u.note(ctx, c, &f, r)
	return nil
}

// dropLocal removes the file of a recording that the storage has just said to
// have. The file goes first: one that stayed behind would be in no list.
func (u *uploader) dropLocal(ctx context.Context, c *catalog, f Facts, r Remote) {
	if err := u.store.removeFile(f.File); err != nil {
		u.failed(ctx, c, f, fmt.Errorf("removing the local copy: %w", err))
		return
	}
	r.Local = false
	u.note(ctx, c, &f, r)
	u.log.InfoContext(ctx, "removed the local copy of a recording", "stream", f.StreamPath, "file", f.File)
}

// failed writes down when a recording is tried again. An upload that was cut
// off on purpose has not failed.
func (u *uploader) failed(ctx context.Context, c *catalog, f Facts, err error) {
	r := Remote{Bucket: u.bucket.Name(), Key: u.config.key(f.File), Local: true}
	if f.Remote != nil {
		r = *f.Remote
	}
	r.State, r.NextAt = Waiting, nil
	if ctx.Err() != nil {
		u.note(ctx, c, &f, r)
		return
	}
	u.count(err)
	r.Attempts++
	at := instant(time.Now().Add(backoff(r.Attempts)))
	r.NextAt, r.Error = &at, shorten(err.Error(), maxRemoteError)
	u.note(ctx, c, &f, r)
	u.log.WarnContext(ctx, "could not upload a recording, and will try again", "stream", f.StreamPath, "file", f.File,
		"attempts", r.Attempts, "next", at, "err", err)
}

// note writes down how far a recording is.
func (u *uploader) note(ctx context.Context, c *catalog, f *Facts, r Remote) {
	f.Remote = &r
	if err := c.update(*f); err != nil {
		u.log.ErrorContext(ctx, "the catalogue does not know where a recording is", "stream", f.StreamPath, "file", f.File, "err", err)
	}
}

// backoff returns how long to wait after that many attempts, 1 at least. It
// varies, so that what failed together does not come again together.
func backoff(attempts int) time.Duration {
	d := min(lastRetry, firstRetry<<min(attempts-1, 20))
	return d - rand.N(d/4)
}

// shorten cuts a text behind at most n bytes, not within a rune.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return cut(s, n) + "…"
}

// remove deletes what the storage has of a recording that is held.
func (u *uploader) remove(ctx context.Context, r *Remote) error {
	switch {
	case r == nil:
		return nil // no upload has begun
	case r.Bucket != u.bucket.Name() && r.State == Stored:
		return errNoStorage
	case r.Bucket != u.bucket.Name():
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := u.bucket.Remove(ctx, r.Key); err != nil {
		return fmt.Errorf("%w: %w", errStorage, err)
	}
	return nil
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
