package domainevent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Message is what a transport delivered.
type Message struct {
	// ID names the message for events that carry no id of their own, such as
	// its stream and sequence.
	ID string
	// Channel is the subject or path that it came by.
	Channel string
	// Headers are the message's, looked up without regard to case.
	Headers map[string]string
	Body    []byte
}

// KeyHeader is the header that may carry a change event's key as JSON, with or
// without its schema.
const KeyHeader = "Debezium-Key"

// Options say how to read what no standard describes.
type Options struct {
	// TypeField is the field of plain JSON objects that holds their type, such
	// as "event_type". Empty: plain JSON is refused.
	TypeField string
	// IDField is the field of plain JSON objects that holds their id. Empty or
	// absent from the object: the message's id serves.
	IDField string
}

// Decode returns the events in m: one, or those of a batch, which may be empty,
// or one per table of a schema change.
//
// A batch may hold both kinds: then the events that were understood come
// together with an error about the others. Every error is a *[DecodeError] or
// joins several of them.
func Decode(m Message, o Options) ([]*Event, error) {
	// The content type alone says that the body is the whole event.
	if header(m.Headers, "ce-specversion") != "" && !isCloudEvents(m.Headers) {
		return one(decodeBinary(m))
	}
	if len(m.Body) == 0 || bytes.Equal(m.Body, []byte("null")) {
		return one(decodeTombstone(m))
	}
	body, derr := parseJSON(m.Body, FormatUnknown, "body")
	if derr != nil {
		return nil, derr
	}
	switch v := body.(type) {
	case []any:
		return decodeBatch(m, v)
	case Object:
		return decodeObject(m, o, v)
	}
	return nil, refuse(ErrMalformed, FormatUnknown, "body", "want an object or a batch, have %s", typeName(body))
}

func one(e *Event, err *DecodeError) ([]*Event, error) {
	if err != nil {
		return nil, err
	}
	return []*Event{e}, nil
}

func decodeObject(m Message, o Options, v Object) ([]*Event, error) {
	switch {
	case v["specversion"] != nil || isCloudEvents(m.Headers):
		return one(decodeStructured(m, v, ""))
	case looksDebezium(v):
		return decodeDebezium(m, v)
	case o.TypeField != "":
		return one(decodePlain(m, o, v))
	}
	return nil, refuse(ErrMissing, FormatUnknown, "specversion",
		"no CloudEvent, no Debezium envelope (`op`, `payload`), and no field is configured to hold the type of plain JSON")
}

// decodeBatch reads CloudEvents' batched mode.
func decodeBatch(m Message, items []any) ([]*Event, error) {
	var events []*Event
	var faults []error
	for i, item := range items {
		at := fmt.Sprintf("[%d]", i)
		v, ok := item.(Object)
		if !ok {
			faults = append(faults, refuse(ErrMalformed, FormatCloudEvents, at, "want an object, have %s", typeName(item)))
			continue
		}
		e, err := decodeStructured(m, v, at+".")
		if err != nil {
			faults = append(faults, err)
			continue
		}
		events = append(events, e)
	}
	return events, errors.Join(faults...)
}

// decodePlain reads a JSON object whose type stands in a configured field.
func decodePlain(m Message, o Options, v Object) (*Event, *DecodeError) {
	kind := text(v, o.TypeField)
	if kind == "" {
		return nil, refuse(ErrMissing, FormatPlain, o.TypeField, "names the event's type; want a string that is not empty, have %s", typeName(v[o.TypeField]))
	}
	e := &Event{ID: m.ID, Source: m.Channel, Type: kind, Channel: m.Channel, Format: FormatPlain, Data: v}
	if o.IDField != "" {
		if id := text(v, o.IDField); id != "" {
			e.ID = id
		}
	}
	e.traceFrom(m.Headers)
	return e, nil
}

func header(headers map[string]string, name string) string {
	if v, ok := headers[name]; ok {
		return v
	}
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
