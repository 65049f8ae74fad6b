package record_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/flv"
	"sluice/internal/record"
	"sluice/media"
)

// victimVar names the folder for a process that records until it is killed.
const victimVar = "SLUICE_RECORD_VICTIM"

// victim publishes a stream in real time, records it, and says every moment up
// to which time it has published.
func victim(dir string) {
	fail := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	s, err := build(context.Background(), dir) //nolint:forbidigo // a process of its own
	fail(err)
	f, err := os.Open("../../testdata/media/h264_aac.flv")
	fail(err)
	all, err := readPackets(f)
	fail(err)
	pub, err := s.streams.Publish("live/test")
	fail(err)
	const period = 4040 * time.Millisecond
	begin := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	recording := false
	for next := 0; ; {
		<-tick.C
		at := time.Since(begin) + 300*time.Millisecond
		for ; ; next++ {
			p := all[next%len(all)]
			p.DTS += time.Duration(next/len(all)) * period
			if p.DTS >= at {
				break
			}
			if p.Type != media.Sequence {
				fail(pub.Write(p))
			}
		}
		if !recording && s.streams.Find("live/test") != nil {
			recording = true
			if w := s.call(http.MethodPost, "/flv/record/start/live/test"); w.Code != http.StatusOK {
				panic(w.Body.String())
			}
		}
		_, err := fmt.Fprintln(os.Stdout, at.Milliseconds())
		fail(err)
	}
}

// kill runs a victim, kills it after that time of its stream, and returns the
// last time that it spoke of.
func kill(t *testing.T, dir string, after time.Duration) time.Duration {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), victimVar+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var last time.Duration
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		ms, err := strconv.Atoi(lines.Text())
		if err != nil {
			break // it was cut off
		}
		last = time.Duration(ms) * time.Millisecond
		if last >= after && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		t.Fatalf("the process ended by itself: %v", err)
	}
	return last
}

func TestAKilledProcessLeavesARecordingThatIsRecovered(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{400 * time.Millisecond, 1730 * time.Millisecond, 2900 * time.Millisecond, 6210 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			published := kill(t, dir, after)
			files, err := filepath.Glob(filepath.Join(dir, "rec", "live", "test", "*.flv"))
			if err != nil || len(files) != 1 {
				t.Fatalf("the files are %v, %v", files, err)
			}
			before := whole(t, files[0])

			s := newServer(t, dir)
			items := s.list(t, "?state=recovered").Items
			if len(items) != 1 {
				t.Fatalf("the list has %+v", s.list(t, "").Items)
			}
			f := items[0]
			info, err := os.Stat(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if s.file(f) != files[0] || f.Bytes != info.Size() || f.EndedAt == nil || f.StreamPath != "live/test" {
				t.Errorf("the list says %+v for %d bytes", f, info.Size())
			}
			if lost := published - time.Duration(f.DurationMs)*time.Millisecond; lost > time.Second {
				t.Errorf("%v of %v are lost", lost, published)
			}
			all := packets(t, files[0])
			if len(all) != before {
				t.Errorf("%d tags are left of %d", len(all), before)
			}
			if len(all) < 10 { // killed before its first second
				return
			}
			plays(t, files[0])
			if d := number(t, metadata(t, all), "duration"); int64(d*1000+0.5) != f.DurationMs {
				t.Errorf("duration is %v s, the list says %d ms", d, f.DurationMs)
			}
			if f.DurationMs > 3000 {
				indexed(t, files[0], all)
			}
			if w := s.call(http.MethodGet, "/flv/record/files/"+f.File+"?start=1"); w.Code != http.StatusOK {
				t.Errorf("GET answered %d %s", w.Code, w.Body)
			}
			again := newRestart(t, s, dir).list(t, "").Items
			if len(again) != 1 || again[0].State != record.Recovered || again[0].DurationMs != f.DurationMs {
				t.Errorf("after another restart the list has %+v", again)
			}
		})
	}
}

func newRestart(t *testing.T, s *server, dir string) *server {
	t.Helper()
	s.stop()
	return newServer(t, dir)
}

// whole returns the number of whole tags at the beginning of a file.
func whole(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, _ := readPackets(f) // the last may be cut off
	return len(all)
}

// cutOff makes the catalogue of a process that died while it wrote a file, of
// which only so many bytes are there, or none at all.
func cutOff(t *testing.T, dir string, change func(file string)) {
	t.Helper()
	s := newServer(t, dir)
	p := s.publish(t, "live/test", "h264_aac.flv").until(3 * time.Second)
	f := s.ask(t, http.MethodPost, "/flv/record/start/live/test")
	open := s.catalog(t)
	p.until(3900 * time.Millisecond)
	s.stop()
	open()
	change(s.file(f))
}

func TestThePartOfATagAtTheEndIsCutOff(t *testing.T) {
	t.Parallel()
	for _, missing := range []int64{0, 1, 4, 5, 100, 3000} {
		t.Run(fmt.Sprint(missing), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tags := 0
			cutOff(t, dir, func(file string) {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(file, info.Size()-missing); err != nil {
					t.Fatal(err)
				}
				tags = whole(t, file)
			})
			s := newServer(t, dir)
			items := s.list(t, "").Items
			if len(items) != 1 || items[0].State != record.Recovered {
				t.Fatalf("the list has %+v", items)
			}
			all := packets(t, s.file(items[0])) // no part of a tag is left
			if len(all) != tags && missing > flv.TagOverhead {
				t.Errorf("%d tags are left of %d", len(all), tags)
			}
			plays(t, s.file(items[0]))
		})
	}
}

func TestWhatCannotBeRecoveredIsFailedAndSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(file string) error
		says   string
	}{
		"gone":  {os.Remove, "no such file"},
		"empty": {func(file string) error { return os.Truncate(file, 0) }, "nothing had been recorded yet"},
		"begun": {func(file string) error { return os.Truncate(file, 65536) }, "nothing had been recorded yet"},
		"alien": {func(file string) error { return os.WriteFile(file, []byte("something else altogether"), 0o644) }, "not a Flash Video"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cutOff(t, dir, func(file string) {
				if err := tc.change(file); err != nil {
					t.Fatal(err)
				}
			})
			s := newServer(t, dir)
			items := s.list(t, "").Items
			if len(items) != 1 || items[0].State != record.Failed || !strings.Contains(items[0].Error, tc.says) || items[0].EndedAt == nil {
				t.Fatalf("the list has %+v", items)
			}
			if w := s.call(http.MethodDelete, "/flv/record/files/"+items[0].File); w.Code != http.StatusNoContent {
				t.Errorf("DELETE answered %d %s", w.Code, w.Body)
			}
		})
	}
}
