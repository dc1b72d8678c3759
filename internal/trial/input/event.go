package input

import (
	"encoding/json"
	"fmt"
	"time"
)

// cloudEvent is a CloudEvent in structured JSON (CloudEvents 1.0, JSON format
// section 3).
type cloudEvent struct {
	SpecVersion     string         `json:"specversion"`
	ID              string         `json:"id"`
	Source          string         `json:"source"`
	Type            string         `json:"type"`
	Time            string         `json:"time,omitempty"`
	DataContentType string         `json:"datacontenttype"`
	Data            map[string]any `json:"data"`
}

// encodeEvent returns the event's JSON. Maps are encoded with sorted keys, so
// that the same event is the same bytes.
func encodeEvent(id, source, kind string, at time.Time, data map[string]any) []byte {
	e := cloudEvent{
		SpecVersion: "1.0", ID: id, Source: source, Type: kind,
		DataContentType: "application/json", Data: data,
	}
	if e.Data == nil {
		e.Data = map[string]any{}
	}
	if !at.IsZero() {
		e.Time = at.UTC().Format(time.RFC3339Nano)
	}
	b, err := json.Marshal(e)
	if err != nil {
		// Strings, numbers and lists of them: there is nothing to refuse.
		panic(fmt.Sprintf("input: encode event %s: %v", id, err))
	}
	return b
}
