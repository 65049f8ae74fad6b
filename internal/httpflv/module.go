// Package httpflv plays streams over HTTP: as HTTP-FLV, and with an upgrade as
// WebSocket-FLV.
//
//	GET /flv/{path} ─▶ checks ─▶ rendition ─▶ response head ─▶ fanout.Viewer
//
// A viewer takes its connection from the HTTP server. Over HTTP/2, where many
// share one, it stays in its request.
package httpflv

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"sluice/internal/auth"
	"sluice/internal/fanout"
	"sluice/internal/module"
	"sluice/internal/rendition"
	"sluice/internal/session"
	"sluice/internal/stream"
)

// prefix is where streams are played.
const prefix = "/flv/"

// Describe declares the module.
func Describe() module.Descriptor { return module.Describe("flv", DefaultConfig(), build) }

// Module serves viewers.
type Module struct {
	cfg      Config
	log      *slog.Logger
	streams  *stream.Registry
	sessions *session.List
	hub      *rendition.Hub
	sweeper  *fanout.Sweeper
	waiting  atomic.Int64

	viewers sync.WaitGroup
	mu      sync.Mutex // guards below
	open    map[*fanout.Viewer]struct{}
	closing bool
}

func build(_ context.Context, cfg Config, d module.Deps) (module.Module, error) {
	m := New(cfg, d)
	d.HTTP.Handle(auth.Play, prefix, m)
	d.Facts.Set(module.FactPlay, "on")
	d.Facts.Set(module.FactOpen+"play", "everybody may watch what is live, over HTTP and WebSocket")
	return m, nil
}

// New returns a module that answers requests for streams as soon as it runs.
func New(cfg Config, d module.Deps) *Module {
	return &Module{
		cfg:      cfg,
		log:      d.Log,
		streams:  d.Streams,
		sessions: d.Sessions,
		hub: rendition.NewHub(rendition.Options{
			Pace:   fanout.Pace(cfg.Flush),
			MaxLag: cfg.MaxLag.D(),
			Memory: int64(cfg.StreamMemory),
		}, d.Log),
		sweeper: fanout.NewSweeper(cfg.WriteTimeout.D()),
		open:    make(map[*fanout.Viewer]struct{}),
	}
}

// Run serves until ctx is done, then ends all viewers and waits for them.
func (m *Module) Run(ctx context.Context) error {
	// The sweeper works to the end: it cuts off those that are stuck.
	sweep, stop := context.WithCancel(context.WithoutCancel(ctx))
	var sweeping sync.WaitGroup
	sweeping.Go(func() { m.sweeper.Run(sweep) })
	defer sweeping.Wait()
	defer stop()

	<-ctx.Done()
	m.mu.Lock()
	m.closing = true
	for v := range m.open {
		v.Kick(session.ErrShutdown)
	}
	m.mu.Unlock()
	m.viewers.Wait()
	m.hub.Close()
	return nil
}

// reserve makes room for a viewer, unless the module is closing. It is
// followed by leave, and by enter before that if the viewer comes about.
func (m *Module) reserve() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return false
	}
	m.viewers.Add(1)
	return true
}

func (m *Module) enter(v *fanout.Viewer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[v] = struct{}{}
	if m.closing {
		v.Kick(session.ErrShutdown)
	}
}

func (m *Module) leave(v *fanout.Viewer) {
	m.mu.Lock()
	delete(m.open, v)
	m.mu.Unlock()
	m.viewers.Done()
}
