package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/test/harness"
)

// recordings returns what the list of the API says.
func recordings(t *testing.T, s *harness.Server, query string) []harness.Recording {
	t.Helper()
	status, body := s.Call(t, http.MethodGet, "/flv/record/list"+query)
	var list struct {
		Items []harness.Recording
		Next  string
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK {
		t.Fatalf("the list: %d %s (%v)", status, body, err)
	}
	return list.Items
}

// record starts a recording and returns when it has some of the stream.
func record(t *testing.T, s *harness.Server, path string) harness.Recording {
	t.Helper()
	v := harness.Watch(t, s.Play("http", path+"?wait=30s"))
	defer v.Close()
	v.Packet(t)
	r := s.Record(t, "POST", "start/"+path)
	start := v.Packet(t).DTS
	for v.Packet(t).DTS < start+3*time.Second {
		continue
	}
	return r
}

// plays checks that ffmpeg decodes a file without a complaint and that it is
// of some length.
func plays(t *testing.T, file string, src harness.Source, seconds float64) {
	t.Helper()
	sees(t, src, file)
	if out := harness.Output(t, nil, "ffmpeg", "-v", "error", "-i", file, "-f", "null", "-"); out != "" {
		t.Errorf("ffmpeg says of %s:\n%s", file, out)
	}
	if d, err := strconv.ParseFloat(harness.Duration(t, file), 64); err != nil || d < seconds {
		t.Errorf("%s plays for %v s (%v), want at least %v", file, d, err, seconds)
	}
}

func TestARecordingIsStartedStoppedListedAndFetched(t *testing.T) {
	s := harness.Start(t)
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/recü"))
	r := record(t, s, "live/rec%C3%BC")
	if r.State != "recording" || r.StreamPath != "live/recü" {
		t.Errorf("start says %+v", r)
	}
	if again := s.Record(t, "POST", "start/live/rec%C3%BC"); again.ID != r.ID {
		t.Errorf("a second start says %+v, want the same recording as %+v", again, r)
	}
	if now := s.Record(t, "GET", "status/live/rec%C3%BC"); now.ID != r.ID || now.State != "recording" {
		t.Errorf("the status is %+v", now)
	}
	done := s.Record(t, "POST", "stop/live/rec%C3%BC")
	if done.ID != r.ID || done.State != "finished" || done.DurationMS < 2500 {
		t.Errorf("stop says %+v", done)
	}
	if idle := s.Record(t, "GET", "status/live/rec%C3%BC"); idle.State != "idle" {
		t.Errorf("the status after it is %+v", idle)
	}
	if list := recordings(t, s, "?stream=live/rec%C3%BC&state=finished"); len(list) != 1 || list[0].ID != r.ID {
		t.Errorf("the list is %+v", list)
	}

	file := s.File(t, done)
	plays(t, file, src, 2.5)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	url := "/flv/record/files/" + strings.ReplaceAll(done.File, "%", "%25")
	if status, body := s.Call(t, "GET", url); status != 200 || body != string(want) || int64(len(body)) != done.Bytes {
		t.Errorf("fetching %s: %d with %d bytes, want %d", url, status, len(body), len(want))
	}
	if status, body := s.Call(t, "GET", url, "Range", "bytes=100-199"); status != 206 || body != string(want[100:200]) {
		t.Errorf("a range of it: %d with %d bytes", status, len(body))
	}
	later := filepath.Join(t.TempDir(), "later.flv")
	status, body := s.Call(t, "GET", url+"?start=1.5")
	if err := os.WriteFile(later, []byte(body), 0o600); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	plays(t, later, src, 1)
	if status, body := s.Call(t, "DELETE", url); status != 204 {
		t.Errorf("deleting it: %d %s", status, body)
	}
	if list := recordings(t, s, ""); len(list) != 0 {
		t.Errorf("the list after that is %+v", list)
	}
}

func TestARecordingIsPlayableWhenTheServerIsKilled(t *testing.T) {
	dir := t.TempDir()
	s := harness.StartIn(t, dir)
	src := harness.Sources()[0]
	harness.Publish(t, src, s.Push("live/killed"))
	r := record(t, s, "live/killed")
	s.Kill(t)
	sees(t, src, s.File(t, r))
	if n := len(harness.Packets(t, s.File(t, r))); n < 3*(25+40)*2/3 {
		t.Errorf("the file as it was left has %d packets only", n)
	}
	plays(t, s.File(t, r), src, 2)

	again := harness.StartIn(t, dir)
	list := recordings(t, again, "")
	if len(list) != 1 || list[0].ID != r.ID || list[0].State != "recovered" || list[0].DurationMS < 2000 {
		t.Errorf("after the next start the list is %+v", list)
	}
	plays(t, again.File(t, r), src, 2)
}

func TestShutdownClosesRecordingsAndEndsViewersCleanly(t *testing.T) {
	s, witness := live(t)
	r := record(t, s, "live/witness")
	if code := s.Stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	s.End(t)
	witness.Ended(t)
	plays(t, s.File(t, r), harness.Sources()[0], 2.5)
	s.WaitLine(t, "session ended", "role=recording", "reason=shutdown")
}
