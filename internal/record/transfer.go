package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"sluice/internal/session"
)

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
