// Edge measures on this machine how far behind the newest frame players stand
// that join in the middle of a GOP, with join=edge and with join=gop: mpegts.js
// as it is in Chromium, and ffplay. It prints the tables of
// docs/performance.md, section "Joining at the live edge".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("sluice", "bin/sluice", "the server")
	library := flag.String("mpegts", "web/node_modules/mpegts.js/dist/mpegts.js", "the player")
	rounds := flag.Int("rounds", 3, "how often each figure is measured; the medians are printed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *library, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "edge:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, library string, rounds int) error {
	dir, err := os.MkdirTemp("", "sluice-edge")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	code, err := os.ReadFile(library)
	if err != nil {
		return fmt.Errorf("%w: make web brings the player", err)
	}
	const addr, rtmp = "127.0.0.1:18088", "127.0.0.1:11938"
	server, err := start(ctx, binary, "--set", "http.listen="+addr, "--set", "rtmp.listen="+rtmp, "--set", "record.dir="+dir)
	if err != nil {
		return err
	}
	defer server.end()
	probes := map[int]*probe{}
	for _, gop := range []int{4, 8} {
		file := filepath.Join(dir, fmt.Sprintf("%d.flv", gop))
		if err := encode(ctx, file, gop); err != nil {
			return err
		}
		publisher, err := start(ctx, binary, "publish", "--loop", file, fmt.Sprintf("rtmp://%s/live/%d", rtmp, gop))
		if err != nil {
			return err
		}
		defer publisher.end()
		probes[gop], err = newProbe(ctx, fmt.Sprintf("http://%s/flv/live/%d.flv?wait=10s", addr, gop))
		if err != nil {
			return err
		}
	}
	if err := inBrowser(ctx, string(code), probes[4], rounds); err != nil {
		return err
	}
	return inFFplay(ctx, probes[8], rounds)
}

// encode makes a stream with B-frames, long enough that its end is rarely met.
func encode(ctx context.Context, file string, gop int) error {
	const rate = 25
	frames := fmt.Sprint(gop * rate)
	out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=%d", rate),
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100", "-t", "80", "-c:v", "libx264", "-preset", "veryfast",
		"-pix_fmt", "yuv420p", "-g", frames, "-keyint_min", frames, "-sc_threshold", "0", "-bf", "3", "-b:v", "1M",
		"-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	return nil
}

// process is a program that runs until it is ended.
type process struct {
	cmd *exec.Cmd
	wg  sync.WaitGroup
}

func start(ctx context.Context, name string, args ...string) (*process, error) {
	return startInto(ctx, io.Discard, nil, name, args...)
}

// startInto is [start] with somebody who reads what the program writes.
func startInto(ctx context.Context, out io.Writer, env []string, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.wg.Go(func() { _ = p.cmd.Wait() }) // it is ended from here
	return p, nil
}

func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	p.wg.Wait()
}

var errNever = errors.New("it shows nothing")

// median returns the middle of the figures and the worst, "0.63 (0.70)".
func median(format string, figures []float64) string {
	if len(figures) == 0 {
		return "–"
	}
	slices.Sort(figures)
	return strings.TrimSpace(fmt.Sprintf(format+" ("+format+")", figures[len(figures)/2], figures[len(figures)-1]))
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
