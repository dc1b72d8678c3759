package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// Letter is an event as it is to be stored.
type Letter struct {
	// Subject is where, events.<type> unless the sender chose.
	Subject string
	// ID is the same for the same event; empty: it has no identity.
	ID string
	// Header holds the message's headers, but for the id.
	Header map[string]string
	Body   []byte
}

// Open checks what a sender handed over, with the headers' names in lower
// case, and returns a letter for each event in it. An empty subject means that of each event's type. Errors are those of
// [domainevent.Decode]; with one there are no letters.
func Open(m domainevent.Message, subject string, o domainevent.Options) ([]Letter, error) {
	all, err := domainevent.Decode(m, o)
	if err != nil {
		return nil, err
	}
	bodies := [][]byte{m.Body}
	batch := m.Headers[specVersion] == "" && bytes.HasPrefix(bytes.TrimLeft(m.Body, " \t\r\n"), []byte("["))
	if batch {
		if bodies, err = items(m.Body); err != nil || len(bodies) != len(all) {
			return nil, fmt.Errorf("split batch of %d events into %d: %w", len(all), len(bodies), err)
		}
	}
	letters := make([]Letter, 0, len(bodies))
	for i, body := range bodies {
		// One body may be several events, as a change of several tables is;
		// they share a type.
		l := Letter{Subject: subject, Header: headers(m.Headers, all[i], batch), Body: body}
		if subject == "" {
			l.Subject = Subject(all[i].Type)
		}
		if e := all[i]; e.ID != "" && len(bodies) == len(all) {
			l.ID = e.Source + "|" + e.ID // what a CloudEvent is identified by
		}
		letters = append(letters, l)
	}
	return letters, nil
}

func items(body []byte) ([][]byte, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	out := make([][]byte, len(raw))
	for i, r := range raw {
		out[i] = r
	}
	return out, nil
}

var keyHeader = strings.ToLower(domainevent.KeyHeader)

const (
	contentType = "content-type"
	ceHeader    = "ce-"
	specVersion = ceHeader + "specversion"
)

// headers keeps what belongs to the event and leaves the rest of the
// transport's behind.
func headers(given map[string]string, e *domainevent.Event, batch bool) map[string]string {
	out := make(map[string]string, 4)
	binary := given[specVersion] != ""
	for name, value := range given {
		switch {
		case binary && strings.HasPrefix(name, ceHeader):
			if text, err := domainevent.ParseHeaderText(value); err == nil { // it was read before
				out[name] = domainevent.HeaderText(text)
			}
		case name == contentType && !batch:
			out["Content-Type"] = value
		case name == "traceparent", name == "tracestate", name == keyHeader:
			out[name] = value
		}
	}
	if !binary && e.Format == domainevent.FormatCloudEvents {
		out["Content-Type"] = "application/cloudevents+json"
	}
	return out
}

// Subjects is what the subjects of events begin with.
const Subjects = "events."

// Subject returns events.<type>, the type's dots making levels. What can't
// stand in a NATS subject is replaced by '_': rules go by the event's type,
// which stays as it is.
func Subject(kind string) string {
	const most = 200
	tokens := strings.Split(kind[:min(len(kind), most)], ".")
	for i, t := range tokens {
		tokens[i] = strings.Map(func(r rune) rune {
			if r <= ' ' || r == '*' || r == '>' || r == 0x7F || r == '\uFFFD' {
				return '_'
			}
			return r
		}, t)
		if t == "" {
			tokens[i] = "_"
		}
	}
	return Subjects + strings.Join(tokens, ".")
}
