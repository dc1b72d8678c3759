package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/raptorflow/tercet/internal/config"
)

// Server is a service's HTTP interface.
type Server struct {
	config   config.HTTP
	ready    func() error
	registry *prometheus.Registry
	log      *slog.Logger
	notes    []func() string
	routes   []route
}

type route struct {
	pattern string
	handler http.Handler
}

// NewServer returns the interface that c describes. Ready says why the service
// is not ready; nil: it is.
func NewServer(c config.HTTP, ready func() error, log *slog.Logger, all ...prometheus.Collector) (*Server, error) {
	s := &Server{config: c, ready: ready, registry: prometheus.NewRegistry(), log: log}
	all = append(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, m := range all {
		if err := s.registry.Register(m); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return s, nil
}

// Handle adds a route behind the token, for the time before Run. The pattern
// is one of [http.ServeMux].
func (s *Server) Handle(pattern string, h http.Handler) {
	s.routes = append(s.routes, route{pattern, h})
}

// Note adds a line to the answer of /readyz, for what does not make the service
// unready and still wants somebody's eye. An empty line is left out. Note is
// for the time before Run; note is called at any time.
func (s *Server) Note(note func() string) { s.notes = append(s.notes, note) }

// Run serves until ctx is done and returns nil then. Switched off, it just
// waits.
func (s *Server) Run(ctx context.Context) error {
	if s.config.Addr == config.Off {
		<-ctx.Done()
		return nil
	}
	l, err := net.Listen("tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	s.log.Info("serving HTTP", "address", l.Addr().String())
	h := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() {
		if s.config.TLS.Enabled() {
			ended <- h.ServeTLS(l, s.config.TLS.Cert, s.config.TLS.Key)
			return
		}
		ended <- h.Serve(l)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	// Whoever scrapes may have its last answer.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if h.Shutdown(stopping) != nil {
		_ = h.Close() // what did not end in time is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler answers the paths. Health and readiness say nothing that is secret
// and need no token.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
		for _, note := range s.notes {
			if line := note(); line != "" {
				fmt.Fprintln(w, line)
			}
		}
	})
	for _, r := range s.routes {
		mux.Handle(r.pattern, s.guard(r.handler))
	}
	mux.Handle("GET /metrics", s.guard(promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})))
	return mux
}

// guard asks for the token, if there is one.
func (s *Server) guard(h http.Handler) http.Handler {
	if s.config.Token == "" {
		return h
	}
	want := sha256.Sum256([]byte(s.config.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
