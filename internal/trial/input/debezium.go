package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Bounds on change events read from files.
const (
	maxDocument = 8 << 20  // bytes of one .json file in a directory
	maxEvents   = 64 << 20 // bytes of a file of many events
	maxChanges  = 20_000   // events taken
)

// keyColumns are the names of primary keys, the likeliest first: an event in a
// file comes without the message key that would tell.
var keyColumns = []string{"id", "pk", "_id"}

// rowChange is what the trial understands of a change event: which table, and
// which row by which column, or all of its rows.
type rowChange struct {
	table, column, id string
	operation         string
	truncate          bool
	body              []byte
	// wrapped events are CloudEvents, which carry an id of their own.
	wrapped map[string]json.RawMessage
}

// debezium gathers change events and what could not be played.
type debezium struct {
	changes []rowChange
	left    map[string]int // reasons, counted
}

func openDebeziumDirectory(dir string, o Options) (*Workload, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", dir, err)
	}
	if len(names) == 0 {
		return nil, &FormatError{Path: dir, Known: known}
	}
	slices.Sort(names)
	d := &debezium{left: map[string]int{}}
	for _, name := range names {
		body, err := readBounded(name)
		if err != nil {
			return nil, err
		}
		if err := d.takeAll(name, body); err != nil {
			return nil, err
		}
	}
	return d.workload(dir, o)
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if len(body) > maxDocument {
		return nil, &PlaceError{Path: name, Line: 1, Reason: fmt.Sprintf("more than %d bytes", maxDocument)}
	}
	return body, nil
}

func readDebeziumFile(s *source, o Options) (*Workload, error) {
	body, err := io.ReadAll(io.LimitReader(s.r, maxEvents+1))
	if err != nil {
		return nil, s.broken(err)
	}
	if len(body) > maxEvents {
		return nil, &PlaceError{Path: s.path, Line: 1, Reason: fmt.Sprintf("more than %d bytes of events", maxEvents)}
	}
	d := &debezium{left: map[string]int{}}
	if err := d.takeAll(s.path, body); err != nil {
		return nil, err
	}
	return d.workload(s.path, o)
}

// takeAll reads JSON objects that follow each other, or stand in one array.
func (d *debezium) takeAll(path string, body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	fail := func(err error) error {
		at := int(dec.InputOffset())
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = int(syntax.Offset)
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			at = len(body)
		}
		at = min(at, len(body))
		return &PlaceError{Path: path, Line: 1 + bytes.Count(body[:at], []byte("\n")), Reason: err.Error()}
	}
	array := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	if array {
		if _, err := dec.Token(); err != nil {
			return fail(err)
		}
	}
	for !array || dec.More() {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) && !array {
			return nil
		}
		if err != nil {
			return fail(err)
		}
		if len(d.changes) == maxChanges {
			d.left[fmt.Sprintf("beyond the first %d change events", maxChanges)]++
			continue
		}
		d.take(raw)
	}
	if _, err := dec.Token(); err != nil {
		return fail(err)
	}
	return nil
}

// envelope is what of a change event matters here.
type envelope struct {
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	Source struct {
		Table      string `json:"table"`
		Collection string `json:"collection"`
	} `json:"source"`
	Op string `json:"op"`
}

// take adds one event, or counts why it can't be played.
func (d *debezium) take(raw json.RawMessage) {
	c, why := parseChange(raw)
	if why != "" {
		d.left[why]++
		return
	}
	d.changes = append(d.changes, c)
}

func parseChange(raw json.RawMessage) (rowChange, string) {
	var outer map[string]json.RawMessage
	if json.Unmarshal(raw, &outer) != nil {
		return rowChange{}, "no JSON object"
	}
	c := rowChange{body: raw}
	var e envelope
	inner := raw
	_, cloud := outer["specversion"]
	switch {
	case cloud:
		c.wrapped = outer
		inner = outer["data"]
	case outer["payload"] != nil && outer["op"] == nil:
		inner = outer["payload"]
	}
	if json.Unmarshal(inner, &e) != nil {
		return c, "not in the form of a change event"
	}
	c.table, c.operation = e.Source.Table, e.Op
	if c.table == "" {
		c.table = e.Source.Collection
	}
	if cloud {
		c.table, c.operation = textOf(outer["iodebeziumtable"]), textOf(outer["iodebeziumop"])
	}
	switch {
	case c.operation == "":
		return c, "no row's change (a key, a schema change or another message)"
	case c.operation == "m":
		return c, "a message in the database's log, of no row"
	case c.table == "":
		return c, "a change that does not name its table"
	case strings.ContainsAny(c.table, ":/"):
		return c, "a table whose name has a separator in it"
	case c.operation == "t":
		c.truncate = true
		return c, ""
	case !slices.Contains([]string{"c", "u", "d", "r"}, c.operation):
		return c, "an unknown operation"
	}
	row := e.After
	if isNull(row) {
		row = e.Before
	}
	if c.column, c.id = keyOf(row); c.id == "" {
		return c, "a row without a column named id, pk or _id"
	}
	return c, ""
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// keyOf returns the row's key column and its text. MongoDB's rows are JSON
// within a string.
func keyOf(raw json.RawMessage) (column, id string) {
	if s := textOf(raw); strings.HasPrefix(s, "{") {
		raw = json.RawMessage(s)
	}
	var row map[string]json.RawMessage
	if json.Unmarshal(raw, &row) != nil {
		return "", ""
	}
	for _, c := range keyColumns {
		v := row[c]
		if text := textOf(v); text != "" {
			return c, text
		}
		if len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') {
			return c, string(v) // a number, as it was written
		}
	}
	return "", ""
}

func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// leftOut returns the reasons why events are not played.
func (d *debezium) leftOut() []string {
	var out []string
	for why, n := range d.left {
		out = append(out, fmt.Sprintf("%d × %s", n, why))
	}
	sort.Strings(out)
	return out
}
