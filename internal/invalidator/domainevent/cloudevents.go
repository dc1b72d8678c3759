package domainevent

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// specVersion is the only version of CloudEvents that is understood.
const specVersion = "1.0"

func isCloudEvents(headers map[string]string) bool {
	return strings.HasPrefix(strings.ToLower(header(headers, "content-type")), "application/cloudevents")
}

// decodeStructured reads an event in the JSON format of CloudEvents 1.0. Paths
// in errors begin with at.
func decodeStructured(m Message, v Object, at string) (*Event, *DecodeError) {
	a := attributes{at: at, get: func(name string) (string, *DecodeError) {
		raw := v[name]
		if raw == nil { // an attribute that is null is unset (JSON format, 2.2)
			return "", nil
		}
		s, ok := scalar(raw)
		if !ok {
			return "", refuse(ErrMalformed, FormatCloudEvents, at+name, "an attribute is a string, number or bool, have %s", typeName(raw))
		}
		return s, nil
	}}
	e, err := a.event(m)
	if err != nil {
		return nil, err
	}
	for name, raw := range v {
		switch name {
		case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64":
			continue
		}
		s, err := a.get(name)
		if err != nil {
			return nil, err
		}
		if raw != nil {
			e.setAttribute(name, s)
		}
	}
	if err := e.structuredData(v, at); err != nil {
		return nil, err
	}
	return e, e.liftChange(at + "data")
}

// structuredData fills in the payload: `data` is JSON as it stands,
// `data_base64` holds bytes that are JSON if the media type says so.
func (e *Event) structuredData(v Object, at string) *DecodeError {
	raw, encoded := v["data_base64"]
	if !encoded || raw == nil {
		e.Data = v["data"]
		return nil
	}
	if v["data"] != nil {
		return refuse(ErrMalformed, FormatCloudEvents, at+"data_base64", "stands beside data; at most one of them may")
	}
	s, ok := raw.(string)
	if !ok {
		return refuse(ErrMalformed, FormatCloudEvents, at+"data_base64", "want a string, have %s", typeName(raw))
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return refuse(ErrMalformed, FormatCloudEvents, at+"data_base64", "not base64: %v", err)
	}
	return e.binaryData(b, at+"data_base64")
}

// binaryData fills in a payload that came as bytes. Without a media type it
// is JSON if it reads as JSON; with one of another kind it is left out.
func (e *Event) binaryData(b []byte, field string) *DecodeError {
	if len(b) == 0 {
		return nil
	}
	if e.DataType != "" && !isJSON(e.DataType) {
		return nil
	}
	v, err := parseJSON(b, FormatCloudEvents, field)
	if err != nil {
		if e.DataType == "" {
			return nil
		}
		return err
	}
	e.Data = v
	return nil
}

// isJSON reports whether a media type is JSON by RFC 6839: its subtype is json
// or ends with +json.
func isJSON(mediaType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(mediaType), ";")
	t = strings.TrimSpace(t)
	return strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json")
}

// decodeBinary reads CloudEvents' binary mode: attributes travel as headers
// "ce-<name>", percent-encoded, and the body is the payload.
func decodeBinary(m Message) (*Event, *DecodeError) {
	const prefix = "ce-"
	a := attributes{at: prefix, get: func(name string) (string, *DecodeError) {
		if name == "datacontenttype" {
			return header(m.Headers, "content-type"), nil
		}
		raw := header(m.Headers, prefix+name)
		s, err := ParseHeaderText(raw)
		if err != nil {
			return "", refuse(ErrMalformed, FormatCloudEvents, prefix+name, "%v", err)
		}
		if !utf8.ValidString(s) {
			return "", refuse(ErrMalformed, FormatCloudEvents, prefix+name, "not UTF-8")
		}
		return s, nil
	}}
	e, err := a.event(m)
	if err != nil {
		return nil, err
	}
	for k := range m.Headers {
		name := strings.ToLower(k)
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		switch name = name[len(prefix):]; name {
		case "specversion", "id", "source", "type", "subject", "time", "datacontenttype":
			continue
		}
		s, err := a.get(name)
		if err != nil {
			return nil, err
		}
		e.setAttribute(name, s)
	}
	if err := e.binaryData(m.Body, "body"); err != nil {
		return nil, err
	}
	return e, e.liftChange("body")
}

// attributes reads an event's context attributes from wherever they stand.
type attributes struct {
	at  string
	get func(name string) (string, *DecodeError)
}

func (a attributes) event(m Message) (*Event, *DecodeError) {
	e := &Event{Channel: m.Channel, Format: FormatCloudEvents}
	var version, at string
	for _, f := range []struct {
		name     string
		dst      *string
		required bool
	}{
		{"specversion", &version, true},
		{"id", &e.ID, true},
		{"source", &e.Source, true},
		{"type", &e.Type, true},
		{"subject", &e.Subject, false},
		{"time", &at, false},
		{"datacontenttype", &e.DataType, false},
	} {
		s, err := a.get(f.name)
		if err != nil {
			return nil, err
		}
		if s == "" && f.required {
			return nil, refuse(ErrMissing, FormatCloudEvents, a.at+f.name, "required by CloudEvents 1.0")
		}
		*f.dst = s
	}
	if version != specVersion {
		return nil, refuse(ErrUnsupported, FormatCloudEvents, a.at+"specversion", "%q, this build knows %q", clip(version), specVersion)
	}
	if at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return nil, refuse(ErrMalformed, FormatCloudEvents, a.at+"time", "%q is not RFC 3339", clip(at))
		}
		e.Time = t
	}
	e.traceFrom(m.Headers) // attributes of the event overwrite it
	return e, nil
}

func (e *Event) setAttribute(name, value string) {
	if e.Attributes == nil {
		e.Attributes = make(map[string]string, 4)
	}
	e.Attributes[name] = value
}

func clip(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%s… (%d bytes)", s[:most], len(s))
	}
	return s
}
