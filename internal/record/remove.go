package record

import "context"

// remove deletes a recording that is over, with its file, on the disk and in
// the storage.
func (r *recorder) remove(ctx context.Context, name string) error {
	catalog, err := r.store.open(false)
	if err != nil {
		return problem(err)
	}
	f, ok, err := catalog.byFile(name)
	switch {
	case err != nil:
		return problem(err)
	case !ok:
		return errNoFile
	case f.busy():
		return problem(errInUse)
	}
	if err := r.erase(ctx, catalog, f); err != nil {
		return problem(err)
	}
	return nil
}

// erase deletes a recording that is over and not busy. What the storage has of
// it goes first: an object without an entry would stay for good.
func (r *recorder) erase(ctx context.Context, c *catalog, f Facts) error {
	if r.uploads == nil {
		if f.Remote != nil && f.Remote.State == Stored {
			return errNoStorage
		}
		return r.store.remove(c, f)
	}
	release, err := r.uploads.hold(ctx, f.ID)
	if err != nil {
		return err
	}
	defer release()
	now, ok, err := c.byFile(f.File)
	if err != nil {
		return err
	}
	if !ok || now.ID != f.ID {
		return nil // somebody else was faster
	}
	if err := r.uploads.remove(ctx, now.Remote); err != nil {
		return err
	}
	return r.store.remove(c, now)
}
