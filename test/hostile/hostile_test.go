package hostile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/flvtest"
	"sluice/internal/tlsfile/tlstest"
	"sluice/test/harness"
)

// What the server may be left with.
const (
	moreGoroutines = 10
	moreMemory     = 64 << 20
)

// state is what the server says of itself, and the system of it.
type state struct {
	Goroutines int
	HeapBytes  int64
	resident   int64
	Ended      []struct {
		Role, Proto, Reason string
		Count               int
	}
}

func read(t *testing.T, s *harness.Server) state {
	t.Helper()
	status, body := s.Call(t, http.MethodGet, "/debug/state?collect=1")
	var now state
	if err := json.Unmarshal([]byte(body), &now); err != nil || status != http.StatusOK {
		t.Fatalf("/debug/state: %d %s (%v)", status, body, err)
	}
	now.resident = resident(t, s.PID())
	return now
}

// resident returns the memory that a process has, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// cpu returns the time that a process has worked.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	const user, system, tick = 11, 12, 10 * time.Millisecond // behind the name
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	var sum time.Duration
	for _, f := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// raiseFiles lets this process and its children have as many files as may be.
func raiseFiles(t *testing.T, want uint64) uint64 {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Max < want { // root may have more
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}) == nil {
			return want
		}
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return l.Max
}

func TestNothingHostileGetsThrough(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	const perSlow = 10_000
	files := raiseFiles(t, 40_000)
	viewers := share(t, 500, 50)
	slows := share(t, perSlow, 200)
	if most := int(files) - 4*viewers; slows > most {
		t.Logf("%d files may be open: %d slow connections instead of %d", files, most, slows)
		slows = most
	}
	// Loopback addresses are bound here as those of strangers are by default.
	cert, key, _ := tlstest.Pair(t, t.TempDir(), "localhost")
	s := harness.Start(t, "--set", "http.trusted_proxies=[]", "--set", "rtmp.trusted_proxies=[]",
		"--set", "http.tls.listen=127.0.0.1:0", "--set", "http.tls.cert="+cert, "--set", "http.tls.key="+key,
		"--set", "rtmp.tls.listen=127.0.0.1:0", "--set", "rtmp.tls.cert="+cert, "--set", "rtmp.tls.key="+key)
	p := plan{
		HTTP: s.HTTP, RTMP: s.RTMP, HTTPS: s.Address(t, "https"), RTMPS: s.Address(t, "rtmps"),
		Stream: "live/witness", Seed: uint64(time.Now().UnixNano()), Sources: 500,
		Captures: filepath.Join(flvtest.Root(t), "rtmp", "testdata"),
	}
	t.Logf("seed %d", p.Seed)
	harness.Run(t, t.TempDir(), nil, harness.Binary(t), "publish", flvtest.Path(t, "h264_aac.flv"), s.Push(p.Stream), "--loop")
	witnesses := begin(t, "witness", p.with(viewers))
	witnesses.line(t)
	before := read(t, s)
	t.Logf("before: %d goroutines, %d KiB of heap, %d KiB resident", before.Goroutines, before.HeapBytes>>10, before.resident>>10)

	attack := func(role string, p plan) (wait func()) {
		start, attackers := time.Now(), begin(t, role, p)
		return func() {
			if r := attackers.end(t); r.Stuck > 0 {
				t.Errorf("%s: %d attacks were not ended in time", role, r.Stuck)
			}
			t.Logf("%s: %v", role, time.Since(start).Round(time.Millisecond))
		}
	}
	var slowly func()
	if few := 1_000; slows < few { // they take no place from the other attacks
		slowly = beginSlowly(t, p.with(slows))
	}
	attack("abuse", p.with(share(t, 1_000, 60)))()
	measureFlood(t, s, p)
	secure := p.with(share(t, 500, max(20, len(floods()))))
	secure.HTTP, secure.RTMP = "", ""
	besides := []func(){attack("http2", secure), attack("tls", secure), attack("slow", secure)}
	attack("replay", p.with(share(t, 100_000, 1000)))()
	attack("oddity", p.with(share(t, 10_000, 100)))()
	for _, wait := range besides {
		wait()
	}
	if slowly == nil {
		slowly = beginSlowly(t, p.with(slows))
	}
	slowly()

	settle(t, s, before)
	if r := witnesses.stop(t); r.Done != viewers {
		t.Errorf("%d viewers watched, not %d", r.Done, viewers)
	}
	for _, bad := range []string{"recovered from a panic", "panic", "fatal error", "DATA RACE", "internal_error"} {
		if strings.Contains(s.Output(), bad) {
			t.Errorf("the server wrote %q:\n%s", bad, s.Output())
		}
	}
}

// beginSlowly lets slow clients of both protocols begin, and returns what waits for their end.
func beginSlowly(t *testing.T, p plan) (wait func()) {
	t.Helper()
	rtmp, http := p, p
	rtmp.HTTP, http.RTMP = "", ""
	one, other := begin(t, "slow", rtmp), begin(t, "slow", http)
	return func() {
		for _, r := range []report{one.end(t), other.end(t)} {
			if r.Stuck > 0 || r.Seen["held"] > 0 {
				t.Errorf("slow connections were held: %v", r)
			}
		}
	}
}

// with returns p for so many attacks.
func (p plan) with(n int) plan {
	p.Count = n
	return p
}

// measureFlood floods the server with chunks of one byte and holds it to a fifth of
// a core meanwhile. What it does for the witnesses is measured before.
func measureFlood(t *testing.T, s *harness.Server, p plan) {
	t.Helper()
	const watched, most = 3 * time.Second, 0.20
	load := func(during func()) float64 {
		used, start := cpu(t, s.PID()), time.Now()
		during()
		<-time.After(watched - time.Since(start))
		return (cpu(t, s.PID()) - used).Seconds() / time.Since(start).Seconds()
	}
	quiet := load(func() {})
	flooded := load(func() { begin(t, "flood", p.with(1)).end(t) })
	t.Logf("a flood of chunks of one byte: %.1f %% of a core in %v, %.1f %% without it", 100*flooded, watched, 100*quiet)
	if flooded-quiet > most {
		t.Errorf("the flood costs %.0f %% of a core", 100*(flooded-quiet))
	}
	const floods = 50
	used, start := cpu(t, s.PID()), time.Now()
	begin(t, "flood", p.with(floods)).end(t)
	alone := cpu(t, s.PID()) - used - time.Duration(quiet*float64(time.Since(start)))
	t.Logf("of %d floods each costs %v until it is cut", floods, (alone / floods).Round(100*time.Microsecond))
}

// settle waits until the server is back where it was.
func settle(t *testing.T, s *harness.Server, before state) {
	t.Helper()
	var now state
	defer func() {
		t.Logf("after: %d goroutines, %d KiB of heap, %d KiB resident", now.Goroutines, now.HeapBytes>>10, now.resident>>10)
		for _, e := range now.Ended {
			t.Logf("ended: %s %s %s %d", e.Role, e.Proto, e.Reason, e.Count)
		}
	}()
	harness.Eventually(t, "the server is back where it was", func() bool {
		now = read(t, s)
		// With the race detector what is resident is mostly the detector's.
		return now.Goroutines <= before.Goroutines+moreGoroutines && now.HeapBytes <= before.HeapBytes+moreMemory &&
			(harness.Race || now.resident <= before.resident+moreMemory)
	})
}
