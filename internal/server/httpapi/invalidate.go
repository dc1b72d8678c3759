package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// invalidation is the body of POST /v1/{domain}/invalidate.
type invalidation struct {
	Keys     []string `json:"keys"`
	Tags     []string `json:"tags"`
	Prefixes []string `json:"prefixes"`
	Globs    []string `json:"globs"`
	All      bool     `json:"all"`
	Soft     bool     `json:"soft"`
	// Source is the origin's position of the change (LSN, GTID).
	Source string `json:"source_position"`
	// Concern is "logged" (the default) or "everywhere".
	Concern string `json:"concern"`
}

// maxInvalidation bounds the body: a record holds no more names.
const maxInvalidation = 2 * events.MaxRecord

func parseInvalidation(b []byte) (events.Invalidate, node.Concern, error) {
	var in invalidation
	if err := parse(b, "invalidation", &in); err != nil {
		return events.Invalidate{}, 0, err
	}
	c, err := concern(in.Concern)
	if err != nil {
		return events.Invalidate{}, 0, err
	}
	inv := events.Invalidate{
		Scope: events.Scope{Keys: in.Keys, Tags: in.Tags, Prefixes: in.Prefixes, Globs: in.Globs, All: in.All},
		Soft:  in.Soft, Source: in.Source,
	}
	return inv, c, inv.Scope.Validate()
}

// parse reads a body's one object.
func parse(b []byte, what string, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	// A misspelt "prefixs" must not leave a narrower fence than was meant.
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("the body is no " + what + ": " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body holds more than one object")
	}
	return nil
}

func (s *Server) invalidate(w http.ResponseWriter, r *http.Request) error {
	b, err := body(w, r, maxInvalidation)
	if err != nil {
		return err
	}
	inv, c, err := parseInvalidation(b)
	if err != nil {
		return err
	}
	inv.Cause.Trace = events.JoinTrace(r.Header.Get("Traceparent"), r.Header.Get("Tracestate"))
	ctx, cancel := s.deadline(r, c)
	defer cancel()
	t, err := s.cache.Invalidate(ctx, inv, node.InvalidateOptions{Concern: c})
	return s.written(w, r, t, err)
}
