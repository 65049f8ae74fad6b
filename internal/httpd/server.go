package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/auth"
)

// Limits of a connection. There is none for writing an answer: a viewer's has
// no end, and its module finds the stuck ones.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 3 * time.Second // for answers that are under way at the end
	maxHeader     = 32 << 10
	maxBody       = 1 << 20
)

// ErrListen reports that the address of the configuration cannot be listened
// on. Its text names the key.
var ErrListen = errors.New("http.listen")

// Server is the HTTP port. It is bound from the beginning and serves while it
// runs.
type Server struct {
	mux      *Mux
	listener net.Listener
	server   *http.Server
	open     bool // there is no token
	draining atomic.Bool
	work     sync.WaitGroup // connections and handlers
}

// Listen binds the port and returns a server without routes but for those of
// health. Its port is freed by [Server.Run].
func Listen(ctx context.Context, cfg Config, log *slog.Logger) (*Server, error) {
	token, err := cfg.token()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrListen, err)
	}

	s := &Server{mux: NewMux(log, auth.NewGuard(token)), open: token == ""}
	bounded := &listener{Listener: l, log: newComplaints(log), left: make(chan struct{}, cfg.MaxConnections), work: &s.work}
	s.listener = bounded
	s.server = &http.Server{
		Handler:                      s.bounded(),
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnState:                    bounded.state,
		ErrorLog:                     slog.NewLogLogger(bounded.log, slog.LevelWarn),
	}
	s.mux.Handle(auth.Public, "/healthz", Methods{http.MethodGet: s.health})
	s.mux.Handle(auth.Public, "/readyz", Methods{http.MethodGet: s.ready})
	return s, nil
}

// Mux is where routes are added, until the server runs.
func (s *Server) Mux() *Mux { return s.mux }

// Addr returns the address that the server listens on, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// HasToken tells whether control calls need a token.
func (s *Server) HasToken() bool { return !s.open }

// Run serves until ctx is done. The context of every request ends with ctx;
// answers that are under way then have a few seconds to get out. A hijacked
// connection belongs to the module that took it.
func (s *Server) Run(ctx context.Context) error {
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(s.listener) }()

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.draining.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if s.server.Shutdown(drain) != nil { // the time is up
		_ = s.server.Close() // nothing but the listener, which is closed, can fail
	}
	if err == nil {
		_ = <-failed // as it was told to
	}
	s.work.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

// bounded is the mux behind the limits of a request's body. net/http has no
// time limit for bodies alone: its ReadTimeout would end the long answers too.
func (s *Server) bounded() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.work.Add(1)
		defer s.work.Done()
		if r.ContentLength != 0 {
			// On errors the connection is closed, and reading fails by itself.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		s.mux.ServeHTTP(w, r)
	})
}

type status struct {
	Status string `json:"status"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	JSON(w, http.StatusOK, status{"ok"})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		Error(w, NewProblem(http.StatusServiceUnavailable, "the server is draining"))
		return
	}
	JSON(w, http.StatusOK, status{"ready"})
}
