package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/server"
)

//go:embed openapi.yaml
var openAPI []byte

// route is one row of the table. Paths are written as OpenAPI and
// [http.ServeMux] both do.
type route struct {
	method, path string
	// open routes need no token.
	open   bool
	handle func(s *Server, w http.ResponseWriter, r *http.Request) error
}

var routes = []route{
	{"GET", "/healthz", true, (*Server).health},
	{"GET", "/readyz", true, (*Server).ready},
	{"GET", "/openapi.yaml", false, (*Server).document},
	{"GET", "/v1/{domain}/keys/{key}", false, (*Server).getKey},
	{"PUT", "/v1/{domain}/keys/{key}", false, (*Server).putKey},
	{"DELETE", "/v1/{domain}/keys/{key}", false, (*Server).deleteKey},
	{"POST", "/v1/{domain}/invalidate", false, (*Server).invalidate},
	{"POST", "/v1/{domain}/events", false, (*Server).events},
	{"GET", "/v1/{domain}/explain/{key}", false, (*Server).explain},
	{"GET", "/v1/{domain}/members", false, (*Server).members},
	{"GET", "/v1/{domain}/tiers", false, (*Server).tiers},
	{"PUT", "/v1/{domain}/tiers/{tier}", false, (*Server).switchTier},
	{"POST", "/v1/{domain}/batch/get", false, (*Server).getMany},
	{"POST", "/v1/{domain}/batch/put", false, (*Server).putMany},
	{"GET", "/v1/{domain}/brackets", false, (*Server).brackets},
	{"POST", "/v1/{domain}/brackets/{id}/resolve", false, (*Server).resolve},
	{"GET", "/v1/{domain}/snapshots", false, (*Server).snapshots},
	{"POST", "/v1/{domain}/snapshots", false, (*Server).snapshots},
}

const metricsPath = "/metrics"

func (s *Server) handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	allowed := make(map[string][]string)
	for _, rt := range routes {
		h := s.answer(rt.handle)
		if strings.Contains(rt.path, "{domain}") {
			h = s.inDomain(h)
		}
		if !rt.open {
			h = s.authorized(s.bounded(h))
		}
		mux.Handle(rt.method+" "+rt.path, h)
		allowed[rt.path] = append(allowed[rt.path], rt.method)
	}
	for path, methods := range allowed {
		mux.Handle(path, s.authorized(s.answer(func(_ *Server, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			return problemMethod
		})))
	}
	if metrics != nil {
		mux.Handle("GET "+metricsPath, s.authorized(metrics))
	}
	mux.Handle("/", s.authorized(s.answer((*Server).noRoute)))
	return s.recovered(mux)
}

// answer makes a handler of a function that returns its failure.
func (s *Server) answer(handle func(*Server, http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(s, w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *Server) authorized(next http.Handler) http.Handler {
	if !s.cfg.Token.Required() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !bears(r, s.cfg.Token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="tercet"`)
			s.fail(w, r, problemUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded turns requests away when too many are inside: an answer at once is
// worth more to everybody than a place in a queue without end.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.inside <- struct{}{}:
			defer func() { <-s.inside }()
			next.ServeHTTP(w, r)
		default:
			s.fail(w, r, fmt.Errorf("%w: %d requests are worked on", node.ErrOverloaded, cap(s.inside)))
		}
	})
}

func bears(r *http.Request, token server.Secret) bool {
	scheme, given, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer") && token.Matches([]byte(strings.TrimSpace(given)))
}

func (s *Server) inDomain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("domain") != s.cfg.Domain {
			s.fail(w, r, problemDomain)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.logger.Error("httpapi: request panicked", "panic", p, "method", r.Method)
				// The answer may be half out: only its end tells the client.
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) noRoute(http.ResponseWriter, *http.Request) error { return problemRoute }

func (s *Server) document(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
	return nil
}

// events hands domain events to those who know them.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	if s.intake == nil {
		return problemRoute
	}
	s.intake.ServeHTTP(w, r)
	return nil
}

// snapshots hands requests to those who keep snapshots.
func (s *Server) snapshots(w http.ResponseWriter, r *http.Request) error {
	if s.images == nil {
		return problemRoute
	}
	s.images.ServeHTTP(w, r)
	return nil
}

// health tells that the process answers.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, status{"alive"})
	return nil
}

// ready tells whether the node serves. Why not is for those with the token.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	err := s.cache.Serving()
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, status{"serving"})
	case s.cfg.Token.Required() && !bears(r, s.cfg.Token):
		return problemNotReady
	default:
		p := problemNotReady
		p.Detail = err.Error()
		return p
	}
	return nil
}

type status struct {
	Status string `json:"status"`
}
