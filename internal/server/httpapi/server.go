package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/server"
)

// Config says where and how to listen. The zero value of every field but Addr
// and Domain means its default.
type Config struct {
	// Addr is the TCP address, host:port. Port 0 takes a free one.
	Addr string
	// Domain is the one that the cache belongs to; other names are not found.
	Domain string
	// Token is the bearer token that clients must give; the zero Secret: none.
	Token server.Secret
	// TLS, if set, is required of clients.
	TLS *tls.Config

	// MaxValue is the largest value in bytes. Default 16 MiB.
	MaxValue int64
	// HeaderTimeout bounds the time for a request's header. Default 5 s.
	HeaderTimeout time.Duration
	// ReadTimeout bounds the time for a whole request, WriteTimeout that from
	// its header's end to the answer's. Defaults 1 min and 2 min.
	ReadTimeout, WriteTimeout time.Duration
	// IdleTimeout ends connections that are silent. Default 2 min.
	IdleTimeout time.Duration
	// RequestTimeout bounds the work for one request. Default 5 s.
	RequestTimeout time.Duration
	// EverywhereTimeout bounds the work for one that must reach all members.
	// Default 60 s.
	EverywhereTimeout time.Duration
	// MaxRequests bounds the requests that are worked on at once; the next is
	// turned away with 503 and Retry-After. Probes and metrics don't count.
	// Default 4,096.
	MaxRequests int
	// DrainTimeout is how long requests under way may go on once the server
	// was told to stop. Default 5 s.
	DrainTimeout time.Duration
}

func (c Config) withDefaults() Config {
	set(&c.MaxValue, 16<<20)
	set(&c.HeaderTimeout, 5*time.Second)
	set(&c.ReadTimeout, time.Minute)
	set(&c.WriteTimeout, 2*time.Minute)
	set(&c.IdleTimeout, 2*time.Minute)
	set(&c.RequestTimeout, 5*time.Second)
	set(&c.EverywhereTimeout, time.Minute)
	set(&c.MaxRequests, 4096)
	set(&c.DrainTimeout, 5*time.Second)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Deps are what a Server stands on.
type Deps struct {
	Cache server.Cache
	// Metrics answers /metrics. Nil: there is no such route.
	Metrics http.Handler
	// Events takes domain events at /v1/{domain}/events. Nil: the route answers
	// that there is nothing.
	Events http.Handler
	// Snapshots lists and makes snapshots at /v1/{domain}/snapshots. Nil: the
	// route answers that there is nothing.
	Snapshots http.Handler
	// Logger is told of requests that failed in ways their client did not
	// cause. Default: nothing is said.
	Logger *slog.Logger
}

// Server is an HTTP server. Build it with [New].
type Server struct {
	socket server.Socket
	cache  server.Cache
	intake http.Handler // may be nil
	images http.Handler // may be nil
	logger *slog.Logger
	cfg    Config
	http   *http.Server
	inside chan struct{} // one token for each request
}

// New returns a Server that is not listening yet.
func New(deps Deps, cfg Config) (*Server, error) {
	if deps.Cache == nil {
		return nil, errors.New("httpapi: no cache")
	}
	if err := events.ValidateDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	if _, _, err := net.SplitHostPort(cfg.Addr); err != nil {
		return nil, fmt.Errorf("httpapi: address %q: want host:port", cfg.Addr)
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cache: deps.Cache, intake: deps.Events, images: deps.Snapshots, logger: deps.Logger, cfg: cfg.withDefaults()}
	s.inside = make(chan struct{}, s.cfg.MaxRequests)
	s.http = &http.Server{
		Handler:           s.handler(deps.Metrics),
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(deps.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Addr returns the address that is listened on; nil before [Server.Listening].
func (s *Server) Addr() net.Addr { return s.socket.Addr() }

// Listening is closed once clients can connect.
func (s *Server) Listening() <-chan struct{} { return s.socket.Listening() }

// Run serves until ctx is done, and returns nil then; another error means that
// it could not listen. It returns after the last request has ended. Run it
// once.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.socket.Open(s.cfg.Addr, s.cfg.TLS)
	if err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	// Requests outlive ctx: what was begun may end.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return work }

	served := make(chan error, 1)
	go func() { served <- s.http.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("httpapi: %w", err)
	case <-ctx.Done():
	}
	drain, end := context.WithTimeout(work, s.cfg.DrainTimeout)
	defer end()
	if err := s.http.Shutdown(drain); err != nil {
		// Requests that don't end lose their context, then their connection.
		cancel()
		_ = s.http.Close()
	}
	<-served
	return nil
}
