package record_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/record"
)

// clients is how many call at the same time.
const clients = 50

// crowd is what clients have been told.
type crowd struct {
	t *testing.T
	s *server

	mu      sync.Mutex // guards all below
	begun   map[string]record.Facts
	deleted map[string]bool
	calls   int
}

// ask makes a call whose answer has one of these statuses, and reads facts from
// those that are 200.
func (c *crowd) ask(method, target string, allowed ...int) (int, record.Facts) {
	var f record.Facts
	w := c.s.call(method, target)
	if !slices.Contains(allowed, w.Code) {
		c.t.Errorf("%s %s answered %d %s", method, target, w.Code, w.Body)
	}
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
			c.t.Error(err)
		}
	}
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	return w.Code, f
}

// step makes one call, as chance has it.
func (c *crowd) step(path string) {
	switch rand.N(8) { //nolint:gosec // no secret
	case 0, 1:
		if status, f := c.ask(http.MethodPost, "/flv/record/start/"+path, http.StatusOK); status == http.StatusOK {
			c.mu.Lock()
			c.begun[f.ID] = f
			c.mu.Unlock()
		}
	case 2, 3:
		c.ask(http.MethodPost, "/flv/record/stop/"+path, http.StatusOK, http.StatusNotFound)
	case 4:
		c.page("?limit=20&stream=" + path)
	case 5:
		c.page("?limit=50")
	default:
		c.remove(path)
	}
}

// page reads a page of the list, in which nothing may come twice.
func (c *crowd) page(query string) []record.Facts {
	var l listing
	w := c.s.call(http.MethodGet, "/flv/record/list"+query)
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != http.StatusOK {
		c.t.Errorf("the list answered %d %s", w.Code, w.Body)
	}
	ids, open := map[string]bool{}, map[string]bool{}
	for _, f := range l.Items {
		if ids[f.ID] {
			c.t.Errorf("a page has %s twice", f.ID)
		}
		ids[f.ID] = true
		if f.EndedAt == nil {
			if open[f.StreamPath] {
				c.t.Errorf("%s is recorded twice", f.StreamPath)
			}
			open[f.StreamPath] = true
		}
	}
	return l.Items
}

// remove deletes one of the newest recordings, which others may do, too.
func (c *crowd) remove(path string) {
	items := c.page("?limit=8&stream=" + path)
	if len(items) == 0 {
		return
	}
	f := items[rand.N(len(items))] //nolint:gosec // no secret
	status, _ := c.ask(http.MethodDelete, files+f.File, http.StatusNoContent, http.StatusNotFound, http.StatusConflict)
	if status == http.StatusNoContent {
		c.mu.Lock()
		c.deleted[f.ID] = true
		c.mu.Unlock()
	}
}

// check compares what clients were told with what there is at the end.
func (c *crowd) check() {
	t, listed := c.t, map[string]record.Facts{}
	perPath := map[string][]record.Facts{}
	for query := "?limit=1000"; ; {
		l := c.s.list(t, query)
		for _, f := range l.Items {
			listed[f.ID] = f
			perPath[f.StreamPath] = append(perPath[f.StreamPath], f)
		}
		if l.Next == "" {
			break
		}
		query = "?limit=1000&cursor=" + l.Next
	}
	for id, f := range c.begun {
		if _, ok := listed[id]; ok == c.deleted[id] {
			t.Errorf("%s: listed %v, deleted %v", f.File, ok, c.deleted[id])
		}
	}
	for id, f := range listed {
		if _, ok := c.begun[id]; !ok || f.State != record.Finished {
			t.Errorf("nobody has begun, or it has not ended: %+v", f)
		}
	}
	for path, all := range perPath {
		for i, f := range all[1:] { // newest first
			if f.EndedAt == nil || f.EndedAt.After(all[i].StartedAt) {
				t.Errorf("%s was recorded twice at a time: %+v and %+v", path, f, all[i])
			}
		}
	}
	want := slices.Sorted(maps.Values(names(listed)))
	var got []string
	root := filepath.Join(c.s.dir, "rec")
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator))))
		}
		return err
	})
	if slices.Sort(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("there are %d files, %d are listed: %v", len(got), len(want), err)
	}
}

func names(all map[string]record.Facts) map[string]string {
	files := map[string]string{}
	for id, f := range all {
		files[id] = f.File
	}
	return files
}

// SLUICE_CLIENTS=60s makes it longer.
func TestManyClientsLoseNoRecordingAndMakeNoneTwice(t *testing.T) {
	t.Parallel()
	length := 3 * time.Second
	if v := os.Getenv("SLUICE_CLIENTS"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	s := newServer(t, t.TempDir())
	c := &crowd{t: t, s: s, begun: map[string]record.Facts{}, deleted: map[string]bool{}}
	paths := []string{"a", "live/b", "live/c", "live/d", "cam/e"}
	over := time.After(length)
	var work sync.WaitGroup
	stop := make(chan struct{})
	for _, path := range paths {
		p := s.publish(t, path, "h264_aac.flv").until(2 * time.Second)
		work.Go(func() { p.live(stop) })
	}
	for i := range clients {
		path := paths[i%len(paths)]
		work.Go(func() {
			for !closed(stop) {
				c.step(path)
			}
		})
	}
	<-over
	eventually(t, "enough has happened", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.begun) >= 20 && len(c.deleted) >= 5
	})
	close(stop)
	work.Wait()
	for _, path := range paths {
		c.ask(http.MethodPost, "/flv/record/stop/"+path, http.StatusOK, http.StatusNotFound)
	}
	c.check()
	t.Logf("%d calls, %d recordings, %d of them deleted", c.calls, len(c.begun), len(c.deleted))
}

// live writes on, in real time, until stop is closed.
func (p *publisher) live(stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for at := 2 * time.Second; ; at += 20 * time.Millisecond {
		select {
		case <-stop:
			return
		case <-tick.C:
			p.until(at)
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
