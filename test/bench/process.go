package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The cores: the server has one to itself.
const (
	serverCore = 0
	loadCore   = 1
)

// rig knows what is measured and how.
type rig struct {
	binary   string
	duration time.Duration
	peer     struct{ rtmp, flv, pid string }
}

// process is a program that runs until it is ended.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  *bytes.Buffer
}

// noProbes asks for joins only, which are a crowd of their own.
const noProbes = "--probes=0"

// pinned returns the command of the binary on one core. What keeps time, the
// publisher and the probes, goes before the crowd that shares its core, where
// this process may say so.
func (b *rig) pinned(core int, args []string) []string {
	cmd := append([]string{"taskset", "-c", strconv.Itoa(core), b.binary}, args...)
	keepsTime := slices.Contains(args, "publish") || slices.Contains(args, "latency") && !slices.Contains(args, noProbes)
	if os.Getuid() == 0 && keepsTime {
		cmd = append([]string{"nice", "-n", "-15"}, cmd...)
	}
	// In a session of its own: the kernel shares the processors out among
	// sessions first, and a publisher that goes before all would leave its
	// server next to nothing of the other core.
	return append([]string{"setsid"}, cmd...)
}

// start starts the binary on one core. A server thinks that it has only that.
func (b *rig) start(ctx context.Context, core int, args ...string) (*process, error) {
	line := b.pinned(core, args)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	p := &process{cmd: cmd, done: make(chan struct{}), err: &bytes.Buffer{}}
	cmd.Stderr = p.err
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // it is ended from here
		close(p.done)
	}()
	return p, nil
}

// end ends the process and waits for it.
func (p *process) end() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-p.done
}

func (p *process) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// rss returns the memory of the process in bytes.
func (p *process) rss() int64 {
	f, err := os.Open("/proc/" + p.pid() + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// ask runs "sluice bench --json …" on the load's core and decodes its answer.
func (b *rig) ask(ctx context.Context, answer any, args ...string) error {
	line := b.pinned(loadCore, append([]string{"bench", "--json"}, args...))
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("bench %s: %w: %s", args[0], err, lastLine(errs.String()))
	}
	return json.Unmarshal(out, answer)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// freePort returns a port of loopback that nobody uses now.
func freePort(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, err
}

// await waits until something listens.
func await(ctx context.Context, addr string) error {
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("nothing listens at %s", addr)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kernelTCP returns the memory that the kernel's TCP holds.
func kernelTCP() int64 {
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "TCP:" {
			pages, _ := strconv.ParseInt(f[len(f)-1], 10, 64)
			return pages * int64(os.Getpagesize())
		}
	}
	return 0
}
