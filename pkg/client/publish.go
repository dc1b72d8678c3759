package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"

	"github.com/raptorflow/tercet/internal/telemetry/tracing"
)

// DomainEvent is something that happened in the business: the invalidator's
// rules say what it means for the cache. It travels as a CloudEvent 1.0.
type DomainEvent struct {
	// Type names what happened, such as "shop.price.changed". Required.
	Type string
	// Source is who says so, a URI reference. Default "/" and the domain.
	Source string
	// ID is unique for the source; publishing the same twice does no harm.
	// Default: a new ULID.
	ID string
	// Subject is what it happened to. Optional.
	Subject string
	// Time is when. Default now.
	Time time.Time
	// Data is encoded as JSON.
	Data any
	// TraceParent and TraceState are the W3C trace context of what led to it.
	// Default: that of the span in Publish's ctx, if there is one.
	TraceParent, TraceState string
}

// Validate reports whether the event can be published, as far as that can be
// told without its data: [ErrInvalid] if not.
func (e DomainEvent) Validate() error {
	_, err := eventSubject(e.Type)
	return err
}

// cloudEvent is the structured JSON form, CloudEvents 1.0, section 3 of the
// JSON event format.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype,omitempty"`
	TraceParent     string    `json:"traceparent,omitempty"`
	TraceState      string    `json:"tracestate,omitempty"`
	Data            any       `json:"data,omitempty"`
}

// Publish hands a domain event to the invalidator. It returns once the event
// is stored in the stream of events, on the subject events.<type>; its fences
// follow. Publish after your commit.
//
// With [Config.Outbox] it returns once the event is on this process's disk, and
// needs nobody for that.
//
// Errors: [ErrInvalid], [ErrOutboxFull], [ErrIndeterminate] if the stream gave no answer in
// time: publishing again with the same ID is safe.
func (c *Client) Publish(ctx context.Context, e DomainEvent) error {
	subject, err := eventSubject(e.Type)
	if err != nil {
		return err
	}
	if e.Source == "" {
		e.Source = "/" + c.cfg.Domain
	}
	if e.ID == "" {
		e.ID = ulid.Make().String()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.TraceParent == "" {
		e.TraceParent, e.TraceState = tracing.Of(ctx)
	}
	ce := cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject, Time: e.Time.UTC(),
		TraceParent: e.TraceParent, TraceState: e.TraceState, Data: e.Data,
	}
	if e.Data != nil {
		ce.DataContentType = "application/json"
	}
	body, err := json.Marshal(ce)
	if err != nil {
		return fmt.Errorf("publish %s: %w: data: %w", e.Type, ErrInvalid, err)
	}
	if c.outbox.box != nil {
		return c.outbox.keepEvent(body)
	}
	if err := c.publishEvent(ctx, subject, e.Source, e.ID, body); err != nil {
		return fmt.Errorf("publish %s %s: %w: %w", e.Type, e.ID, ErrIndeterminate, err)
	}
	return nil
}

func (c *Client) publishEvent(ctx context.Context, subject, source, id string, body []byte) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	m := nats.NewMsg(subject)
	m.Header.Set("Content-Type", "application/cloudevents+json")
	m.Header.Set(nats.MsgIdHdr, source+"|"+id) // source and id are a CloudEvent's identity
	m.Data = body
	_, err = js.PublishMsg(ctx, m)
	return err
}

// eventSubject returns the subject of an event type: events.<type>, where the
// type's dots make levels.
func eventSubject(eventType string) (string, error) {
	bad := eventType == "" || len(eventType) > 200 || strings.ContainsAny(eventType, " \t\r\n*>") ||
		strings.HasPrefix(eventType, ".") || strings.HasSuffix(eventType, ".") || strings.Contains(eventType, "..")
	if bad {
		return "", fmt.Errorf("%w event type %q: want 1 to 200 characters that can stand in a NATS subject, such as shop.price.changed", ErrInvalid, eventType)
	}
	return "events." + eventType, nil
}
