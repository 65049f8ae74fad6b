package record_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
)

// many makes n recordings, of the streams s0, s1 and s2 in turn, and returns
// their ids, oldest first.
func (s *server) many(t *testing.T, n int) []string {
	t.Helper()
	var ids []string
	for i := range 3 {
		s.publish(t, fmt.Sprintf("s%d", i), "h264_aac.flv").until(time.Second)
	}
	for i := range n {
		path := fmt.Sprintf("s%d", i%3)
		ids = append(ids, s.ask(t, http.MethodPost, "/flv/record/start/"+path).ID)
		s.ask(t, http.MethodPost, "/flv/record/stop/"+path)
		eventually(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > milli(t, ids[i]) })
	}
	return ids
}

// milli returns the time that is in an id.
func milli(t *testing.T, id string) (ms int64) {
	t.Helper()
	if _, err := fmt.Sscanf(id[:12], "%x", &ms); err != nil {
		t.Fatal(err)
	}
	return ms
}

// pages reads the whole list in pages, with something done between them.
func (s *server) pages(t *testing.T, query string, between func()) (ids []string) {
	t.Helper()
	next := ""
	for range 1000 {
		l := s.list(t, "?"+query+"&cursor="+url.QueryEscape(next))
		for _, f := range l.Items {
			ids = append(ids, f.ID)
		}
		if l.Next == "" {
			return ids
		}
		next = l.Next
		between()
	}
	t.Fatal("the list has no end")
	return nil
}

func TestTheListIsNewestFirstAndInPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	ids := s.many(t, 10)
	running := s.ask(t, http.MethodPost, "/flv/record/start/s0")
	var want []string
	for _, id := range ids {
		want = append([]string{id}, want...)
	}
	want = append([]string{running.ID}, want...)
	for _, limit := range []int{1, 2, 3, 10, 11, 12, 1000} {
		if got := s.pages(t, fmt.Sprintf("limit=%d", limit), func() {}); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("limit=%d: %v, want %v", limit, got, want)
		}
	}
	if got := s.list(t, "").Items; len(got) != 11 || got[0].State != record.Running || got[0].Bytes == 0 {
		t.Errorf("the list is %+v", got)
	}
	for query, n := range map[string]int{
		"stream=s0": 5, "stream=s1": 3, "stream=s2": 3, "stream=none": 0,
		"state=recording": 1, "state=finished": 10, "state=failed": 0, "state=armed": 0, "state=reconnecting": 0, "state=recovered": 0,
		"stream=s0&state=finished": 4, "other=1": 11,
	} {
		for _, limit := range []string{"", "&limit=2"} {
			if got := s.pages(t, query+limit, func() {}); len(got) != n {
				t.Errorf("%s%s: %d recordings, want %d", query, limit, len(got), n)
			}
		}
	}
}

func TestPagesFitTogetherWhileRecordingsComeAndGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	ids := s.many(t, 12)
	deleted := map[string]bool{}
	got := s.pages(t, "limit=3", func() {
		s.ask(t, http.MethodPost, "/flv/record/start/s0")
		s.ask(t, http.MethodPost, "/flv/record/stop/s0")
		all := s.list(t, "?limit=1000").Items
		for _, f := range []record.Facts{all[len(all)-1], all[2]} { // one that comes, and one that was seen
			if w := s.call(http.MethodDelete, files+f.File); w.Code != http.StatusNoContent {
				t.Fatalf("DELETE answered %d", w.Code)
			}
			deleted[f.ID] = true
		}
	})
	seen := map[string]bool{}
	for i, id := range got {
		if seen[id] || i > 0 && id >= got[i-1] {
			t.Errorf("%s comes twice or out of order", id)
		}
		seen[id] = true
	}
	for _, id := range ids {
		if !seen[id] && !deleted[id] {
			t.Errorf("%s is left out", id)
		}
	}
}

func TestABadQueryIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for query, says := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "limit=1.5": "limit",
		"state=done": "state", "state=idle": "state", "stream=..": "stream", "stream=a//b": "stream", "stream=%00": "stream",
		"cursor=x": "cursor", "cursor=!!": "cursor", "cursor=" + strings.Repeat("A", 5000): "cursor", "%zz": "query",
		"cursor=Li4vLi4vLi4vLi4vLi4vLi4vLi4": "cursor",
	} {
		refused(t, s.call(http.MethodGet, "/flv/record/list?"+query), http.StatusBadRequest, says)
	}
	if body := s.call(http.MethodGet, "/flv/record/list?stream=../x").Body.String(); strings.Count(body, "stream:") != 1 {
		t.Errorf("the parameter is not named once: %s", body)
	}
	w := s.call(http.MethodGet, "/flv/record/list?limit=0&state=x")
	if body := w.Body.String(); !strings.Contains(body, "limit") || !strings.Contains(body, "state") {
		t.Errorf("only one of two mistakes is named: %s", body)
	}
}

func TestABadPathIsRefusedWithItsRule(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for _, call := range []struct{ method, name string }{{http.MethodPost, "start"}, {http.MethodPost, "stop"}, {http.MethodGet, "status"}} {
		for path, says := range map[string]string{
			"": "empty segment", "a//b": "empty segment", "a/%2e%2e/b": `segment ".."`, "..": `segment ".."`, "record/x": "reserved", "a%2fb": "encoded",
			"%00": "character", "a%20b": "character", "%ff": "UTF-8", strings.Repeat("a", 300): "255 bytes", "%zz": "hexadecimal",
		} {
			target := "/flv/record/" + call.name + "/" + path
			w := httptest.NewRecorder()
			r := &http.Request{Method: call.method, Host: "localhost", RemoteAddr: "127.0.0.1:1", Header: http.Header{}, URL: rawURL(target), Body: http.NoBody}
			if path == "%zz" { // no client and no server lets it through
				continue
			}
			s.mux.ServeHTTP(w, r.WithContext(t.Context()))
			refused(t, w, http.StatusBadRequest, says)
		}
	}
}

func TestAWrongMethodOrCallIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for target, allow := range map[string]string{
		"start/a": "OPTIONS, POST", "stop/a": "OPTIONS, POST", "status/a": "GET, HEAD, OPTIONS", "list": "GET, HEAD, OPTIONS",
		"files/a.flv": "DELETE, GET, HEAD, OPTIONS",
	} {
		w := s.call(http.MethodPut, "/flv/record/"+target)
		refused(t, w, http.StatusMethodNotAllowed, allow)
		if got := w.Header().Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", target, got, allow)
		}
	}
	for _, target := range []string{"", "start", "lists", "list/", "x/y"} {
		refused(t, s.call(http.MethodGet, "/flv/record/"+target), http.StatusNotFound, "no such call")
	}
	refused(t, s.call(http.MethodPost, "/flv/record/start/nobody"), http.StatusNotFound, "nobody publishes")
	refused(t, s.call(http.MethodPost, "/flv/record/stop/nobody"), http.StatusNotFound, "not being recorded")
}

func TestEveryCallNeedsTheRightToControl(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	for _, call := range []struct{ method, name string }{
		{http.MethodPost, "start/a"},
		{http.MethodPost, "stop/a"},
		{http.MethodGet, "status/a"},
		{http.MethodGet, "list"},
		{http.MethodGet, "files/a.flv"},
		{http.MethodDelete, "files/a.flv"},
		{http.MethodGet, "x"},
	} {
		refused(t, s.call(call.method, "/flv/record/"+call.name, "Origin", "https://example.com"), http.StatusUnauthorized, "SLUICE_HTTP_TOKEN")
	}
}

func TestTheListSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newServer(t, dir)
	s.many(t, 6)
	before := s.list(t, "")
	s.stop()
	after := newServer(t, dir).list(t, "")
	if len(after.Items) != 6 {
		t.Fatalf("the list has %d recordings", len(after.Items))
	}
	for i, f := range after.Items {
		if b := before.Items[i]; f.ID != b.ID || f.File != b.File || f.DurationMs != b.DurationMs || f.Bytes != b.Bytes ||
			!f.StartedAt.Equal(b.StartedAt) || !f.EndedAt.Equal(*b.EndedAt) {
			t.Errorf("%+v, want %+v", f, b)
		}
	}
}

func TestTheListKnowsTimes(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	s.many(t, 6)
	all := s.list(t, "").Items
	at := func(i int) string { return url.QueryEscape(all[i].StartedAt.Format(time.RFC3339Nano)) }
	for query, want := range map[string]int{
		"?from=" + at(2): 3, "?to=" + at(2): 3, "?from=" + at(4) + "&to=" + at(1): 3,
		"?limit=1&from=" + at(0): 1, "?from=2100-01-01T00:00:00Z": 0, "?to=1960-01-01T00:00:00%2B02:00": 0,
	} {
		if got := s.list(t, query).Items; len(got) != want {
			t.Errorf("%s: %d recordings, want %d", query, len(got), want)
		}
	}
	refused(t, s.call(http.MethodGet, "/flv/record/list?from=yesterday"), http.StatusBadRequest, "from")
}

func TestAFileThatWasRemovedIsListedNoMoreUntilItComesBack(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir())
	f := s.finished(t, "live/test", "h264_aac.flv", time.Second)
	away := filepath.Join(s.dir, "away.flv")
	if err := os.Rename(s.file(f), away); err != nil {
		t.Fatal(err)
	}
	if got := s.list(t, "").Items; len(got) != 0 {
		t.Errorf("the list has %+v", got)
	}
	refused(t, s.call(http.MethodGet, files+f.File), http.StatusNotFound, "gone")
	if err := os.Rename(away, s.file(f)); err != nil {
		t.Fatal(err)
	}
	if got := s.list(t, "").Items; len(got) != 1 {
		t.Errorf("the list has %+v", got)
	}
}
