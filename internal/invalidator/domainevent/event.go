package domainevent

import (
	"strings"
	"time"
)

// Object is a JSON object. Its values are the JSON tree's: nil, bool,
// json.Number, string, []any or Object.
type Object = map[string]any

// Format names what an event was written in.
type Format string

const (
	FormatCloudEvents Format = "cloudevents"
	FormatDebezium    Format = "debezium"
	FormatPlain       Format = "json"
	// FormatUnknown is that of a message which could not be recognised.
	FormatUnknown Format = "unknown"
)

// Event is one thing that happened. It is read-only once decoded.
type Event struct {
	// ID is unique within Source; together they identify the event. An event
	// that carries none has the id that its message was given.
	ID     string
	Source string
	// Type says what happened, such as "shop.price.changed". Events of
	// Debezium that carry none are of type
	// "io.debezium.connector.<connector>.DataChangeEvent".
	Type    string
	Subject string
	// Time is when it happened, zero if unknown.
	Time time.Time
	// Channel is the messaging subject or HTTP path that the event came by.
	Channel string
	Format  Format
	// Attributes holds CloudEvents' extension attributes as text.
	Attributes map[string]string
	// Data is the payload as a JSON tree, nil if there is none or it is not
	// JSON, in which case DataType names its media type.
	Data     any
	DataType string
	// Change is set for change events: what happened to which row.
	Change *Change
}

// The attributes of W3C's trace context (CloudEvents' distributed tracing
// extension), and the headers of those names.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// Trace returns the event's W3C traceparent, empty if it has none.
func (e *Event) Trace() string { return e.Attributes[traceParent] }

// TraceState returns the event's W3C tracestate, empty if it has none.
func (e *Event) TraceState() string { return e.Attributes[traceState] }

// traceFrom takes the trace context that the transport carried.
func (e *Event) traceFrom(headers map[string]string) {
	t := header(headers, traceParent)
	if t == "" {
		return
	}
	e.setAttribute(traceParent, t)
	if s := header(headers, traceState); s != "" {
		e.setAttribute(traceState, s)
	}
}

// Operation is what a change event says was done.
type Operation string

const (
	OperationCreate   Operation = "create"
	OperationUpdate   Operation = "update"
	OperationDelete   Operation = "delete"
	OperationRead     Operation = "read" // a row seen by a snapshot
	OperationTruncate Operation = "truncate"
	// OperationMessage is a message in the database's log, of no table.
	OperationMessage Operation = "message"
	// OperationSchema is a change of a table's definition.
	OperationSchema Operation = "schema"
	// OperationTransaction marks a transaction's begin or end.
	OperationTransaction Operation = "transaction"
	// OperationTombstone is a message without a value: it tells a compacted
	// topic to forget a key, and follows the delete that says so to us.
	OperationTombstone Operation = "tombstone"
)

// Operations lists all operations.
var Operations = []Operation{
	OperationCreate, OperationUpdate, OperationDelete, OperationRead, OperationTruncate,
	OperationMessage, OperationSchema, OperationTransaction, OperationTombstone,
}

// Change is what a change event says beyond an event.
type Change struct {
	Connector string
	// Database, Schema and Table place the row. Table is a collection for
	// document stores. Any of them may be empty.
	Database, Schema, Table string
	Operation               Operation
	// Before and After are the row's two states as far as the source knows
	// them: nil if absent, and Before may hold the key's columns only.
	Before, After Object
	// Key is the message's key where the transport carried one.
	Key Object
	// Position is the source's position of the change, such as
	// "lsn:26997904", "gtid:…" or "mysql-bin.000003:725". Empty: unknown.
	Position string
	// Snapshot reports that a snapshot produced the event.
	Snapshot bool
}

// Place returns what is known of where the row lies, as in shop.public.orders.
func (c *Change) Place() string {
	var parts []string
	for _, p := range []string{c.Database, c.Schema, c.Table} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ".")
}

// Row returns the row after the change, else before it, else the message's
// key, else nil.
func (c *Change) Row() Object {
	switch {
	case c.After != nil:
		return c.After
	case c.Before != nil:
		return c.Before
	}
	return c.Key
}

// Rows returns those of Before and After that are known, or the message's key
// if neither is.
func (c *Change) Rows() []any {
	rows := make([]any, 0, 2)
	if c.Before != nil {
		rows = append(rows, c.Before)
	}
	if c.After != nil {
		rows = append(rows, c.After)
	}
	if len(rows) == 0 && c.Key != nil {
		rows = append(rows, c.Key)
	}
	return rows
}
