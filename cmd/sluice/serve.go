package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"sluice/internal/app"
	"sluice/internal/conf"
)

type serveCmd struct{}

// Run serves until ctx is done.
func (serveCmd) Run(ctx context.Context, w *world) error {
	a, err := w.build(ctx)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// load reads the configuration.
func (w *world) load() (*app.Config, error) {
	o := options()
	o.File, o.Env, o.Set = w.cli.File, w.env, w.cli.Set
	if w.cli.LogLevel != "" {
		o.Set = append(o.Set, "log.level="+w.cli.LogLevel)
	}
	if w.cli.LogFormat != "" {
		o.Set = append(o.Set, "log.format="+w.cli.LogFormat)
	}
	cfg, err := app.Load(o)
	if mistakes, ok := errors.AsType[conf.Errors](err); ok {
		return nil, usageError{fmt.Errorf("%s in the configuration:\n%w", count(len(mistakes)), err)}
	}
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

func count(mistakes int) string {
	if mistakes == 1 {
		return "a mistake"
	}
	return fmt.Sprint(mistakes, " mistakes")
}

// build returns the server, its ports bound.
func (w *world) build(ctx context.Context) (*app.App, error) {
	cfg, err := w.load()
	if err != nil {
		return nil, err
	}
	w.saveMemory()
	return app.New(ctx, cfg, cfg.Logger(w.stderr))
}

// garbage is how much garbage may lie about, in percent of what is in use. Most
// of the heap is media without pointers, which costs nothing to collect; with
// Go's usual 100 a viewer weighs 9.0 kB instead of 7.2.
const garbage = 25

// saveMemory sets the collector, unless the environment does.
func (w *world) saveMemory() {
	if !slices.ContainsFunc(w.env, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		debug.SetGCPercent(garbage)
	}
}

type configCmd struct {
	Reference bool `help:"Print the reference of all keys instead, in Markdown."`
}

// Run prints the configuration.
func (c configCmd) Run(w *world) error {
	if c.Reference {
		_, err := w.stdout.Write(conf.Reference(app.Sections(options().Modules)))
		return err
	}
	cfg, err := w.load()
	if err != nil {
		return err
	}
	for _, doubt := range cfg.Warnings() {
		fmt.Fprintln(w.stderr, "sluice:", doubt)
	}
	_, err = w.stdout.Write(cfg.YAML())
	return err
}
