package record

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"sluice/amf0"
	"sluice/flv"
	"sluice/internal/s3"
	"sluice/internal/session"
)

const (
	// maxLooks is how many objects are looked into at a time.
	maxLooks = 4
	// headSize is how much is read of an object: what this server writes before
	// the media, and some. maxHead is what is read where that was not enough.
	headSize = 128 << 10
	maxHead  = flv.MaxScript + 1<<10
	// lookTimeout is how long the storage may take to give that.
	lookTimeout = time.Minute
)

// shelf is what can be learnt from the storage itself.
type shelf interface {
	// List calls found for each object whose key begins with prefix, until
	// that returns an error.
	List(ctx context.Context, prefix string, found func(s3.Object) error) error
	// Head returns the first n bytes of an object, all of one that has fewer.
	// The error wraps [s3.ErrMissing] if there is none.
	Head(ctx context.Context, key string, n int64) ([]byte, error)
}

// discover enters what only the storage has into a catalogue that was made
// anew. What fails is tried again until all of the storage has been seen once,
// also after the next start; nothing else waits for that.
func (u *uploader) discover(ctx context.Context) {
	count := 0
	for attempts := 1; ; attempts++ {
		n, err := u.survey(ctx)
		count += n
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		wait := backoff(attempts)
		if attempts == 1 {
			u.log.WarnContext(ctx, "could not look for recordings in the storage, and will try again", "bucket", u.bucket.Name(), "err", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	if count > 0 {
		u.log.WarnContext(ctx, "found recordings in the storage that the catalogue did not know", "bucket", u.bucket.Name(), "count", count)
	}
}

// survey looks through the storage once, unless that has been done, and returns
// how many recordings it has entered.
func (u *uploader) survey(ctx context.Context) (count int, err error) {
	defer func() { // names and files are from outside
		if v := recover(); v != nil {
			u.log.ErrorContext(ctx, "recovered from a panic", "err", v, "stack", string(debug.Stack()))
			err = session.ErrInternal
		}
	}()
	c, err := u.store.open(true)
	if err != nil {
		return 0, err
	}
	if err := wait(ctx, u.store.searched); err != nil {
		return 0, err
	}
	done, err := c.db.scans()
	if err != nil || done != scannedFiles {
		return 0, err // without the files, the next start begins again
	}
	var batch []s3.Object
	var missed error // why something could not be looked into
	flush := func() error {
		found, failed, err := u.inspect(ctx, batch)
		missed = cmp.Or(missed, err)
		if err != nil && failed == len(batch) {
			return err // the rest would fare no better
		}
		count += len(found)
		batch = batch[:0]
		err = c.db.putAll(found)
		c.note(err)
		return err
	}
	err = u.bucket.List(ctx, u.config.key(""), func(o s3.Object) error {
		name := strings.TrimPrefix(o.Key, u.config.key(""))
		if !strings.HasSuffix(name, extension) || o.Size < flv.HeaderLen {
			return nil
		}
		if _, known, err := c.byFile(name); known || err != nil {
			return err
		}
		if batch = append(batch, o); len(batch) < scanBatch {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	if err = errors.Join(err, missed); err != nil {
		return count, err
	}
	return count, c.db.setScans(scannedAll)
}

// inspect returns the recordings among objects, and how many could not be
// looked into, with the error of one of them.
func (u *uploader) inspect(ctx context.Context, all []s3.Object) (found []Facts, failed int, err error) {
	var (
		mu    sync.Mutex // guards the results
		looks sync.WaitGroup
		next  = make(chan s3.Object)
	)
	for range min(maxLooks, len(all)) {
		looks.Go(func() {
			for o := range next {
				f, ok, e := u.identify(ctx, o)
				mu.Lock()
				switch {
				case e != nil:
					failed, err = failed+1, e
				case ok:
					found = append(found, f)
				}
				mu.Unlock()
			}
		})
	}
	for _, o := range all {
		next <- o
	}
	close(next)
	looks.Wait()
	return found, failed, err
}

// identify returns what an object says of itself. ok is false for one that is
// no recording, or none any more.
func (u *uploader) identify(ctx context.Context, o s3.Object) (f Facts, ok bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			u.log.ErrorContext(ctx, "recovered from a panic", "err", v, "stack", string(debug.Stack()))
			f, ok, err = Facts{}, false, nil // it will not get better
		}
	}()
	name := strings.TrimPrefix(o.Key, u.config.key(""))
	if !fs.ValidPath(name) {
		return Facts{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	props, err := u.properties(ctx, o, headSize)
	if err == nil && len(props) == 0 && o.Size > headSize {
		props, err = u.properties(ctx, o, maxHead)
	}
	switch {
	case errors.Is(err, errAsking):
		return Facts{}, false, fmt.Errorf("%s: %w", o.Key, err)
	case err != nil:
		return Facts{}, false, nil // it is no FLV, or gone
	}
	f, _ = recount(name, props, o.Size, o.Modified)
	end, at := f.lasted(), instant(o.Modified)
	f.EndedAt = &end
	f.Remote = &Remote{State: Stored, Bucket: u.bucket.Name(), Key: o.Key, StoredAt: &at}
	return f, f.check(f.ID) == nil, nil
}

// errAsking says that the storage did not give what it has.
var errAsking = errors.New("record: the object cannot be read")

// properties returns what the first n bytes of an object say in their
// onMetaData. The error wraps [errAsking] if the storage is to blame.
func (u *uploader) properties(ctx context.Context, o s3.Object, n int64) (amf0.Object, error) {
	head, err := u.bucket.Head(ctx, o.Key, n)
	if errors.Is(err, s3.ErrMissing) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAsking, err)
	}
	return flv.ReadProperties(bytes.NewReader(head))
}
