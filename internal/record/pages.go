package record

import (
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// snapshot returns what is held, newest first.
func (c *catalog) snapshot() []Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Facts, 0, len(c.held))
	for _, h := range c.held {
		all = append(all, h.facts)
	}
	slices.SortFunc(all, func(a, b Facts) int { return strings.Compare(b.place(), a.place()) })
	return all
}

// unended returns the entries of recordings that have not ended.
func (c *catalog) unended() ([]Facts, error) {
	return c.read(`SELECT facts FROM recordings WHERE phase = ? ORDER BY place DESC`, phaseOpen)
}

// page returns up to q.limit entries that q finds and match agrees to, newest
// first, and the place that the next page begins behind, empty for none. It
// looks at a bounded number of entries: a page may have fewer than q.limit
// though another one follows. A nil catalogue is empty.
func (c *catalog) page(q query, match func(*Facts) bool) (items []Facts, next string, err error) {
	if c == nil {
		return nil, "", nil
	}
	behind := lastPlace
	if !q.to.IsZero() {
		behind = placeAt(q.to)
	}
	if q.before != "" {
		behind = min(behind, q.before)
	}
	held := c.snapshot()
	batch := q.limit + 1 + len(held)
	for looked := 0; ; looked += batch {
		text, args := q.statement(behind, batch)
		rows, err := c.read(text, args...)
		if err != nil {
			return nil, "", err
		}
		last := len(rows) < batch
		floor := ""
		if !last {
			floor = rows[len(rows)-1].place()
		}
		for _, f := range merge(rows, held, floor, behind) {
			if !q.finds(&f) || !match(&f) {
				continue
			}
			if len(items) == q.limit {
				return items, items[q.limit-1].place(), nil
			}
			items = append(items, f)
		}
		if last {
			return items, "", nil
		}
		if behind = floor; looked >= maxLook {
			return items, floor, nil
		}
	}
}

// maxLook is how many entries are looked at, and some more, for one page.
const maxLook = 5000

// merge returns rows of the database, newest first, with what is held between
// two places in their stead.
func merge(rows, held []Facts, floor, behind string) []Facts {
	if len(held) == 0 {
		return rows
	}
	known := make(map[string]bool, len(held))
	all := make([]Facts, 0, len(rows)+len(held))
	for _, f := range held {
		place := f.place()
		known[place] = true
		if place >= floor && place < behind {
			all = append(all, f)
		}
	}
	for _, f := range rows {
		if !known[f.place()] {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b Facts) int { return strings.Compare(b.place(), a.place()) })
	return all
}

// extent is how much lies on the disk, or less: files that somebody took away
// count, and so may some twice.
type extent struct {
	bytes  int64
	most   int   // recordings of one stream
	oldest int64 // end of the one that ended first, in milliseconds of the epoch
}

// extent returns how much lies on the disk by the catalogue. A nil catalogue
// is empty.
func (c *catalog) extent() (e extent, err error) {
	e.oldest = math.MaxInt64
	if c == nil {
		return e, nil
	}
	var oldest sql.NullInt64
	err = c.db.failure(c.db.row(sqlExtent).Scan(&e.bytes, &e.most, &oldest))
	if err != nil {
		c.note(err)
		return e, fmt.Errorf("reading the catalogue: %w", err)
	}
	if oldest.Valid {
		e.oldest = oldest.Int64
	}
	for _, f := range c.snapshot() {
		e.bytes, e.most = e.bytes+f.Bytes, e.most+1
		if f.EndedAt != nil {
			e.oldest = min(e.oldest, f.EndedAt.UnixMilli())
		}
	}
	return e, nil
}

// due returns up to limit entries whose files have to go to the storage
// elsewhere or from the disk by now, those that have waited longest first, and
// when the next of all others has; zero is never. A nil catalogue is empty.
func (c *catalog) due(now time.Time, limit int, keep KeepLocal) (items []Facts, next time.Time, err error) {
	if c == nil {
		return nil, time.Time{}, nil
	}
	held := c.snapshot()
	kinds := []int{workUpload, workDrop}
	if keep.ForGood {
		kinds = kinds[:1]
	}
	var all []Facts
	for _, kind := range kinds {
		rows, err := c.read(sqlWork, kind, limit+1+len(held))
		if err != nil {
			return nil, time.Time{}, err
		}
		all = append(all, merge(rows, held, lastPlace, "")...)
	}
	all = append(all, held...)
	slices.SortStableFunc(all, func(a, b Facts) int {
		at, _ := a.due(keep)
		bt, _ := b.due(keep)
		return at.Compare(bt)
	})
	for i := range all {
		at, ok := all[i].due(keep)
		switch {
		case !ok:
			continue
		case !at.After(now) && len(items) < limit:
			items = append(items, all[i])
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return items, next, nil
}
