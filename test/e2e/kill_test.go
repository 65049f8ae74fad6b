package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/flvtest"
	"sluice/media"
	"sluice/test/harness"
)

// killsVar is how often the server is killed; the few times without it show
// that the test works.
const killsVar = "SLUICE_KILLS"

// atOnce is how many servers are killed at a time.
const atOnce = 4

// gop is how much earlier a recording may begin than a viewer.
const gop = 2 * time.Second

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
	var watching []*audience
	for i, file := range []string{"h264_aac.flv", "h264_only.flv", "h264_bframes_aac.flv", "h264_alaw8k.flv"} {
		path := fmt.Sprintf("live/%d", i)
		harness.Run(t, "", nil, harness.Binary(t), "publish", "--loop", flvtest.Path(t, file), s.Push(path))
		watching = append(watching, watched(t, s.Play("http", path)+"?wait=30s"))
		all = append(all, s.Record(t, http.MethodPost, "start/"+path))
		watching[i].mark()
	}
	<-time.After(after)
	s.Kill(t)

	for i, r := range all {
		left(t, s.File(t, r), watching[i])
	}
	again := harness.StartIn(t, dir)
	listed := recordings(t, again, "?state=recovered")
	if len(listed) != len(all) {
		t.Fatalf("after the next start the list is %+v", recordings(t, again, ""))
	}
	for i, r := range all {
		for _, l := range listed {
			if l.ID == r.ID {
				recovered(t, again, l, watching[i])
			}
		}
	}
}

// left looks at a file as it was left by the kill: it has an index, tells its
// duration, and no more than a second is missing.
func left(t *testing.T, name string, seen *audience) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end, missing := seen.missed(t, name)
	if missing > time.Second {
		t.Errorf("%v of %s is missing", missing, name)
	}
	index, err := flv.ReadIndex(bytes.NewReader(b))
	if len(index) < 2 && end == 0 {
		return // nothing of it was due
	}
	if err != nil || len(index) < 2 {
		t.Errorf("with %v in it %s has the index %v, %v", end, name, index, err)
	}
	said, err := strconv.ParseFloat(harness.Output(t, nil, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", name), 64)
	if whole := (end + missing).Seconds(); err != nil || math.Abs(said-whole) > 1 {
		t.Errorf("ffprobe says %v s, %v of %s, of which there should be %v s", said, err, name, whole)
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

// audience is what somebody saw of a stream until the server was killed: the
// pictures and their times. The publisher sends the same pictures again each 4 s.
type audience struct {
	gone chan struct{} // closed when the stream has ended
	mu   sync.Mutex    // guards all below
	last time.Duration
	from time.Duration                       // what had been seen when the recording began
	at   map[[sha256.Size]byte]time.Duration // when they came last
}

// mark says that the recording has begun.
func (a *audience) mark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from = a.last
}

// watched begins to watch.
func watched(t *testing.T, address string) *audience {
	t.Helper()
	v := harness.Watch(t, address)
	a := &audience{gone: make(chan struct{}), at: map[[sha256.Size]byte]time.Duration{}}
	go func() {
		defer close(a.gone)
		for {
			tag, err := v.Next()
			if err != nil {
				return
			}
			if isPicture(tag) {
				a.mu.Lock()
				a.last = tag.DTS
				a.at[sha256.Sum256(tag.Body)] = tag.DTS
				a.mu.Unlock()
			}
		}
	}()
	return a
}

func isPicture(tag flv.Tag) bool {
	p := flv.ParseBody(tag.Type, tag.Body)
	return p.Kind == media.Video && p.Type == media.Frame
}

// missed returns the time of the last picture in a file, and how much was seen
// behind it: of a file without any, since its recording began.
func (a *audience) missed(t *testing.T, name string) (end, missing time.Duration) {
	t.Helper()
	<-a.gone
	_, tags := harness.Tags(t, name)
	for _, tag := range slices.Backward(tags) {
		if !isPicture(tag) {
			continue
		}
		at, ok := a.at[sha256.Sum256(tag.Body)]
		if !ok {
			t.Errorf("nobody saw the last picture of %s", name)
		}
		return tag.DTS, a.last - at
	}
	return 0, a.last - a.from
}

// recovered looks at a file after the next start.
func recovered(t *testing.T, s *harness.Server, r harness.Recording, seen *audience) {
	t.Helper()
	name, long := s.File(t, r), time.Duration(r.DurationMS)*time.Millisecond
	end, missing := seen.missed(t, name)
	if whole := end + missing; missing > time.Second || (long-whole).Abs() > time.Second || whole > seen.last+gop {
		t.Errorf("the list has %v of %s, which ends at %v, %v before what was seen; %v was seen", long, name, end, missing, seen.last)
	}
	if long == 0 {
		return // nothing of it was due
	}
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
