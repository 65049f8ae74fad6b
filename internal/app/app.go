// Package app builds the server from its configuration and its modules, and
// runs it.
//
//	file, environment, flags ──Load──▶ Config ──New──▶ App ──Run──▶ until ctx is done
//	                                            │ binds the ports, builds the modules
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"sluice/internal/httpd"
	"sluice/internal/module"
	"sluice/internal/session"
	"sluice/internal/stream"
)

// App is a server: its ports are bound, its modules built.
type App struct {
	log   *slog.Logger
	file  string
	warn  []string
	http  *httpd.Server
	facts *module.Facts
	parts []part
}

// part is what runs: a module, or the HTTP port.
type part struct {
	name string
	module.Module
}

// New returns the server that cfg asks for. When it fails, nothing is left of
// what it began.
func New(ctx context.Context, cfg *Config, log *slog.Logger) (*App, error) {
	section, _ := cfg.values.Section(sectionHTTP).(httpd.Config) // declared in Sections
	sessions := session.NewList(log)
	port, err := httpd.Listen(ctx, section, log, sessions)
	if err != nil {
		return nil, err
	}
	a := &App{
		log: log, file: cfg.file, warn: cfg.Warnings(),
		http: port, facts: &module.Facts{}, parts: []part{{sectionHTTP, port}},
	}
	a.facts.Set(module.FactHTTP, port.Addr())
	if addr := port.AddrTLS(); addr != "" {
		a.facts.Set(module.FactHTTPS, addr)
	}

	serveState(port.Mux(), sessions)
	deps := module.Deps{
		Streams:  stream.NewRegistry(stream.DefaultLimits()),
		Sessions: sessions,
		HTTP:     port.Mux(),
		Facts:    a.facts,
	}
	for _, d := range cfg.modules {
		if !cfg.enabled(d) {
			continue
		}
		deps.Log = log.With("module", d.Name)
		m, err := d.Build(ctx, cfg.values.Section(d.Name), deps)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("building the module %s: %w", d.Name, err), a.discard(ctx))
		}
		a.parts = append(a.parts, part{d.Name, m})
	}
	return a, nil
}

// discard frees what was built, without ever serving: to run until a context
// that is done is how parts end.
func (a *App) discard(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return run(ctx, a.parts)
}

// Facts are what the modules say of themselves: their addresses, and what is
// open to everybody.
func (a *App) Facts() *module.Facts { return a.facts }

// Has tells whether a module is in the binary and turned on.
func (a *App) Has(name string) bool {
	return slices.ContainsFunc(a.parts, func(p part) bool { return p.name == name })
}

// Run serves until ctx is done, or until a module fails, whose error it
// returns. Nothing of the server runs any more then.
func (a *App) Run(ctx context.Context) error {
	a.introduce(ctx)
	return run(ctx, append(slices.Clone(a.parts), part{"app", farewell{a.log}}))
}

// farewell is the part that logs why the others end.
type farewell struct{ log *slog.Logger }

// Run implements [module.Module].
func (f farewell) Run(ctx context.Context) error {
	<-ctx.Done()
	f.log.InfoContext(ctx, "shutting down", "reason", context.Cause(ctx))
	return nil
}

// run runs all parts. The first that fails ends the others.
func run(ctx context.Context, all []part) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var (
		parts sync.WaitGroup
		mu    sync.Mutex // guards errs
		errs  []error
	)
	for _, p := range all {
		parts.Go(func() {
			err := p.Run(ctx)
			if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return
			}
			err = fmt.Errorf("%s: %w", p.name, err)
			fail(err)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	parts.Wait()
	return errors.Join(errs...)
}

// introduce logs where the server listens and what is open to everybody.
func (a *App) introduce(ctx context.Context) {
	if a.file != "" {
		a.log.InfoContext(ctx, "configured", "file", a.file)
	}
	for _, w := range a.warn {
		a.log.WarnContext(ctx, "doubtful configuration", "reason", w)
	}
	facts := a.facts.All()
	names := slices.Sorted(maps.Keys(facts))
	for _, name := range names {
		if proto, ok := strings.CutSuffix(name, ".addr"); ok {
			a.log.InfoContext(ctx, "listening", "proto", proto, "addr", facts[name])
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, module.FactOpen) {
			a.log.InfoContext(ctx, "open to everybody", "what", facts[name])
		}
	}
	if !a.http.HasToken() {
		a.log.InfoContext(ctx, "control calls only from this machine", "reason", "no http.token")
	}
}
