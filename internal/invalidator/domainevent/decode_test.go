package domainevent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

type headers = map[string]string

const envelope = `{"id":"1","source":"/s","type":"t","specversion":"1.0"`

func decode(body string, h headers) ([]*domainevent.Event, error) {
	return domainevent.Decode(domainevent.Message{ID: "EVENTS/1", Channel: "events.x", Headers: h, Body: []byte(body)}, domainevent.Options{})
}

func TestCloudEvents(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		h     headers
		check func(t *testing.T, e *domainevent.Event)
	}{
		"structured": {envelope + `,"subject":"s","time":"2020-06-18T19:24:53+02:00","ext":"a","n":5,"b":true,"unset":null,"data":{"id":12345678901234567890}}`, nil,
			func(t *testing.T, e *domainevent.Event) {
				want := map[string]string{"ext": "a", "n": "5", "b": "true"}
				if !reflect.DeepEqual(e.Attributes, want) || e.Subject != "s" || e.Time.Unix() != 1592501093 {
					t.Errorf("%+v", e)
				}
				if id := e.Data.(domainevent.Object)["id"]; id != json.Number("12345678901234567890") {
					t.Errorf("id = %v, lost digits", id)
				}
			}},
		"empty subject is none": {envelope + `,"subject":""}`, nil, func(t *testing.T, e *domainevent.Event) {
			if e.Subject != "" || e.Data != nil {
				t.Errorf("%+v", e)
			}
		}},
		"text": {envelope + `,"datacontenttype":"text/xml","data":"<a/>"}`, nil, func(t *testing.T, e *domainevent.Event) {
			if e.Data != "<a/>" {
				t.Errorf("data = %v", e.Data)
			}
		}},
		"base64 JSON": {envelope + `,"data_base64":"eyAieHl6IjogMTIzIH0="}`, nil, func(t *testing.T, e *domainevent.Event) {
			if e.Data.(domainevent.Object)["xyz"] != json.Number("123") {
				t.Errorf("data = %v", e.Data)
			}
		}},
		"base64 bytes": {envelope + `,"datacontenttype":"application/octet-stream","data_base64":"8J+koQ=="}`, nil, func(t *testing.T, e *domainevent.Event) {
			if e.Data != nil {
				t.Errorf("data = %v", e.Data)
			}
		}},
		"binary": {`{"id":7}`, headers{"Ce-Specversion": "1.0", "CE-Id": "a%20b", "ce-source": "/s", "ce-type": "t", "ce-TraceParent": "00-1", "Content-Type": "application/json; charset=utf-8"},
			func(t *testing.T, e *domainevent.Event) {
				if e.ID != "a b" || e.Trace() != "00-1" || e.DataType == "" || e.Data.(domainevent.Object)["id"] != json.Number("7") {
					t.Errorf("%+v", e)
				}
			}},
		"trace in the message": {envelope + `}`, headers{"traceparent": "00-2"}, func(t *testing.T, e *domainevent.Event) {
			if e.Trace() != "00-2" {
				t.Errorf("trace = %q", e.Trace())
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := decode(c.body, c.h)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d events, %v", len(all), err)
			}
			if all[0].Format != domainevent.FormatCloudEvents || all[0].Change != nil {
				t.Errorf("format %s, change %v", all[0].Format, all[0].Change)
			}
			c.check(t, all[0])
		})
	}
}

// TestChangeEvents runs over testdata, which has a sample of each shape that
// Debezium writes, each with the change that it should become.
func TestChangeEvents(t *testing.T) {
	key := headers{"debezium-key": `{"schema":{},"payload":{"id":7}}`}
	id := func(n string) domainevent.Object { return domainevent.Object{"id": json.Number(n)} }
	for file, c := range map[string]struct {
		h    headers
		want domainevent.Change
	}{
		"plain-create.json": {nil, domainevent.Change{Connector: "postgresql", Database: "shop", Schema: "public", Table: "orders",
			Operation: domainevent.OperationCreate, After: id("1"), Position: "lsn:26997904"}},
		"schema-update.json": {nil, domainevent.Change{Connector: "mysql", Database: "shop", Table: "orders",
			Operation: domainevent.OperationUpdate, Before: id("1"), After: id("2"), Position: "mysql-bin.000003:484"}},
		"delete-by-key.json": {key, domainevent.Change{Connector: "cockroachdb", Database: "shop", Table: "orders",
			Operation: domainevent.OperationDelete, Key: id("7")}},
		"truncate.json": {nil, domainevent.Change{Connector: "mysql", Database: "shop", Table: "orders",
			Operation: domainevent.OperationTruncate, Position: "gtid:a-b:1-5"}},
		"message.json": {nil, domainevent.Change{Connector: "postgresql", Database: "shop",
			Operation: domainevent.OperationMessage, Position: "lsn:1"}},
		"snapshot.json": {nil, domainevent.Change{Connector: "mongodb", Database: "shop", Table: "orders",
			Operation: domainevent.OperationRead, After: domainevent.Object{"_id": json.Number("5")}, Position: "ord:1700000000000/3", Snapshot: true}},
		"cassandra.json": {nil, domainevent.Change{Connector: "cassandra", Database: "shop", Table: "orders",
			Operation: domainevent.OperationCreate, After: id("9")}},
		"flattened-delete.json": {nil, domainevent.Change{Connector: "postgresql", Table: "orders",
			Operation: domainevent.OperationDelete, Before: id("3"), Position: "lsn:12"}},
		"cloudevent.json": {nil, domainevent.Change{Connector: "postgresql", Database: "shop", Schema: "s1", Table: "orders",
			Operation: domainevent.OperationRead, After: id("1"), Position: "lsn:29274832", Snapshot: true}},
		"transaction.json": {nil, domainevent.Change{Operation: domainevent.OperationTransaction, Position: "tx:571:53195829"}},
		"tombstone.json":   {key, domainevent.Change{Operation: domainevent.OperationTombstone, Key: id("7")}},
		"schema-change.json": {nil, domainevent.Change{Connector: "mysql", Database: "shop", Table: "orders",
			Operation: domainevent.OperationSchema, Position: "mysql-bin.000003:570"}},
	} {
		t.Run(file, func(t *testing.T) {
			body, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			all, err := decode(strings.TrimSpace(string(body)), c.h)
			if err != nil || len(all) != 1 {
				t.Fatalf("%d events, %v", len(all), err)
			}
			if e := all[0]; e.Change == nil || !reflect.DeepEqual(*e.Change, c.want) {
				t.Errorf("have %+v\nwant %+v", e.Change, c.want)
			}
		})
	}
}

func TestSchemaChangeOfManyTables(t *testing.T) {
	all, err := decode(`{"databaseName":"shop","ddl":"","tableChanges":[{"id":"\"shop\".\"a.b\""},{"id":"shop.c"}]}`, nil)
	if err != nil || len(all) != 2 || all[0].Change.Table != "a.b" || all[1].Change.Table != "c" {
		t.Errorf("%v, %v", all, err)
	}
}

func TestPlainJSON(t *testing.T) {
	o := domainevent.Options{TypeField: "event_type", IDField: "event_id"}
	m := domainevent.Message{ID: "EVENTS/4", Channel: "events.x", Body: []byte(`{"event_type":"moved","event_id":12,"x":1}`)}
	all, err := domainevent.Decode(m, o)
	if err != nil || all[0].Type != "moved" || all[0].ID != "12" || all[0].Source != "events.x" {
		t.Errorf("%+v, %v", all, err)
	}
	m.Body = []byte(`{"x":1}`)
	_, err = domainevent.Decode(m, o)
	wantFault(t, err, domainevent.ErrMissing, "event_type")
}

func wantFault(t *testing.T, err error, kind error, field string) {
	t.Helper()
	var d *domainevent.DecodeError
	if !errors.As(err, &d) || !errors.Is(err, kind) || d.Field != field {
		t.Errorf("have %v, want %v at %q", err, kind, field)
	}
}

func TestRefusals(t *testing.T) {
	const source = `"source":{"connector":"mysql","table":"orders"}`
	for name, c := range map[string]struct {
		body  string
		h     headers
		kind  error
		field string
	}{
		"no JSON":           {`{"a":`, nil, domainevent.ErrMalformed, "body"},
		"two values":        {`{} {}`, nil, domainevent.ErrMalformed, "body"},
		"not UTF-8":         {"{\"a\":\"\xff\"}", nil, domainevent.ErrMalformed, "body"},
		"a number":          {`5`, nil, domainevent.ErrMalformed, "body"},
		"too deep":          {strings.Repeat("[", 1000) + strings.Repeat("]", 1000), nil, domainevent.ErrTooLarge, "body"},
		"unknown":           {`{"a":1}`, nil, domainevent.ErrMissing, "specversion"},
		"no id":             {`{"specversion":"1.0","source":"/s","type":"t"}`, nil, domainevent.ErrMissing, "id"},
		"empty type":        {`{"specversion":"1.0","source":"/s","type":"","id":"1"}`, nil, domainevent.ErrMissing, "type"},
		"old version":       {`{"specversion":"0.3","source":"/s","type":"t","id":"1"}`, nil, domainevent.ErrUnsupported, "specversion"},
		"object attribute":  {envelope + `,"ext":{}}`, nil, domainevent.ErrMalformed, "ext"},
		"time":              {envelope + `,"time":"yesterday"}`, nil, domainevent.ErrMalformed, "time"},
		"base64":            {envelope + `,"data_base64":"..."}`, nil, domainevent.ErrMalformed, "data_base64"},
		"both data":         {envelope + `,"data_base64":"","data":1}`, nil, domainevent.ErrMalformed, "data_base64"},
		"declared":          {`{"id":"1"}`, headers{"content-type": "application/cloudevents+json"}, domainevent.ErrMissing, "specversion"},
		"binary":            {`{`, headers{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "text/json"}, domainevent.ErrMalformed, "body"},
		"binary, no type":   {``, headers{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s"}, domainevent.ErrMissing, "ce-type"},
		"percent":           {``, headers{"ce-specversion": "1.0", "ce-id": "%zz"}, domainevent.ErrMalformed, "ce-id"},
		"batch of scalars":  {`[1]`, nil, domainevent.ErrMalformed, "[0]"},
		"batch member":      {`[` + envelope + `},{"specversion":"1.0"}]`, nil, domainevent.ErrMissing, "[1].id"},
		"operation":         {`{"op":"x",` + source + `}`, nil, domainevent.ErrUnsupported, "op"},
		"no source":         {`{"op":"c","after":{}}`, nil, domainevent.ErrMissing, "source"},
		"no table":          {`{"schema":{},"payload":{"op":"c","source":{},"after":{}}}`, nil, domainevent.ErrMissing, "payload.source.table"},
		"row":               {`{"op":"c",` + source + `,"after":5}`, nil, domainevent.ErrMalformed, "after"},
		"document":          {`{"op":"c",` + source + `,"after":"{"}`, nil, domainevent.ErrMalformed, "after"},
		"message key":       {`{"schema":{"name":"s.orders.Key"},"payload":{"id":1}}`, nil, domainevent.ErrMissing, "payload.op"},
		"heartbeat":         {`{"schema":{"name":"io.debezium.connector.common.Heartbeat"},"payload":{"ts_ms":1}}`, nil, domainevent.ErrUnsupported, "schema.name"},
		"payload":           {`{"schema":{},"payload":5}`, nil, domainevent.ErrMalformed, "payload"},
		"key":               {``, headers{domainevent.KeyHeader: "5"}, domainevent.ErrMalformed, domainevent.KeyHeader},
		"wrapped operation": {envelope + `,"iodebeziumop":"q"}`, nil, domainevent.ErrUnsupported, "iodebeziumop"},
		"wrapped row":       {envelope + `,"iodebeziumop":"c","iodebeziumtable":"t","data":{"after":3}}`, nil, domainevent.ErrMalformed, "data.after"},
		"table changes":     {`{"ddl":"","tableChanges":[{}]}`, nil, domainevent.ErrMissing, "tableChanges.id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(c.body, c.h)
			wantFault(t, err, c.kind, c.field)
		})
	}
}

func TestTooLarge(t *testing.T) {
	_, err := decode(strings.Repeat(" ", domainevent.MaxBody+1), nil)
	wantFault(t, err, domainevent.ErrTooLarge, "body")
}

func TestBatchKeepsWhatIsGood(t *testing.T) {
	all, err := decode(`[`+envelope+`},{"specversion":"1.0"},`+envelope+`,"data":1}]`, nil)
	if len(all) != 2 {
		t.Errorf("%d events, want the two good ones", len(all))
	}
	wantFault(t, err, domainevent.ErrMissing, "[1].id")
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "", "")
	}
	f.Add([]byte(envelope+`,"data_base64":"e30="}`), "", "")
	f.Add([]byte(`{"id":1}`), "ce-specversion", "1.0")
	f.Fuzz(func(t *testing.T, body []byte, name, value string) {
		m := domainevent.Message{ID: "m", Channel: "c", Body: body, Headers: headers{
			name: value, "ce-id": "1", "ce-source": "/s", "ce-type": "t", domainevent.KeyHeader: value,
		}}
		all, err := domainevent.Decode(m, domainevent.Options{TypeField: "kind"})
		if err == nil && len(all) == 0 && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) { // an empty batch is one
			t.Error("neither events nor an error")
		}
		if err != nil {
			var d *domainevent.DecodeError
			if !errors.As(err, &d) || d.Field == "" {
				t.Errorf("%v names no field", err)
			}
		}
		for _, e := range all {
			if e == nil || e.Type == "" || e.ID == "" {
				t.Fatalf("event %+v has no type or id", e)
			}
			if c := e.Change; c != nil && c.Operation == "" {
				t.Errorf("change without operation: %+v", c)
			}
		}
	})
}
