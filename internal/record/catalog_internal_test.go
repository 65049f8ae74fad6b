package record

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openFor returns a catalogue that is closed with the test.
func openFor(tb testing.TB) *catalog {
	tb.Helper()
	c, err := openCatalog(tb.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.close)
	return c
}

// sample returns the facts of a recording that began n seconds after others.
func sample(n int) Facts {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(n) * time.Second)
	f := Facts{ID: newID(at), StreamPath: fmt.Sprintf("live/%d", n%100), State: Running, StartedAt: at}
	f.File = defaultName.file(naming{f.StreamPath, at, f.ID, 1}, 0)
	return f
}

// A page of a mapped file that waits for the disk stops every thread sooner or
// later, viewers' included.
func TestNothingOfTheDatabaseIsMappedIntoMemory(t *testing.T) {
	t.Parallel()
	c := openFor(t)
	if err := c.add(sample(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, databaseName+"-wal")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, databaseName+"-shm")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat() of the index of the WAL = %v", err)
	}
	if n, err := c.db.number(`PRAGMA mmap_size`); err != nil || n != 0 {
		t.Errorf("%d bytes of the database may be mapped, %v", n, err)
	}
}

func TestWhatAFullDiskDoesNotTakeHoldsAndIsWrittenLater(t *testing.T) {
	t.Parallel()
	c := openFor(t)
	old := sample(0)
	if err := c.add(old); err != nil {
		t.Fatal(err)
	}
	if err := c.db.exec(`PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	old.end(Failed, old.StartedAt.Add(time.Minute), errors.New(strings.Repeat("x", 64<<10)))
	if err := c.update(old); err == nil {
		t.Error("update() error = nil")
	}
	fresh := sample(1)
	fresh.Error = strings.Repeat("y", 64<<10)
	if err := c.add(fresh); err != nil {
		t.Errorf("add() = %v: a recording cannot begin", err)
	}
	if err := c.add(fresh); !errors.Is(err, errTaken) {
		t.Errorf("add() = %v of a file that is in use", err)
	}
	if err := c.ailing(); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("ailing() = %v", err)
	}
	check := func() {
		t.Helper()
		items, next, err := c.page(query{limit: 10}, func(*Facts) bool { return true })
		if err != nil || next != "" || len(items) != 2 || items[0].ID != fresh.ID || items[1].State != Failed {
			t.Errorf("page() has %d items, %q, %v", len(items), next, err)
		}
		items, _, err = c.page(query{limit: 10, state: Failed, stream: old.StreamPath}, func(*Facts) bool { return true })
		if err != nil || len(items) != 1 {
			t.Errorf("page() has %d that failed, %v", len(items), err)
		}
		if f, ok, err := c.byFile(old.File); err != nil || !ok || f.State != Failed {
			t.Errorf("byFile() = %s, %t, %v", f.State, ok, err)
		}
	}
	check()
	if err := c.db.exec(`PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}
	c.retry()
	if left := len(c.snapshot()); left != 0 || c.ailing() != nil {
		t.Errorf("%d are not written, %v", left, c.ailing())
	}
	check()
}

func TestPagesFitTogetherWhateverIsHeldInMemory(t *testing.T) {
	t.Parallel()
	c := openFor(t)
	const n = 50
	for i := range n {
		f := sample(i)
		if err := c.add(f); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			f.end(Finished, f.StartedAt, nil)
			c.replace(f)
		}
	}
	for limit := 1; limit <= n+1; limit++ {
		q, got, ended := query{limit: limit}, 0, 0
		for last := lastPlace; ; {
			items, next, err := c.page(q, func(*Facts) bool { return true })
			if err != nil || len(items) > limit {
				t.Fatalf("page() has %d items, %v", len(items), err)
			}
			for i := range items {
				if place := items[i].place(); place >= last {
					t.Errorf("%s comes behind %s", place, last)
				} else {
					last = place
				}
				if items[i].State == Finished {
					ended++
				}
			}
			if got += len(items); next == "" {
				break
			}
			q.before = next
		}
		if got != n || ended != 8 {
			t.Errorf("pages of %d have %d items, of which %d have ended", limit, got, ended)
		}
	}
}

// Every page must come from an index, in its order: what is read of a million
// recordings is what is shown.
func TestEveryListingIsReadFromAnIndex(t *testing.T) {
	t.Parallel()
	c := openFor(t)
	plan := func(query string, args ...any) string {
		rows, err := c.db.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // Err tells
		var all []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			all = append(all, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, "; ")
	}
	now := time.Now()
	for _, tc := range []struct {
		q    query
		want string
	}{
		{query{}, "SEARCH recordings USING PRIMARY KEY (place<?)"},
		{query{from: now}, "SEARCH recordings USING PRIMARY KEY (place>? AND place<?)"},
		{query{stream: "a"}, "SEARCH recordings USING INDEX recordings_stream (stream=? AND place<?)"},
		{query{state: Failed}, "SEARCH recordings USING INDEX recordings_phase (phase=? AND place<?)"},
		{query{stream: "a", state: Failed, from: now}, "SEARCH recordings USING INDEX recordings_stream_phase (stream=? AND phase=? AND place>? AND place<?)"},
	} {
		text, args := tc.q.statement(lastPlace, 100)
		if got := plan(text, args...); got != tc.want {
			t.Errorf("%s\nis read by %s\nwant %s", text, got, tc.want)
		}
	}
	if got, want := plan(sqlWork, workUpload, 10), "SEARCH recordings USING INDEX recordings_work (work=?)"; got != want {
		t.Errorf("work is read by %s, want %s", got, want)
	}
	if got, want := plan(sqlExtent), "SCAN recordings USING COVERING INDEX recordings_disk"; !strings.Contains(got, want) || strings.Contains(got, "TEMP") {
		t.Errorf("what lies on the disk is read by %s, want %s", got, want)
	}
	if got := plan(sqlByFile, "a"); !strings.HasPrefix(got, "SEARCH recordings USING INDEX sqlite_autoindex_recordings_2 (file=?)") {
		t.Errorf("a file is read by %s", got)
	}
}

// A million recordings, of 100 streams and over eleven days; one in a thousand
// failed.
func BenchmarkAPageOfAMillion(b *testing.B) {
	const million = 1_000_000
	c := openFor(b)
	var batch []Facts
	for i := range million {
		f := sample(i)
		f.end(Finished, f.StartedAt.Add(time.Hour), nil)
		if i%1000 == 0 {
			f.State = Failed
		}
		if batch = append(batch, f); len(batch) == 10_000 {
			if err := c.db.putAll(batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	middle := sample(million / 2).StartedAt
	for name, q := range map[string]query{
		"newest":              {},
		"middle":              {before: placeAt(middle)},
		"stream":              {stream: "live/7"},
		"failed":              {state: Failed},
		"failed_of_a_stream":  {state: Failed, stream: "live/0"},
		"none_of_a_stream":    {state: Recovered, stream: "live/0"},
		"one_minute":          {from: middle, to: middle.Add(time.Minute)},
		"stream_in_an_hour":   {from: middle, to: middle.Add(time.Hour), stream: "live/7"},
		"a_page_of_1000":      {limit: maxLimit},
		"running_of_a_stream": {state: Running, stream: "live/7"},
	} {
		if q.limit == 0 {
			q.limit = defaultLimit
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := c.page(q, func(*Facts) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	file := sample(million / 2)
	b.Run("file", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := c.byFile(file.File); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("work", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := c.due(time.Now(), maxUploads, KeepLocal{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("extent", func(b *testing.B) {
		for b.Loop() {
			if e, err := c.extent(); err != nil || e.most != million/100 {
				b.Fatal(e, err)
			}
		}
	})
	b.Run("begin_and_end", func(b *testing.B) {
		for n := million; b.Loop(); n++ {
			f := sample(n)
			if err := c.add(f); err != nil {
				b.Fatal(err)
			}
			f.end(Finished, f.StartedAt, nil)
			if err := c.update(f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
