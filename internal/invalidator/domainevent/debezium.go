package domainevent

import (
	"encoding/json"
	"strings"
	"time"
)

// looksDebezium reports whether an object has the outline of one of Debezium's
// messages. The checks go by the fields that no other of them has.
func looksDebezium(v Object) bool {
	if _, ok := v["payload"]; ok {
		if _, ok := v["schema"]; ok {
			return true
		}
	}
	_, op := v["op"]
	_, source := v["source"]
	_, ddl := v["ddl"]
	_, tables := v["tableChanges"]
	return op && (source || v["after"] != nil || v["before"] != nil) || ddl || tables || isFlattened(v) || isTransaction(v)
}

// decodeDebezium reads a message of Debezium, in a schema envelope or not.
func decodeDebezium(m Message, v Object) ([]*Event, error) {
	at, schema := "", ""
	_, op := v["op"]
	if raw, ok := v["payload"]; ok && !op {
		if s, ok := v["schema"].(Object); ok {
			schema = text(s, "name")
		}
		at = "payload."
		if raw == nil {
			return one(decodeTombstone(m))
		}
		if v, ok = raw.(Object); !ok {
			return nil, refuse(ErrMalformed, FormatDebezium, "payload", "want an object, have %s", typeName(raw))
		}
	}
	_, op = v["op"]
	_, ddl := v["ddl"]
	_, tables := v["tableChanges"]
	switch {
	case op:
		return one(decodeRow(m, v, at))
	case ddl || tables:
		return decodeSchemaChange(m, v, at)
	case isTransaction(v):
		return one(decodeTransaction(m, v))
	case isFlattened(v):
		return one(decodeFlattened(m, v, at))
	case strings.HasSuffix(schema, "Key"):
		return nil, refuse(ErrMissing, FormatDebezium, at+"op", "schema %q is that of a message's key, not of a change", clip(schema))
	case strings.HasSuffix(schema, "Heartbeat"):
		return nil, refuse(ErrUnsupported, FormatDebezium, "schema.name", "%q is a heartbeat and says nothing of rows; turn it off or give it a subject of its own", clip(schema))
	}
	return nil, refuse(ErrMissing, FormatDebezium, at+"op", "no change event, schema change or transaction; a flattened row needs __op or __deleted (option add.fields)")
}

var operations = map[string]Operation{
	"c": OperationCreate, "u": OperationUpdate, "d": OperationDelete, "r": OperationRead,
	"t": OperationTruncate, "m": OperationMessage,
	"i": OperationCreate, // Cassandra's insert
}

func operation(v any, field string) (Operation, *DecodeError) {
	s, ok := v.(string)
	if !ok {
		return "", refuse(ErrMalformed, FormatDebezium, field, "want a string, have %s", typeName(v))
	}
	op, ok := operations[s]
	if !ok {
		return "", refuse(ErrUnsupported, FormatDebezium, field, "%q is no operation of Debezium's: c, u, d, r, t, m", clip(s))
	}
	return op, nil
}

// decodeRow reads a change event's envelope.
func decodeRow(m Message, v Object, at string) (*Event, *DecodeError) {
	op, err := operation(v["op"], at+"op")
	if err != nil {
		return nil, err
	}
	c := &Change{Operation: op}
	source, ok := v["source"].(Object)
	if !ok {
		return nil, refuse(ErrMissing, FormatDebezium, at+"source", "names the table; want an object, have %s", typeName(v["source"]))
	}
	if err := c.place(source, at+"source."); err != nil {
		return nil, err
	}
	if err := c.states(v, at); err != nil {
		return nil, err
	}
	if err := c.takeKey(m); err != nil {
		return nil, err
	}
	return newChangeEvent(m, c, source, v), nil
}

// newChangeEvent wraps a change that carries no event attributes of its own.
func newChangeEvent(m Message, c *Change, source, v Object) *Event {
	e := &Event{
		ID: m.ID, Source: "/debezium/" + text(source, "name"), Type: changeType(c.Connector),
		Channel: m.Channel, Format: FormatDebezium, Data: v, Change: c,
	}
	e.Time = eventTime(v, source)
	e.traceFrom(m.Headers)
	if t := text(v, traceParent); t != "" && e.Trace() == "" {
		e.setAttribute(traceParent, t)
	}
	return e
}

func changeType(connector string) string {
	if connector == "" {
		return "io.debezium.DataChangeEvent"
	}
	return "io.debezium.connector." + connector + ".DataChangeEvent"
}

func eventTime(objects ...Object) time.Time {
	for _, o := range objects {
		n, err := json.Number(text(o, "ts_ms")).Int64()
		if err == nil && n > 0 {
			return time.UnixMilli(n).UTC()
		}
	}
	return time.Time{}
}

// place fills in where the row lies and at which position of the source's log,
// by the names that the connectors use.
func (c *Change) place(source Object, at string) *DecodeError {
	c.Connector = text(source, "connector")
	// Where there are keyspaces, db holds nothing or "NULL".
	c.Database = first(source, "keyspace", "keyspace_name", "db", "database_name", "database_id")
	c.Schema = text(source, "schema")
	c.Table = first(source, "table", "collection", "table_name")
	c.Position = position(source)
	switch text(source, "snapshot") {
	case "", "false":
	default:
		c.Snapshot = true
	}
	if c.Table == "" && c.Operation != OperationMessage {
		// Empty but there: a transformation turned a message of the
		// database's log into a row, which has no table.
		if _, ok := source["table"].(string); !ok {
			return refuse(ErrMissing, FormatDebezium, at+"table", "which table changed is not said")
		}
	}
	return nil
}

func first(o Object, names ...string) string {
	for _, n := range names {
		if s := text(o, n); s != "" {
			return s
		}
	}
	return ""
}

// position renders the source's position by the first scheme that applies.
func position(source Object) string {
	if s := text(source, "gtid"); s != "" {
		return "gtid:" + s
	}
	if file, pos := text(source, "file"), text(source, "pos"); file != "" && pos != "" {
		return file + ":" + pos
	}
	for _, f := range []struct{ field, scheme string }{
		{"lsn", "lsn:"},                // PostgreSQL
		{"commit_lsn", "lsn:"},         // SQL Server, Db2, Informix
		{"commit_scn", "scn:"},         // Oracle
		{"scn", "scn:"},                //
		{"vgtid", "vgtid:"},            // Vitess
		{"resolved_ts", "ts:"},         // CockroachDB
		{"ts_hlc", "ts:"},              //
		{"read_at_timestamp", "ts:"},   // Spanner
		{"ord", "ord:"},                // MongoDB, within ts_ms
		{"sequence", "sequence:"},      // where nothing better is there
		{"transaction_id", "tx:"},      //
		{"event_serial_no", "serial:"}, //
	} {
		s := text(source, f.field)
		if s == "" || s == "[]" {
			continue
		}
		if f.field == "ord" {
			s = text(source, "ts_ms") + "/" + s
		}
		return f.scheme + s
	}
	return ""
}

// states fills in the row before and after.
func (c *Change) states(v Object, at string) (err *DecodeError) {
	if c.Before, err = c.state(v["before"], at+"before"); err != nil {
		return err
	}
	c.After, err = c.state(v["after"], at+"after")
	return err
}

func (c *Change) state(raw any, field string) (Object, *DecodeError) {
	switch v := raw.(type) {
	case nil:
		return nil, nil
	case Object:
		if c.Connector == "cassandra" {
			return cells(v), nil
		}
		return v, nil
	case string: // MongoDB writes documents as JSON in a string
		parsed, err := parseJSON([]byte(v), FormatDebezium, field)
		if err != nil {
			return nil, err
		}
		if o, ok := parsed.(Object); ok {
			return o, nil
		}
		raw = parsed
	}
	return nil, refuse(ErrMalformed, FormatDebezium, field, "want a row, have %s", typeName(raw))
}

// cells takes the values out of Cassandra's cells.
func cells(row Object) Object {
	out := make(Object, len(row))
	for name, raw := range row {
		if cell, ok := raw.(Object); ok {
			if v, ok := cell["value"]; ok {
				out[name] = v
				continue
			}
		}
		out[name] = raw
	}
	return out
}

// takeKey reads the message's key where the transport carried one.
func (c *Change) takeKey(m Message) *DecodeError {
	raw := header(m.Headers, KeyHeader)
	if raw == "" {
		return nil
	}
	v, err := parseJSON([]byte(raw), FormatDebezium, KeyHeader)
	if err != nil {
		return err
	}
	key, ok := v.(Object)
	if !ok {
		return refuse(ErrMalformed, FormatDebezium, KeyHeader, "want an object, have %s", typeName(v))
	}
	if payload, ok := key["payload"].(Object); ok {
		key = payload
	}
	c.Key = key
	return nil
}
