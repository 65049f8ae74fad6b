package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program and what it has written so far. It is safe for
// concurrent use.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program is gone and its output read

	mu    sync.Mutex // guards all below
	lines []string
	more  chan struct{} // closed and replaced with each line
}

// Run starts a program; env adds to the environment, "name=value". When the
// test ends, the program is terminated if it still runs.
func Run(tb testing.TB, dir string, env []string, name string, args ...string) *Process {
	tb.Helper()
	p := &Process{name: name, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd = exec.Command(name, args...) //nolint:noctx // outlives tb.Context(), which ends before the clean-up
	p.cmd.Dir = dir
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), isSetting), env...)
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		tb.Fatalf("starting %s: %v", name, err)
	}
	go p.read(r)
	tb.Cleanup(func() {
		p.Stop(tb)
		if tb.Failed() {
			tb.Logf("%s wrote:\n%s", name, strings.Join(tail(p.Lines(), 60), "\n"))
		}
	})
	return p
}

// isSetting tells whether a variable would configure the server.
func isSetting(v string) bool { return strings.HasPrefix(v, "SLUICE_") }

func tail(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

func (p *Process) read(r io.ReadCloser) {
	defer close(p.done)
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	in.Split(splitLines)
	for in.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, in.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // behind a line that is too long
	_ = p.cmd.Wait()              // the exit code says it
}

// splitLines splits at carriage returns too, with which players overwrite the
// line that shows where they are.
func splitLines(b []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		return i + 1, b[:i], nil
	}
	if atEOF && len(b) > 0 {
		return len(b), b, nil
	}
	return 0, nil, nil
}

// Lines returns what the program has written so far.
func (p *Process) Lines() []string {
	lines, _ := p.snapshot()
	return lines
}

func (p *Process) snapshot() ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.lines), p.more
}

// Output returns what the program has written so far as one text.
func (p *Process) Output() string { return strings.Join(p.Lines(), "\n") }

// WaitLine returns the first line, written or yet to come, that has all those
// parts. "name=value" is a whole attribute: no other value that only begins so is
// meant.
func (p *Process) WaitLine(tb testing.TB, parts ...string) string {
	tb.Helper()
	return p.WaitFor(tb, fmt.Sprintf("a line with %q", parts), func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !has(line, part) })
	})
}

func has(line, part string) bool {
	if _, value, _ := strings.Cut(part, "="); value != "" {
		return strings.Contains(line+" ", part+" ")
	}
	return strings.Contains(line, part)
}

// WaitFor returns the first line, written or yet to come, that is what is
// waited for. It asks for each line once.
func (p *Process) WaitFor(tb testing.TB, what string, is func(line string) bool) string {
	tb.Helper()
	bound := time.After(Patience)
	seen := 0
	for {
		lines, more := p.snapshot()
		for ; seen < len(lines); seen++ {
			if is(lines[seen]) {
				return lines[seen]
			}
		}
		select {
		case <-more:
		case <-p.done:
			if again, _ := p.snapshot(); len(again) > seen {
				continue
			}
			tb.Fatalf("%s ended (%d) without %s:\n%s", p.name, p.cmd.ProcessState.ExitCode(), what, p.Output())
		case <-bound:
			tb.Fatalf("%s wrote nothing with %s:\n%s", p.name, what, p.Output())
		}
	}
}

// PID returns the number that the system knows the program by.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the program ends by itself and returns its exit code, -1
// where a signal ended it.
func (p *Process) Wait(tb testing.TB) int {
	tb.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.Signal(tb, syscall.SIGKILL)
		tb.Fatalf("%s does not end:\n%s", p.name, p.Output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the program, which may be gone.
func (p *Process) Signal(tb testing.TB, sig os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("signalling %s: %v", p.name, err)
	}
}

// Stop terminates the program, by force if it does not heed that, and returns
// its exit code.
func (p *Process) Stop(tb testing.TB) int {
	tb.Helper()
	p.Signal(tb, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		tb.Errorf("%s does not heed SIGTERM:\n%s", p.name, p.Output())
		p.Signal(tb, syscall.SIGKILL)
		<-p.done
	}
	return p.cmd.ProcessState.ExitCode()
}

// Output runs a program to its end and returns what it wrote, on both of its
// outputs. It has to succeed.
func Output(tb testing.TB, env []string, name string, args ...string) string {
	tb.Helper()
	p := Run(tb, "", env, name, args...)
	if code := p.Wait(tb); code != 0 {
		tb.Fatalf("%s %q ended with %d:\n%s", name, args, code, p.Output())
	}
	return p.Output()
}

// Eventually waits for what nobody announces.
func Eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	bound := time.After(Patience)
	for !is() {
		select {
		case <-tick.C:
		case <-bound:
			tb.Fatalf("it never happens that %s", what)
		}
	}
}
