// Package hostile_test attacks the real server from other processes, for as long
// as an hour, while viewers who must not notice watch.
//
// HOSTILE says how much of the whole attack is made: 1 is all of it, `make
// hostile`; without it a hundredth is, in which everything happens once.
package hostile_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"sluice/test/harness"
)

// The environment of a process that attacks or watches: the same binary, with a
// part to play.
const (
	roleVar = "TEST_HOSTILE_ROLE"
	planVar = "TEST_HOSTILE_PLAN"
)

// plan is what a process is to do.
type plan struct {
	HTTP, RTMP   string // the server's addresses
	HTTPS, RTMPS string // those with TLS
	Captures     string // the folder of the recorded sessions
	Stream       string // that is watched
	Seed         uint64
	Count        int // of attacks or viewers
	Sources      int // addresses they come from
}

// report is what a process has seen.
type report struct {
	Done    int            // attacks that were made, or viewers that watched
	Stuck   int            // attacks that the server did not end in time
	Longest time.Duration  // that an attack lasted
	Seen    map[string]int // what became of them
	Bad     []string       // what must not be
}

// note counts what became of an attack.
func (r *report) note(what string) {
	if r.Seen == nil {
		r.Seen = map[string]int{}
	}
	r.Seen[what]++
}

// maxBad bounds how much is told of what must not be.
const maxBad = 10

func (r *report) bad(format string, args ...any) {
	if len(r.Bad) < maxBad {
		r.Bad = append(r.Bad, fmt.Sprintf(format, args...))
	}
}

// add adds the report of another one who did the same.
func (r *report) add(o report) {
	r.Done += o.Done
	r.Stuck += o.Stuck
	r.Longest = max(r.Longest, o.Longest)
	for what, n := range o.Seen {
		if r.Seen == nil {
			r.Seen = map[string]int{}
		}
		r.Seen[what] += n
	}
	for _, b := range o.Bad {
		r.bad("%s", b)
	}
}

func (r report) String() string {
	s := fmt.Sprintf("%d done, %d stuck, the longest %v", r.Done, r.Stuck, r.Longest.Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(r.Seen)) {
		s += fmt.Sprintf("; %s %d", what, r.Seen[what])
	}
	return s
}

// roles are the parts that a process may play. It ends when its work is done, or
// when ctx is: once nobody holds its input open any more.
func roles() map[string]func(ctx context.Context, p plan) report {
	return map[string]func(context.Context, plan) report{
		"witness": witness,
		"replay":  replay,
		"abuse":   abuse,
		"flood":   flood,
		"slow":    slow,
		"oddity":  oddity,
		"tls":     handshakes,
		"http2":   multiplex,
	}
}

func TestMain(m *testing.M) {
	role := roles()[os.Getenv(roleVar)]
	if role == nil {
		harness.Main(m)
		return
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is no test
	}
}

// attackersNice is the priority of the attackers: on a real network they do not
// take the server's own CPU.
const attackersNice = 10

func play(role func(context.Context, plan) report) error {
	var p plan
	if err := json.Unmarshal([]byte(os.Getenv(planVar)), &p); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	if os.Getenv(roleVar) != "witness" {
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, attackersNice); err != nil {
			return fmt.Errorf("setting the priority: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // this is a main
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets go
		cancel()
	}()
	return json.NewEncoder(os.Stdout).Encode(role(ctx, p))
}

// process is a process that attacks or watches.
type process struct {
	role   string
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

// begin starts a process. It ends with the test.
func begin(t *testing.T, role string, p plan) *process {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role, planVar+"="+string(b))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{role, cmd, stdin, bufio.NewReader(stdout)}
}

// line waits for a line that the process writes before its report.
func (p *process) line(t *testing.T) {
	t.Helper()
	if _, err := p.stdout.ReadString('\n'); err != nil {
		t.Fatalf("%s: %v", p.role, err)
	}
}

// end waits until the process ends by itself and returns its report.
func (p *process) end(t *testing.T) report {
	t.Helper()
	var r report
	decodeErr := json.NewDecoder(p.stdout).Decode(&r)
	if err := errors.Join(decodeErr, p.cmd.Wait()); err != nil {
		t.Fatalf("%s: %v", p.role, err)
	}
	t.Logf("%s: %v", p.role, r)
	for _, b := range r.Bad {
		t.Errorf("%s: %s", p.role, b)
	}
	return r
}

// stop lets the process go and returns its report.
func (p *process) stop(t *testing.T) report {
	t.Helper()
	p.stdin.Close()
	return p.end(t)
}

// share returns what of n is to be done, at least some of it.
func share(t *testing.T, n, least int) int {
	t.Helper()
	part := 0.01
	if v := os.Getenv("HOSTILE"); v != "" {
		var err error
		if part, err = strconv.ParseFloat(v, 64); err != nil || part <= 0 || part > 1 {
			t.Fatalf("HOSTILE=%s: write a number up to 1", v)
		}
	}
	return max(int(float64(n)*part), least)
}
