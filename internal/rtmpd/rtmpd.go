// Package rtmpd is the module "rtmp": it listens for encoders and makes what
// they publish into streams.
//
//	listener ─▶ one goroutine per connection ─▶ rtmp.ServerConn ─▶ flv.ParseBody ─▶ stream.Publisher
//
// Every connection ends with a reason, see [Reasons].
package rtmpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"sluice/internal/conf"
	"sluice/internal/doors"
	"sluice/internal/module"
	"sluice/internal/session"
)

// A peer that vanished without a word is given up after this.
const (
	keepAliveIdle     = 10 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 2
	userTimeout       = 15 * time.Second
)

// acceptPause is how long the listener rests when the system has no
// descriptor for a connection, at first and at most.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Server accepts connections and publishes what comes over them.
type Server struct {
	cfg     Config
	deps    module.Deps
	ln      net.Listener
	started time.Time
	doors   *doors.Doors
	log     *complaints
}

// build binds the listener and returns the module.
func build(ctx context.Context, cfg Config, d module.Deps) (module.Module, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
		Control: setUserTimeout,
	}
	ln, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("rtmp.listen: %s is in use by another program: end that, or set another address: %w", cfg.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("rtmp.listen: listening on %s: %w", cfg.Listen, err)
	}
	return New(cfg, d, ln), nil
}

// New returns a server for the connections of ln, which is its own from then
// on. It says where it listens, and to whom it is open.
func New(cfg Config, d module.Deps, ln net.Listener) *Server {
	addr := ln.Addr().String()
	d.Facts.Set(module.FactRTMP, addr)
	d.Facts.Set(module.FactOpen+"publish", "anybody may publish to "+publicURL(addr))
	return &Server{
		cfg:     cfg,
		deps:    d,
		ln:      ln,
		started: time.Now(),
		doors: doors.New(doors.Limits{
			Most: cfg.MaxConnections, MostPending: cfg.MaxPending, Trusted: conf.Prefixes(cfg.TrustedProxies),
		}),
		log: newComplaints(d.Log),
	}
}

// publicURL writes an address of a listener as people know it.
func publicURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "rtmp://" + addr + "/"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "*"
	}
	return "rtmp://" + net.JoinHostPort(host, port) + "/"
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run implements [module.Module].
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(session.ErrShutdown)
	stop := context.AfterFunc(ctx, func() { s.ln.Close() })
	defer stop()
	defer s.ln.Close()

	pause := acceptPause
	for {
		conn, err := s.ln.Accept()
		switch {
		case err == nil:
			pause = acceptPause
			wg.Go(func() { s.serve(ctx, conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		default:
			s.log.complain(ctx, slog.LevelError, "accepting a connection", "err", err)
			if !rest(ctx, pause) {
				return nil
			}
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

// rest waits, and returns false when ctx is done first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
