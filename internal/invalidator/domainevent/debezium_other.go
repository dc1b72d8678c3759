package domainevent

import "strings"

// decodeSchemaChange reads a change of table definitions: one event per table
// that it names, or one for the database.
func decodeSchemaChange(m Message, v Object, at string) ([]*Event, error) {
	source, _ := v["source"].(Object)
	base := Change{
		Operation: OperationSchema,
		Connector: text(source, "connector"),
		Database:  first(v, "databaseName"),
		Schema:    first(v, "schemaName"),
		Table:     text(source, "table"),
		Position:  position(source),
	}
	if base.Database == "" {
		base.Database = text(source, "db")
	}
	raw := v["tableChanges"]
	changes, ok := raw.([]any)
	if !ok && raw != nil {
		return nil, refuse(ErrMalformed, FormatDebezium, at+"tableChanges", "want an array, have %s", typeName(raw))
	}
	if len(changes) == 0 {
		c := base
		return []*Event{newChangeEvent(m, &c, source, v)}, nil
	}
	events := make([]*Event, 0, len(changes))
	for _, raw := range changes {
		change, ok := raw.(Object)
		if !ok {
			return nil, refuse(ErrMalformed, FormatDebezium, at+"tableChanges", "want objects, have %s", typeName(raw))
		}
		id := text(change, "id")
		if id == "" {
			return nil, refuse(ErrMissing, FormatDebezium, at+"tableChanges.id", "which table changed is not said")
		}
		c := base
		c.Table = lastPart(id)
		events = append(events, newChangeEvent(m, &c, source, v))
	}
	return events, nil
}

// lastPart returns the table of an identifier such as `"inventory"."customers"`.
func lastPart(id string) string {
	if rest, ok := strings.CutSuffix(id, `"`); ok {
		if i := strings.LastIndexByte(rest, '"'); i >= 0 {
			return rest[i+1:]
		}
	}
	return id[strings.LastIndexByte(id, '.')+1:]
}

// isTransaction recognises the message at a transaction's begin or end.
func isTransaction(v Object) bool {
	switch text(v, "status") {
	case "BEGIN", "END":
		_, id := v["id"]
		_, count := v["event_count"]
		return id && count
	}
	return false
}

func decodeTransaction(m Message, v Object) (*Event, *DecodeError) {
	return newChangeEvent(m, &Change{Operation: OperationTransaction, Position: "tx:" + text(v, "id")}, nil, v), nil
}

// isFlattened recognises a row that Debezium's ExtractNewRecordState took out
// of its envelope, leaving metadata in fields that begin with two underscores.
func isFlattened(v Object) bool {
	_, op := v["__op"]
	_, deleted := v["__deleted"]
	return op || deleted
}

func decodeFlattened(m Message, v Object, at string) (*Event, *DecodeError) {
	const mark = "__"
	meta, row := Object{}, Object{}
	for name, value := range v {
		if bare, ok := strings.CutPrefix(name, mark); ok {
			// add.fields=source.lsn arrives as __source_lsn, add.fields=lsn
			// as __lsn.
			meta[strings.TrimPrefix(bare, "source_")] = value
			continue
		}
		row[name] = value
	}
	c := &Change{Operation: OperationUpdate}
	if raw, ok := meta["op"]; ok {
		op, err := operation(raw, at+mark+"op")
		if err != nil {
			return nil, err
		}
		c.Operation = op
	}
	if text(meta, "deleted") == "true" {
		c.Operation = OperationDelete
	}
	if err := c.place(meta, at+mark); err != nil {
		return nil, err
	}
	if c.Operation == OperationDelete {
		c.Before = row
	} else {
		c.After = row
	}
	if err := c.takeKey(m); err != nil {
		return nil, err
	}
	return newChangeEvent(m, c, meta, v), nil
}

// decodeTombstone reads a message without a value.
func decodeTombstone(m Message) (*Event, *DecodeError) {
	c := &Change{Operation: OperationTombstone}
	if err := c.takeKey(m); err != nil {
		return nil, err
	}
	e := newChangeEvent(m, c, nil, nil)
	e.Data = nil // not an object that is nil
	return e, nil
}

// liftChange completes a CloudEvent that wraps one of Debezium's changes: its
// attributes iodebezium… place the row, its data holds the states.
func (e *Event) liftChange(field string) *DecodeError {
	const mark = "iodebezium"
	raw, ok := e.Attributes[mark+"op"]
	if !ok {
		return nil
	}
	op, err := operation(raw, mark+"op")
	if err != nil {
		return err
	}
	source := Object{}
	for name, value := range e.Attributes {
		if bare, ok := strings.CutPrefix(name, mark); ok {
			source[bare] = value
		}
	}
	c := &Change{Operation: op}
	if err := c.place(source, mark); err != nil {
		return err
	}
	data, _ := e.Data.(Object)
	if payload, ok := data["payload"].(Object); ok { // with its schema beside it
		data, field = payload, field+".payload"
		e.Data = payload
	}
	if data != nil {
		if err := c.states(data, field+"."); err != nil {
			return err
		}
	}
	e.Format, e.Change = FormatDebezium, c
	return nil
}
