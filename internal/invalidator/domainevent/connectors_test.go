package domainevent_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

// TestConnectors has what each of Debezium's connectors says of where a row
// lies and of its position: testdata/connectors.json, one source block each,
// which every operation and both envelopes are built around.
func TestConnectors(t *testing.T) {
	text, err := os.ReadFile("testdata/connectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Source                            json.RawMessage
		Database, Schema, Table, Position string
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range all {
		for op, want := range map[string]domainevent.Operation{
			"c": domainevent.OperationCreate, "u": domainevent.OperationUpdate, "d": domainevent.OperationDelete,
			"r": domainevent.OperationRead, "t": domainevent.OperationTruncate,
		} {
			plain := `{"op":"` + op + `","ts_ms":1700000000000,"source":` + string(c.Source) + `,"before":null,"after":null}`
			for form, body := range map[string]string{"plain": plain, "schema": `{"schema":{"type":"struct","name":"s.Envelope"},"payload":` + plain + `}`} {
				events, err := decode(body, nil)
				if err != nil || len(events) != 1 {
					t.Errorf("%s %s %s: %v", c.Source, op, form, err)
					continue
				}
				e := events[0]
				seen[e.Change.Connector] = true
				have := *e.Change
				if have.Database != c.Database || have.Schema != c.Schema || have.Table != c.Table || have.Position != c.Position || have.Operation != want || e.Time.IsZero() {
					t.Errorf("%s %s %s:\nhave %+v\nwant %+v", have.Connector, op, form, have, c)
				}
			}
		}
	}
	for _, name := range []string{"postgresql", "mysql", "mariadb", "mongodb", "oracle", "sqlserver", "db2", "informix", "cassandra", "vitess", "spanner", "cockroachdb", "yashandb"} {
		if !seen[name] {
			t.Errorf("no sample of %s", name)
		}
	}
}

// known are the samples of the shared collections that are refused, with the
// field at fault: keys of messages, which are no events, and excerpts from
// which documentation left out what a reader knows.
var known = map[string]string{
	"cloudevents.schema.json":        "specversion",
	"json-format-24-event.json":      "data_base64",     // "... base64 encoded string ..."
	"json-format-30-batch.json":      "[0].data_base64", // the same
	"sdk-go-receiver-gin-event.json": "specversion",     // the payload alone

	"doc-cockroachdb-005-key-or-other.json":                                            "payload.op",
	"doc-postgresql-037-change-c.json":                                                 "source.table", // "source": {...}
	"doc-postgresql-038-key-or-other.json":                                             "payload.op",
	"doc-proc-deleting-record-database-viewing-delete-event-094-key-or-other.json":     "payload.op",
	"doc-proc-running-an-ad-hoc-snapshot-with-additional-conditions-084-change-r.json": "source.table",
	"doc-proc-triggering-an-incremental-snapshot-nosql-085-change-r.json":              "source.table",
	"doc-shared-mariadb-mysql-086-schemachange.json":                                   "payload.op",
	"doc-shared-mariadb-mysql-088-change-c.json":                                       "source.table",
	"doc-shared-mariadb-mysql-089-key-or-other.json":                                   "payload.op",
}

// TestCollections reads every sample of the collections of CloudEvents and
// Debezium events, where there are any: in the directory that
// TERCET_EVENT_SAMPLES names, else beside the repository.
func TestCollections(t *testing.T) {
	dir := os.Getenv("TERCET_EVENT_SAMPLES")
	if dir == "" {
		dir = "../../../../shared/data"
	}
	var files []string
	for _, pattern := range []string{"cloudevents-samples/spec/*.json", "debezium-events/*.json"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	understood, refused := 0, 0
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		field, bad := known[name]
		events, err := decode(strings.TrimSpace(string(body)), nil)
		switch {
		case bad:
			refused++
			if d := faults(err); len(d) != 1 || d[0].Field != field {
				t.Errorf("%s: %v, want a refusal that names %s", name, err, field)
			}
		case err != nil || len(events) == 0:
			t.Errorf("%s: %d events, %v", name, len(events), err)
		default:
			understood++
		}
	}
	t.Logf("%d samples in %s: %d understood, %d refused", len(files), dir, understood, refused)
}

func faults(err error) (all []*domainevent.DecodeError) {
	switch err := err.(type) {
	case *domainevent.DecodeError:
		return []*domainevent.DecodeError{err}
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			all = append(all, faults(e)...)
		}
	}
	return all
}
