package intake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Store keeps letters. It is safe for concurrent use.
type Store interface {
	// Store returns once every letter is kept, or with the number of those that
	// are and an error. One that wraps [ErrTooLarge] says that nothing was
	// stored and never will be; after any other, all of them may be handed
	// over again. It keeps no letter after it returned.
	Store(ctx context.Context, letters []Letter) (Stored, error)
}

// Stored counts letters that are kept.
type Stored struct {
	Stored int `json:"stored"`
	// Repeated are those among them that were there before.
	Repeated int `json:"repeated"`
}

// ErrTooLarge reports a letter that the stream's server would not take.
var ErrTooLarge = errors.New("event too large")

// Config bounds what one request may bring. Zero fields take their defaults.
type Config struct {
	// MaxBody is the largest body in bytes. Default 8 MiB.
	MaxBody int64
	// MaxEvents is how many events one batch may hold. Default 1000.
	MaxEvents int
	// Timeout bounds the wait for the stream. Default 10 s.
	Timeout time.Duration
	// Decode says how to read plain JSON.
	Decode domainevent.Options
}

// Handler takes events over HTTP: CloudEvents in structured, binary and
// batched mode (HTTP binding 1.0), and whatever else the invalidator
// understands as JSON. It answers 202 with a [Stored] once all of them are
// kept. It is safe for concurrent use.
type Handler struct {
	store  Store
	config Config
	counts struct{ stored, repeated, refused, failed atomic.Uint64 }
}

// NewHandler returns a handler that stores what it understands.
func NewHandler(s Store, c Config) *Handler {
	c.MaxBody = cmp.Or(c.MaxBody, domainevent.MaxBody)
	c.MaxEvents = cmp.Or(c.MaxEvents, 1000)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	return &Handler{store: s, config: c}
}

// Stats counts what a handler did.
type Stats struct {
	// Stored and Repeated count events, Refused requests that can't be
	// understood, Failed those that the stream did not answer.
	Stored, Repeated, Refused, Failed uint64
}

// Stats returns the counts as they are now.
func (h *Handler) Stats() Stats {
	c := &h.counts
	return Stats{c.stored.Load(), c.repeated.Load(), c.refused.Load(), c.failed.Load()}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	letters, p := h.read(w, r)
	if p != nil {
		h.counts.refused.Add(1)
		p.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.Timeout)
	defer cancel()
	done, err := h.store.Store(ctx, letters)
	h.counts.stored.Add(uint64(done.Stored))
	h.counts.repeated.Add(uint64(done.Repeated))
	switch {
	case errors.Is(err, ErrTooLarge):
		h.counts.refused.Add(1)
		tooLarge(err.Error()).write(w)
	case err != nil && !mutant.On(mutant.EventUnstoredAccepted):
		h.counts.failed.Add(1)
		w.Header().Set("Retry-After", "1")
		(&problem{
			Type: "not-stored", Title: "Not all events are known to be stored; sending them again is harmless",
			Status: http.StatusServiceUnavailable, Detail: err.Error(), Stored: &done,
		}).write(w)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(done)
	}
}

// read returns the letters in a request, at least one.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]Letter, *problem) {
	m, p := message(r)
	if p != nil {
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.config.MaxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, tooLarge(fmt.Sprintf("more than %d bytes", large.Limit))
		}
		return nil, refused(fault{"body", err.Error()})
	}
	if m.Body = body; len(body) == 0 && m.Headers[specVersion] == "" {
		return nil, refused(fault{"body", "empty, and no ce-specversion header says that it is an event"})
	}
	letters, err := Open(m, "", h.config.Decode)
	switch {
	case err != nil:
		return nil, refused(faultsOf(err)...)
	case len(letters) == 0:
		return nil, refused(fault{"body", "a batch without events"})
	case len(letters) > h.config.MaxEvents:
		return nil, tooLarge(fmt.Sprintf("%d events, at most %d in one request", len(letters), h.config.MaxEvents))
	}
	return letters, nil
}

// message takes the headers that concern the event.
func message(r *http.Request) (domainevent.Message, *problem) {
	m := domainevent.Message{Channel: r.URL.Path, Headers: make(map[string]string, len(r.Header))}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if len(values) > 1 && strings.HasPrefix(lower, ceHeader) {
			return m, refused(fault{lower, fmt.Sprintf("stands %d times", len(values))})
		}
		m.Headers[lower] = values[0]
	}
	if c := m.Headers["content-encoding"]; c != "" && c != "identity" {
		return m, unsupported(fmt.Sprintf("content-encoding %q: send it unencoded", c))
	}
	given := m.Headers[contentType]
	if given == "" {
		return m, nil
	}
	media, parameters, err := mime.ParseMediaType(given)
	if err != nil {
		return m, refused(fault{contentType, err.Error()})
	}
	if !strings.HasPrefix(media, "application/cloudevents") {
		if m.Headers[specVersion] == "" && media != "application/json" && !strings.HasSuffix(media, "+json") {
			return m, unsupported(fmt.Sprintf(
				"content-type %q without a ce-specversion header: want application/cloudevents+json, application/cloudevents-batch+json, application/json, or binary mode", given))
		}
		return m, nil
	}
	// The content type alone decides between the modes (HTTP binding, 3).
	delete(m.Headers, specVersion)
	switch charset := parameters["charset"]; {
	case media != "application/cloudevents+json" && media != "application/cloudevents-batch+json":
		return m, unsupported(fmt.Sprintf("content-type %q: of CloudEvents' formats, this build reads JSON", given))
	case charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii"):
		return m, unsupported(fmt.Sprintf("charset %q: want utf-8", charset))
	}
	return m, nil
}
