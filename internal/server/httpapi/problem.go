package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// problem is an error as RFC 9457 writes it. Type is what programs tell it by.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func (p problem) Error() string { return p.Title + ": " + p.Detail }

const problemPrefix = "urn:tercet:problem:"

var (
	problemUnauthorized  = problem{problemPrefix + "unauthorized", "A bearer token is needed", http.StatusUnauthorized, ""}
	problemDomain        = problem{problemPrefix + "unknown-domain", "This node belongs to another domain", http.StatusNotFound, ""}
	problemRoute         = problem{problemPrefix + "no-route", "There is nothing here; /openapi.yaml tells what there is", http.StatusNotFound, ""}
	problemMethod        = problem{problemPrefix + "method", "This method does nothing here", http.StatusMethodNotAllowed, ""}
	problemNotFound      = problem{problemPrefix + "not-found", "No live copy of this key", http.StatusNotFound, ""}
	problemNotReady      = problem{problemPrefix + "not-serving", "The node does not serve now", http.StatusServiceUnavailable, ""}
	problemOverloaded    = problem{problemPrefix + "overloaded", "The node is overloaded", http.StatusServiceUnavailable, ""}
	problemNotLanded     = problem{problemPrefix + "not-landed", "The write did not happen", http.StatusServiceUnavailable, ""}
	problemIndeterminate = problem{problemPrefix + "indeterminate", "The write may or may not have happened", http.StatusGatewayTimeout, ""}
	problemTimeout       = problem{problemPrefix + "timeout", "Not done in time; a write may have happened", http.StatusGatewayTimeout, ""}
	problemInvalid       = problem{problemPrefix + "invalid", "The request breaks a rule", http.StatusBadRequest, ""}
	problemTooLarge      = problem{problemPrefix + "too-large", "The body is too large", http.StatusRequestEntityTooLarge, ""}
	problemInternal      = problem{problemPrefix + "internal", "Internal error", http.StatusInternalServerError, ""}
)

func invalid(detail string) problem {
	p := problemInvalid
	p.Detail = detail
	return p
}

// problemOf says which problem an error is.
func problemOf(err error) problem {
	var (
		p     problem
		large *http.MaxBytesError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large), errors.Is(err, node.ErrTooLarge):
		p = problemTooLarge
	case errors.Is(err, node.ErrNotFound):
		return problemNotFound
	case errors.Is(err, node.ErrNotServing):
		p = problemNotReady
	case errors.Is(err, node.ErrOverloaded):
		p = problemOverloaded
	case errors.Is(err, events.ErrIndeterminate):
		p = problemIndeterminate
	case errors.Is(err, events.ErrNotLanded):
		p = problemNotLanded
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = problemTimeout
	case errors.Is(err, events.ErrInvalid), errors.Is(err, consistency.ErrToken), errors.Is(err, node.ErrRefused):
		p = problemInvalid
	default:
		p = problemInternal
	}
	p.Detail = err.Error()
	return p
}

// retryAfter is what a client that can wait should wait, in seconds.
func retryAfter(err error) string {
	var full *node.Overload
	if errors.As(err, &full) {
		return strconv.Itoa(int(math.Ceil(full.RetryAfter.Seconds())))
	}
	return "1"
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Type == problemInternal.Type {
		s.logger.Error("httpapi: request failed", "method", r.Method, "error", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter(err))
	}
	body, _ := json.Marshal(p) // strings and a number
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		// A type of this package that can't be marshalled.
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(b)
}
