package intake

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// problem is an error as RFC 9457 writes it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Faults name each field that was refused.
	Faults []fault `json:"faults,omitempty"`
	// Stored counts what was kept nevertheless.
	Stored *Stored `json:"events,omitempty"`
}

// fault is one field and what is wrong with it.
type fault struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// maxFaults bounds an answer: whoever sends a thousand bad events needs to
// hear of a few.
const maxFaults = 20

func (p *problem) write(w http.ResponseWriter) {
	p.Type = "urn:tercet:problem:" + p.Type
	body, _ := json.Marshal(p) // texts and numbers
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

func refused(faults ...fault) *problem {
	p := &problem{Type: "invalid", Title: "Not understood; no event was stored", Status: http.StatusBadRequest}
	if len(faults) > 0 {
		p.Detail = faults[0].Field + ": " + faults[0].Detail
	}
	p.Faults = faults[:min(len(faults), maxFaults)]
	return p
}

func tooLarge(detail string) *problem {
	return &problem{Type: "too-large", Title: "Too large; no event was stored", Status: http.StatusRequestEntityTooLarge, Detail: detail}
}

func unsupported(detail string) *problem {
	return &problem{Type: "unsupported", Title: "No form of events that is read here", Status: http.StatusUnsupportedMediaType, Detail: detail}
}

// faultsOf lists all faults within err.
func faultsOf(err error) []fault {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []fault
		for _, e := range joined.Unwrap() {
			all = append(all, faultsOf(e)...)
		}
		return all
	}
	var d *domainevent.DecodeError
	if errors.As(err, &d) {
		return []fault{{d.Field, d.Kind.Error() + ": " + d.Detail}}
	}
	return []fault{{"body", err.Error()}}
}
