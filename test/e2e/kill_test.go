package e2e_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sluice/flv"
	"sluice/media"
	"sluice/test/harness"
)

// killsVar is how often the server is killed; the few times without it show
// that the test works.
const killsVar = "SLUICE_KILLS"

// atOnce is how many servers are killed at a time.
const atOnce = 4

func TestRecordingsSurviveThatTheServerIsKilled(t *testing.T) {
	t.Parallel()
	kills := 4
	if v := os.Getenv(killsVar); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s: %v", killsVar, err)
		}
		kills = n
	}
	turn := make(chan struct{}, atOnce)
	for i := range kills {
		// The first of them early, where the beginning of the file is.
		after := time.Duration(rand.Int64N(int64(20 * time.Second))) //nolint:gosec // any will do
		if i == 0 {
			after /= 10
		}
		t.Run(fmt.Sprintf("%d after %v", i, after.Round(time.Millisecond)), func(t *testing.T) {
			t.Parallel()
			turn <- struct{}{}
			defer func() { <-turn }()
			killed(t, after)
		})
	}
}

// killed records four streams, kills the server, and looks at what it left.
func killed(t *testing.T, after time.Duration) {
	t.Helper()
	dir := t.TempDir()
	s := harness.StartIn(t, dir)
	var all []harness.Recording
	var begun []time.Time
	for i, file := range []string{"h264_aac.flv", "h264_only.flv", "h264_bframes_aac.flv", "h264_alaw8k.flv"} {
		path := fmt.Sprintf("live/%d", i)
		harness.Run(t, "", nil, harness.Binary(t), "publish", "--loop", harness.Media(t, file), s.Push(path))
		harness.Eventually(t, path+" is live", func() bool {
			status, _ := s.Call(t, http.MethodPost, "/flv/record/start/"+path)
			return status == http.StatusOK
		})
		all, begun = append(all, s.Record(t, http.MethodGet, "status/"+path)), append(begun, time.Now())
	}
	<-time.After(after)
	s.Kill(t)
	end := time.Now()

	for i, r := range all {
		left(t, s.File(t, r), end.Sub(begun[i]))
	}
	again := harness.StartIn(t, dir)
	listed := recordings(t, again, "?state=recovered")
	if len(listed) != len(all) {
		t.Fatalf("after the next start the list is %+v", recordings(t, again, ""))
	}
	for i, r := range all {
		for _, l := range listed {
			if l.ID == r.ID {
				recovered(t, again, l, end.Sub(begun[i]))
			}
		}
	}
}

// left looks at a file as it was left by the kill: it has an index, and tells
// the duration that it has.
func left(t *testing.T, name string, lasted time.Duration) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	index, err := flv.ReadIndex(bytes.NewReader(b))
	if len(index) < 2 && lasted < time.Second {
		return // nothing of it was due
	}
	if err != nil || len(index) < 2 {
		t.Errorf("after %v %s has the index %v, %v", lasted, name, index, err)
	}
	said, err := strconv.ParseFloat(harness.Output(t, nil, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", name), 64)
	if err != nil || math.Abs(said-lasted.Seconds()) > 1+gop.Seconds() || said < lasted.Seconds()-1 {
		t.Errorf("ffprobe says %v s, %v of a file that was written for %v", said, err, lasted)
	}
	for _, k := range index[min(1, len(index)):] {
		h, n, err := flv.ParseTagHeader(b[min(k.Offset, int64(len(b))):])
		if err != nil || h.DTS != k.DTS {
			t.Fatalf("an entry says %v of %s, where %+v is, %v", k.DTS, name, h, err)
		}
		if p := flv.ParseBody(h.Type, b[int(k.Offset)+n:][:h.BodyLen]); p.Kind == media.Video && !p.Key {
			t.Errorf("an entry of %s at %v points at no key frame", name, k.DTS)
		}
	}
}

// gop is how much a stream may hold when it begins to be recorded.
const gop = 2 * time.Second

// recovered looks at a file after the next start.
func recovered(t *testing.T, s *harness.Server, r harness.Recording, lasted time.Duration) {
	t.Helper()
	long := time.Duration(r.DurationMS) * time.Millisecond
	if lost := lasted - long; lost > time.Second || lost < -time.Second-gop {
		t.Errorf("%s has %v, it was written for %v", r.File, long, lasted)
	}
	if long == 0 {
		return // nothing of it was due
	}
	name := s.File(t, r)
	for _, seek := range [][]string{nil, {"-ss", fmt.Sprint(long.Seconds() / 2)}} {
		args := append([]string{"-v", "error", "-xerror"}, seek...)
		if out := harness.Output(t, nil, "ffmpeg", append(args, "-i", name, "-f", "null", "-")...); out != "" {
			t.Errorf("ffmpeg says of %s, %v:\n%s", name, seek, out)
		}
	}
	if said, err := strconv.ParseFloat(harness.Duration(t, name), 64); err != nil || math.Abs(said-long.Seconds()) > 1 {
		t.Errorf("ffprobe says %v s, %v, the list %v", said, err, long)
	}
	status, body := s.Call(t, http.MethodGet, "/flv/record/files/"+r.File+fmt.Sprintf("?start=%v", long.Seconds()/2))
	part := filepath.Join(t.TempDir(), "part.flv")
	if err := os.WriteFile(part, []byte(body), 0o600); err != nil || status != http.StatusOK {
		t.Fatalf("from the middle: %d, %v", status, err)
	}
	if at := harness.Packets(t, part); len(at) == 0 {
		t.Errorf("from the middle there is nothing")
	}
}
