// Package rtmpd is the module "rtmp": it listens for encoders, whose streams it
// makes of what they publish, and for players.
//
//	listener ─▶ one goroutine per connection ─▶ rtmp.ServerConn ─┬▶ flv.ParseBody ─▶ stream.Publisher
//	                                                             └▶ rendition ─▶ fanout.Viewer
//
// Every connection ends with a reason, see [Reasons].
package rtmpd

import (
	"context"
	"crypto/tls"
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
	"sluice/internal/socket"
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
	secure  *secure // nil without TLS
	started time.Time
	doors   *doors.Doors
	players *theatre
	clock   *socket.Clock // of the publishers
	log     *complaints
}

// build binds the listeners and returns the module.
func build(ctx context.Context, cfg Config, d module.Deps) (module.Module, error) {
	ln, err := listen(ctx, "rtmp.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := New(cfg, d, ln)
	if cfg.TLS.Listen == "" {
		return s, nil
	}
	if s.secure, err = listenTLS(ctx, cfg.TLS, d.Log); err != nil {
		ln.Close()
		return nil, err
	}
	d.Facts.Set(module.FactRTMPS, s.secure.Addr().String())
	return s, nil
}

// listen binds an address. key is where it comes from.
func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
		},
		Control: setUserTimeout,
	}
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another program: end that, or set another address: %w", key, addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: listening on %s: %w", key, addr, err)
	}
	return ln, nil
}

// New returns a server for the connections of ln, which is its own from then
// on. It says where it listens, and to whom it is open.
func New(cfg Config, d module.Deps, ln net.Listener) *Server {
	addr := ln.Addr().String()
	d.Facts.Set(module.FactRTMP, addr)
	d.Facts.Set(module.FactOpen+"publish", "anybody may publish to "+publicURL(addr))
	d.Facts.Set(module.FactOpen+"play.rtmp", "everybody may watch what is live, over RTMP")
	trusted := conf.Prefixes(cfg.TrustedProxies)
	return &Server{
		cfg:     cfg,
		deps:    d,
		ln:      ln,
		started: time.Now(),
		doors: doors.New(doors.Limits{
			Most: cfg.MaxConnections, MostPending: cfg.MaxPending, Trusted: trusted,
		}),
		players: newTheatre(cfg.Play, trusted, d),
		clock:   socket.NewClock(cfg.ReadGap.D()),
		log:     newComplaints(d.Log),
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
	var err error
	s.players.run(ctx, func() { err = s.accept(ctx) })
	return err
}

// accept serves connections until ctx is done, and waits for them.
func (s *Server) accept(ctx context.Context) error {
	var conns, ports sync.WaitGroup
	defer conns.Wait()
	defer ports.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(session.ErrShutdown)
	if s.secure == nil {
		return s.serveAll(ctx, s.ln, nil, &conns)
	}
	var errs [2]error
	ports.Go(func() {
		defer cancel(session.ErrShutdown)
		errs[1] = s.serveAll(ctx, s.secure, s.secure.config, &conns)
	})
	errs[0] = s.serveAll(ctx, s.ln, nil, &conns)
	cancel(session.ErrShutdown)
	ports.Wait()
	return errors.Join(errs[:]...)
}

// serveAll serves the connections of one listener until ctx is done.
func (s *Server) serveAll(ctx context.Context, ln net.Listener, secure *tls.Config, conns *sync.WaitGroup) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()

	pause := acceptPause
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = acceptPause
			conns.Go(func() { s.serve(ctx, conn, secure) })
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
