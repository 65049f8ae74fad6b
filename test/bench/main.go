// Bench measures a server on this machine, as docs/performance.md tells: the
// server on one core, all load in other processes on another, and beside it
// the kernel's own price of sending the same bytes at the same cadence. It
// prints a table; with -write it puts that into the page.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

const (
	page        = "docs/performance.md"
	beginMarker = "<!-- begin: make bench -->\n"
	endMarker   = "<!-- end: make bench -->\n"
)

func main() {
	write := flag.Bool("write", false, "put the table into "+page)
	only := flag.String("only", "", "measure only the rows whose name contains this")
	seconds := flag.Int("seconds", 12, "how long each row is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *write, *only, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, write bool, only string, d time.Duration) error {
	b := &rig{binary: "bin/sluice", duration: d}
	b.peer.rtmp, b.peer.flv, b.peer.pid = os.Getenv("PEER_RTMP"), os.Getenv("PEER_FLV"), os.Getenv("PEER_PID")
	if (b.peer.rtmp == "") != (b.peer.flv == "") {
		return errors.New("PEER_RTMP and PEER_FLV go together: rtmp://host/live/bench and http://host/live/bench.flv")
	}
	table := "| what | CPU s per GB | kernel's own | ratio | mean gap | added ms p50 / p99 | first key frame p50 / p99 | memory per viewer | viewers starved, slowest |\n" +
		"|---|---|---|---|---|---|---|---|---|\n"
	fmt.Print(table)
	for _, r := range b.rows() {
		if !strings.Contains(r.name, only) {
			continue
		}
		line, err := r.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		line = "| " + r.name + " | " + line + " |\n"
		fmt.Print(line)
		table += line
	}
	if !write {
		return nil
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), beginMarker)
	_, after, ok2 := strings.Cut(rest, endMarker)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks its markers", page)
	}
	return os.WriteFile(page, []byte(before+beginMarker+table+endMarker+after), 0o644)
}

// row is one line of the table.
type row struct {
	name    string
	measure func(ctx context.Context) (string, error)
}

func (b *rig) rows() []row {
	if b.peer.rtmp != "" {
		var rows []row
		for _, n := range []int{1, 1000, 8000} {
			rows = append(rows, row{fmt.Sprintf("peer, %d viewers", n), func(ctx context.Context) (string, error) {
				return b.viewers(ctx, load{viewers: n})
			}})
		}
		return rows
	}
	crowd := func(name string, l load) row {
		return row{name, func(ctx context.Context) (string, error) { return b.viewers(ctx, l) }}
	}
	return []row{
		crowd("1 viewer, auto", load{viewers: 1, flush: "auto"}),
		crowd("1,000 viewers, auto", load{viewers: 1000, flush: "auto", kernelGap: 14 * time.Millisecond}),
		crowd("1,000 viewers, 100ms", load{viewers: 1000, flush: "100ms", kernelGap: 100 * time.Millisecond}),
		crowd("1,000 viewers, 350ms", load{viewers: 1000, flush: "350ms", kernelGap: 350 * time.Millisecond}),
		crowd("1,000 WebSocket viewers, auto", load{viewers: 1000, flush: "auto", scheme: "ws", kernelGap: 14 * time.Millisecond}),
		crowd("8,000 viewers, auto", load{viewers: 8000, flush: "auto", kernelGap: chosen}),
		crowd("12,000 viewers, auto", load{viewers: 12000, flush: "auto"}),
		crowd("one stream of 300 kbit/s, 2,000 viewers, 50ms", load{viewers: 2000, flush: "50ms", bitRate: 300_000}),
		crowd("200 streams of 300 kbit/s, 10 viewers each, 50ms", load{viewers: 2000, streams: 200, flush: "50ms", bitRate: 300_000}),
		{"1,000 browsers join within 1 s, 4 Mbit/s, 200 others", b.burst},
		{"1,000 stalled viewers among 500", b.stalled},
		{"50 recordings of 4 Mbit/s", b.recordings},
	}
}
