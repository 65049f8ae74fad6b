package record

// list returns up to q.limit recordings that q asks for, newest first, and the
// place that the next page begins behind, empty for none. What has been
// finished and then removed from the folder is left out: it may come back with
// a disk that is mounted.
func (r *recorder) list(q query) (items []Facts, next string, err error) {
	catalog, err := r.store.open(false)
	if err != nil {
		return nil, "", err
	}
	gone, done := r.store.gone()
	defer done()
	items, next, err = catalog.page(q, func(f *Facts) bool {
		if f.State.open() {
			if now, ok := r.current(f); ok {
				return q.match(&now)
			}
		}
		return q.match(f) && !gone(f)
	})
	for i, f := range items {
		if f.State.open() {
			items[i] = r.fresh(catalog, f)
		}
	}
	return items, next, err
}

// current returns the facts of an open recording as they are now, unless it
// has ended.
func (r *recorder) current(f *Facts) (now Facts, ok bool) {
	if rec := r.find(f.StreamPath); rec != nil {
		now, ok = r.running(rec)
	}
	return now, ok && now.ID == f.ID
}

// fresh returns the facts of an open recording as they are now.
func (r *recorder) fresh(c *catalog, f Facts) Facts {
	if now, ok := r.current(&f); ok {
		return now
	}
	if now, ok, err := c.byFile(f.File); err == nil && ok && now.ID == f.ID {
		return now // it has ended in between
	}
	return f
}

// file returns the recording that a file belongs to.
func (r *recorder) file(name string) (Facts, bool, error) {
	catalog, err := r.store.open(false)
	if err != nil {
		return Facts{}, false, err
	}
	f, ok, err := catalog.byFile(name)
	if ok && f.State.open() {
		f = r.fresh(catalog, f)
	}
	return f, ok, err
}
