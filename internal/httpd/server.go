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
	"sluice/internal/conf"
	"sluice/internal/doors"
	"sluice/internal/session"
	"sluice/internal/tlsfile"
)

// Limits of a connection. An answer has to be taken within answerTimeout, but for
// a viewer's, which has no end and whose module finds the stuck ones, and for files
// that whoever has control fetches. A connection of HTTP/2 as a whole has to take
// something within writeTimeout: while it does not, none of its answers can be
// given up; and what is left of it when it ends stays in memory for idleTimeout,
// since net/http sets the timer of that anew.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 20 * time.Second
	idleTimeout   = 15 * time.Second
	writeTimeout  = 10 * time.Second
	answerTimeout = 2 * time.Minute // longer than anybody may wait for a publisher
	drainTimeout  = 3 * time.Second // for answers that are under way at the end
	maxHeader     = 32 << 10
	maxBody       = 1 << 20
)

// ErrListen and ErrListenTLS report that an address of the configuration cannot
// be listened on. Their texts name the key.
var (
	ErrListen    = errors.New("http.listen")
	ErrListenTLS = errors.New("http.tls.listen")
)

// Server is the HTTP port, and the one with TLS where there is a certificate.
// They are bound from the beginning and served while it runs.
type Server struct {
	mux      *Mux
	plain    *listener
	secure   *listener // nil without TLS
	server   *http.Server
	open     bool // there is no token
	draining atomic.Bool
	work     sync.WaitGroup // ports, connections and handlers
}

// Listen binds the ports and returns a server without routes but for those of
// health. Its ports are freed by [Server.Run]. Connections that come to no
// session are counted by count.
func Listen(ctx context.Context, cfg Config, log *slog.Logger, count Counter) (*Server, error) {
	token, err := cfg.token()
	if err != nil {
		return nil, err
	}
	s := &Server{mux: NewMux(log, auth.NewGuard(token)), open: token == ""}
	all := &limits{
		log:   newComplaints(log),
		count: count,
		doors: doors.New(doors.Limits{
			Most: cfg.MaxConnections, MostPending: cfg.MaxPending, Trusted: conf.Prefixes(cfg.TrustedProxies),
		}),
		work:   &s.work,
		visits: make(map[net.Conn]*visit),
	}
	s.server = &http.Server{
		Handler:           s.bounded(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		// A deadline that a handler sets for a stream of HTTP/2 which was reset just
		// before keeps all of its connection in memory until it has come.
		WriteTimeout:                 answerTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		ConnContext:                  all.withVisit,
		ConnState:                    all.state,
		ErrorLog:                     slog.NewLogLogger(all.log, slog.LevelWarn),
		HTTP2:                        &http.HTTP2Config{WriteByteTimeout: writeTimeout},
	}
	if err := s.listen(ctx, cfg, all, log); err != nil {
		return nil, err
	}
	s.mux.Handle(auth.Public, "/healthz", Methods{http.MethodGet: s.health})
	s.mux.Handle(auth.Public, "/readyz", Methods{http.MethodGet: s.ready})
	return s, nil
}

// listen binds the ports. If that fails, none is bound.
func (s *Server) listen(ctx context.Context, cfg Config, all *limits, log *slog.Logger) error {
	var certificate *tlsfile.Certificate
	if cfg.TLS.Listen != "" {
		var err error
		if certificate, err = tlsfile.Load(cfg.TLS.Cert, cfg.TLS.Key, log); err != nil {
			return fmt.Errorf("http.tls.%w", err)
		}
	}
	var lc net.ListenConfig
	plain, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrListen, err)
	}
	s.plain = &listener{Listener: plain, limits: all}
	if certificate == nil {
		return nil
	}
	secure, err := lc.Listen(ctx, "tcp", cfg.TLS.Listen)
	if err != nil {
		plain.Close()
		return fmt.Errorf("%w: %w", ErrListenTLS, err)
	}
	s.secure = &listener{Listener: secure, limits: all, refusal: certificate.Config("http/1.1")}
	s.server.TLSConfig = certificate.Config("h2", "http/1.1")
	return nil
}

// Mux is where routes are added, until the server runs.
func (s *Server) Mux() *Mux { return s.mux }

// Addr returns the address that the server listens on, host:port.
func (s *Server) Addr() string { return s.plain.Addr().String() }

// AddrTLS returns the address that the server listens on with TLS, empty where
// it does not.
func (s *Server) AddrTLS() string {
	if s.secure == nil {
		return ""
	}
	return s.secure.Addr().String()
}

// HasToken tells whether control calls need a token.
func (s *Server) HasToken() bool { return !s.open }

// Run serves until ctx is done. The context of every request ends with ctx, its
// cause then is [session.ErrShutdown]; answers that are under way have a few
// seconds to get out. A hijacked connection belongs to the module that took it.
func (s *Server) Run(ctx context.Context) error {
	requests, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s.server.BaseContext = func(net.Listener) context.Context { return requests }
	failed := make(chan error, 2) // one of each port
	s.work.Go(func() { failed <- s.server.Serve(s.plain) })
	if s.secure != nil {
		s.work.Go(func() { failed <- s.server.ServeTLS(s.secure, "", "") })
	}

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end(session.ErrShutdown)
	s.draining.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if s.server.Shutdown(drain) != nil { // the time is up
		_ = s.server.Close() // nothing but the listener, which is closed, can fail
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
		if v := visitOf(r); v != nil {
			v.served.Store(true)
		}
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
