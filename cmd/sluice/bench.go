package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"text/tabwriter"
	"time"

	"sluice/internal/bench"
)

type benchCmd struct {
	JSON bool `name:"json" help:"Print one JSON object instead of a table."`

	Publish benchPublishCmd `cmd:"" help:"Publish streams whose frames carry the time at which they were sent."`
	Play    benchPlayCmd    `cmd:"" help:"Play with many viewers that cost as little as possible."`
	Latency benchLatencyCmd `cmd:"" help:"Measure how much later the frames of bench publish come out."`
	Floor   benchFloorCmd   `cmd:"" help:"Be the least a server can be: a loop that only sends. Its price is the kernel's."`
	Disk    benchDiskCmd    `cmd:"" help:"Be the least a recorder can be: a loop that only writes to files."`
}

type benchPublishCmd struct {
	URL      string        `arg:"" help:"rtmp://host/app/name; of several streams, {n} becomes the number."`
	Streams  int           `default:"1" help:"Number of streams."`
	BitRate  int           `default:"1100000" help:"Bits per second of one stream, audio included."`
	FPS      float64       `default:"30" help:"Video frames per second."`
	GOP      time.Duration `default:"2s" help:"Time between two key frames."`
	Audio    float64       `default:"43" help:"Audio frames per second, 0 for none."`
	Duration time.Duration `default:"0" help:"When to end, 0 for never."`
}

// Run publishes.
func (c benchPublishCmd) Run(ctx context.Context, w *world) error {
	r, err := bench.Publish(ctx, bench.PublishOptions{
		URL: c.URL, Streams: c.Streams, BitRate: c.BitRate, FPS: c.FPS, GOP: c.GOP, Audio: c.Audio, Duration: c.Duration,
	}, func() { fmt.Fprintf(w.stderr, "publishing %d streams\n", c.Streams) })
	if err != nil {
		return err
	}
	return w.print(r, []row{
		{"streams", r.Streams}, {"packets", r.Packets}, {"bytes", r.Bytes}, {"latest packet", ms(r.Late)},
	})
}

type benchPlayCmd struct {
	URL      string        `arg:"" help:"http://, ws:// or rtmp:// URL; of several streams, {n} becomes the number."`
	Viewers  int           `short:"n" default:"1000" help:"Number of viewers."`
	Streams  int           `default:"1" help:"Number of streams that the viewers share."`
	Warmup   time.Duration `default:"5s" help:"What passes before anything is counted."`
	Duration time.Duration `default:"20s" help:"How long to measure."`
	Stalled  bool          `help:"Ask for the stream with the smallest window, and read nothing."`
	PID      int           `name:"pid" help:"The server's process, for its CPU time and memory (Linux)."`
}

// Run plays.
func (c benchPlayCmd) Run(ctx context.Context, w *world) error {
	r, err := bench.Play(ctx, bench.PlayOptions{
		URL: c.URL, Viewers: c.Viewers, Streams: c.Streams, Warmup: c.Warmup, Duration: c.Duration, PID: c.PID, Stalled: c.Stalled,
		Progress: func(text string) { fmt.Fprintln(w.stderr, text) },
	})
	if err != nil {
		return err
	}
	rows := []row{
		{"viewers", r.Viewers},
		{"Mbit/s each, min / median / max", fmt.Sprintf("%.3f / %.3f / %.3f", r.RateMin/1e6, r.RateP50/1e6, r.RateMax/1e6)},
		{"dropped", r.Dropped},
		{"starved", r.Starved},
	}
	if r.Errors != "" {
		rows = append(rows, row{"last error", r.Errors})
	}
	if c.PID != 0 {
		rows = append(rows,
			row{"CPU seconds per GB", fmt.Sprintf("%.3f", r.CPUPerGB)},
			row{"CPU seconds", fmt.Sprintf("%.2f of %.2f", r.CPU, r.Seconds)},
			row{"memory per viewer", fmt.Sprintf("%.1f kB", r.PerViewer/1000)})
	}
	return w.print(r, rows)
}

type benchLatencyCmd struct {
	URL      string        `arg:"" help:"http:// or ws:// URL; of several streams, {n} becomes the number."`
	Probes   int           `default:"10" help:"Viewers that read all the time."`
	Starts   int           `default:"20" help:"Viewers that join one after the other, for the time to the first key frame."`
	Within   time.Duration `default:"0" help:"Time over which those joins are spread, 0 for all of the duration."`
	Streams  int           `default:"1" help:"Number of streams that the viewers share."`
	Warmup   time.Duration `default:"2s" help:"What passes before anything is counted."`
	Duration time.Duration `default:"10s" help:"How long to measure."`
}

// Run measures.
func (c benchLatencyCmd) Run(ctx context.Context, w *world) error {
	r, err := bench.Latency(ctx, bench.LatencyOptions{
		URL: c.URL, Probes: c.Probes, Starts: c.Starts, Within: c.Within, Streams: c.Streams, Warmup: c.Warmup, Duration: c.Duration,
	})
	if err != nil {
		return err
	}
	stats := func(s bench.Stats) string {
		return fmt.Sprintf("%s / %s / %s / %s", ms(s.P50), ms(s.P90), ms(s.P99), ms(s.Max))
	}
	rows := []row{
		{"mean gap between writes", ms(r.Gap)},
		{"frames", r.Added.Count},
		{"added, p50 / p90 / p99 / max", stats(r.Added)},
		{"joins", r.First.Count},
		{"first key frame, p50 / p90 / p99 / max", stats(r.First)},
		{"failed", r.Failed},
	}
	if r.Errors != "" {
		rows = append(rows, row{"last error", r.Errors})
	}
	return w.print(r, rows)
}

type benchFloorCmd struct {
	Listen  string        `default:"127.0.0.1:0" help:"Where viewers of bench play connect."`
	Viewers int           `short:"n" default:"1000" help:"Number of viewers to wait for."`
	BitRate int           `default:"1100000" help:"Bits per second and viewer."`
	Gap     time.Duration `default:"14ms" help:"Time between two sends to one viewer."`
}

// Run sends.
func (c benchFloorCmd) Run(ctx context.Context, w *world) error {
	return bench.Floor(ctx, bench.FloorOptions{Listen: c.Listen, Viewers: c.Viewers, BitRate: c.BitRate, Gap: c.Gap},
		func(addr net.Addr) { fmt.Fprintf(w.stderr, "listening at http://%s/\n", addr) })
}

type benchDiskCmd struct {
	Dir      string        `arg:"" type:"existingdir" help:"Folder in which the files are made. They stay."`
	Files    int           `short:"n" default:"50" help:"Number of files."`
	BitRate  int           `default:"4000000" help:"Bits per second and file."`
	Gap      time.Duration `default:"500ms" help:"Time between two writes to one file."`
	Warmup   time.Duration `default:"2s" help:"What passes before anything is counted."`
	Duration time.Duration `default:"10s" help:"How long to measure."`
}

// Run writes.
func (c benchDiskCmd) Run(ctx context.Context, w *world) error {
	r, err := bench.Disk(ctx, bench.DiskOptions{
		Dir: c.Dir, Files: c.Files, BitRate: c.BitRate, Gap: c.Gap, Warmup: c.Warmup, Duration: c.Duration,
	})
	if err != nil {
		return err
	}
	return w.print(r, []row{
		{"bytes", r.Bytes}, {"CPU seconds", fmt.Sprintf("%.2f", r.CPU)}, {"CPU seconds per GB", fmt.Sprintf("%.3f", r.CPUPerGB)},
	})
}

// row is a line of a table.
type row struct {
	name  string
	value any
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// print prints a result for people or for machines.
func (w *world) print(result any, rows []row) error {
	if w.cli.Bench.JSON {
		return json.NewEncoder(w.stdout).Encode(result)
	}
	return table(w.stdout, rows)
}

func table(out io.Writer, rows []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%v\n", r.name, r.value)
	}
	return t.Flush()
}
