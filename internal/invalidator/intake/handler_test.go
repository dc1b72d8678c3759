package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/intake"
)

// kept is a store that keeps letters in memory.
type kept struct {
	letters []intake.Letter
	ids     map[string]bool
	err     error
}

func (k *kept) Store(_ context.Context, letters []intake.Letter) (done intake.Stored, err error) {
	if k.err != nil {
		return done, k.err
	}
	for _, l := range letters {
		done.Stored++
		if k.ids[l.ID] {
			done.Repeated++
		} else {
			k.letters = append(k.letters, l)
		}
		if k.ids == nil {
			k.ids = map[string]bool{}
		}
		k.ids[l.ID] = l.ID != ""
	}
	return done, nil
}

// read decodes a letter as the invalidator does.
func read(t *testing.T, l intake.Letter) *domainevent.Event {
	t.Helper()
	all, err := domainevent.Decode(domainevent.Message{ID: "EVENTS/1", Channel: l.Subject, Headers: l.Header, Body: l.Body}, domainevent.Options{TypeField: "kind"})
	if err != nil || len(all) != 1 {
		t.Fatalf("the invalidator reads %+v as %d events: %v", l, len(all), err)
	}
	return all[0]
}

func post(h http.Handler, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/v1/shop/events", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// minimal is the least that an event in binary mode has.
func minimal(more ...string) []string {
	return append([]string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "t"}, more...)
}

// TestConformance sends what the CloudEvents conformance tool sends over HTTP:
// the scenarios of its HTTP protocol binding and its sample events, in binary,
// structured and batched mode.
func TestConformance(t *testing.T) {
	const (
		structured = "application/cloudevents+json"
		someevent  = `{"specversion":"1.0","type":"com.example.someevent","time":"2018-04-05T03:56:24Z","id":"1234-1234-1234","source":"/mycontext/subcontext","datacontenttype":"application/json","data":{"message":"Hello World!"}}`
		extended   = `{"specversion":"1.0","type":"com.example.someevent","time":"2018-04-05T03:56:24Z","id":"4321-4321-4321","source":"/mycontext/subcontext","comexampleextension1":"value","comexampleextension2":"{\"othervalue\": 5}","data":{"world":"hello"}}`
	)
	binary := func(id, source, kind, contentType string, more ...string) []string {
		return append([]string{"ce-specversion", "1.0", "ce-id", id, "ce-source", source, "ce-type", kind, "Content-Type", contentType}, more...)
	}
	const where, some = "/mycontext/subcontext", "com.example.someevent"
	const suite = "//github.com/cloudevents/cloudeventsconformance/yaml/v1.yaml"
	extensions := map[string]string{"comexampleextension1": "value", "comexampleextension2": `{"othervalue": 5}`}
	message := domainevent.Object{"message": "Hello World!"}
	type sample struct {
		headers    []string
		body       string
		want       domainevent.Event
		attributes map[string]string
		// raw are bytes that must arrive though they are no JSON.
		raw string
	}
	samples := map[string]sample{
		"extensions, structured": {[]string{"Content-Type", structured + "; charset=UTF-8", "User-Agent", "foo"}, extended,
			domainevent.Event{ID: "4321-4321-4321", Source: where, Type: some, Data: domainevent.Object{"world": "hello"}}, extensions, ""},
		"extensions, binary": {append(binary("4321-4321-4321", where, some, "application/json", "ce-time", "2018-04-05T03:56:24Z", "User-Agent", "foo"),
			"ce-comexampleextension1", "value", "ce-comexampleextension2", `{"othervalue": 5}`), "{\"world\":\"hello\"}\n",
			domainevent.Event{ID: "4321-4321-4321", Source: where, Type: some, DataType: "application/json", Data: domainevent.Object{"world": "hello"}}, extensions, ""},
		"minimum 6, XML": {binary("conformance-0006", suite, "io.cloudevents.minimum", "application/xml; charset=utf-8"), "<msg>Hello, 🌎!</msg>\n",
			domainevent.Event{ID: "conformance-0006", Source: suite, Type: "io.cloudevents.minimum", DataType: "application/xml; charset=utf-8"}, nil, "<msg>Hello, 🌎!</msg>\n"},
	}
	for _, media := range []string{"application/json", "application/json; charset=utf-8"} {
		samples["binary "+media] = sample{binary("1234-1234-1234", where, some, media, "ce-time", "2018-04-05T03:56:24Z"), "{\n \"message\": \"Hello World!\"\n}",
			domainevent.Event{ID: "1234-1234-1234", Source: where, Type: some, DataType: media, Data: message}, nil, ""}
	}
	for _, media := range []string{structured, structured + "; charset=utf-8"} {
		samples["structured "+media] = sample{[]string{"Content-Type", media}, someevent,
			domainevent.Event{ID: "1234-1234-1234", Source: where, Type: some, DataType: "application/json", Data: message}, nil, ""}
	}
	for i, c := range []struct {
		media, body string
		data        any
	}{
		{"text/plain; charset=us-ascii", "Hello, World!\n", nil},
		{"text/plain; charset=utf-8", "Hello, 🌎!\n", nil},
		{"application/json; charset=utf-8", "\"Hello, 🌎!\"\n", "Hello, 🌎!"},
		{"application/json; charset=utf-8", `{"msg":"Hello, 🌎!"}`, domainevent.Object{"msg": "Hello, 🌎!"}},
		{"application/json; charset=utf-8", `["Hello","🌎!"]`, []any{"Hello", "🌎!"}},
	} {
		id := fmt.Sprintf("conformance-%04d", i+1)
		samples[id] = sample{binary(id, suite, "io.cloudevents.minimum", c.media), c.body,
			domainevent.Event{ID: id, Source: suite, Type: "io.cloudevents.minimum", DataType: c.media, Data: c.data}, nil, c.body}
	}
	for name, c := range samples {
		t.Run(name, func(t *testing.T) {
			k := &kept{}
			if w := post(intake.NewHandler(k, intake.Config{}), c.body, c.headers...); w.Code != http.StatusAccepted || len(k.letters) != 1 {
				t.Fatalf("%d %s, %d letters", w.Code, w.Body, len(k.letters))
			}
			l := k.letters[0]
			if l.Subject != "events."+c.want.Type || l.ID != c.want.Source+"|"+c.want.ID {
				t.Errorf("stored at %q as %q", l.Subject, l.ID)
			}
			if c.raw != "" && string(l.Body) != c.raw {
				t.Errorf("body %q, want %q", l.Body, c.raw)
			}
			e := read(t, l)
			if e.ID != c.want.ID || e.Source != c.want.Source || e.Type != c.want.Type || e.DataType != c.want.DataType || !reflect.DeepEqual(e.Data, c.want.Data) {
				t.Errorf("arrives as %+v", e)
			}
			if len(c.attributes) > 0 && !reflect.DeepEqual(e.Attributes, c.attributes) {
				t.Errorf("attributes %v, want %v", e.Attributes, c.attributes)
			}
		})
	}
	t.Run("batched", func(t *testing.T) {
		k := &kept{}
		h := intake.NewHandler(k, intake.Config{})
		w := post(h, "["+someevent+",\n "+extended+"]", "Content-Type", "application/cloudevents-batch+json; charset=utf-8")
		if w.Code != http.StatusAccepted || strings.TrimSpace(w.Body.String()) != `{"stored":2,"repeated":0}` {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if string(k.letters[1].Body) != extended || !reflect.DeepEqual(read(t, k.letters[1]).Attributes, extensions) {
			t.Errorf("second: %+v", k.letters[1])
		}
		w = post(h, "["+someevent+"]", "Content-Type", "application/cloudevents-batch+json")
		if strings.TrimSpace(w.Body.String()) != `{"stored":1,"repeated":1}` || h.Stats() != (intake.Stats{Stored: 3, Repeated: 1}) {
			t.Errorf("again: %s, %+v", w.Body, h.Stats())
		}
	})
}

// TestHeadersArePercentEncoded has the binding's own example, and the quotes
// that HTTP allows.
func TestHeadersArePercentEncoded(t *testing.T) {
	for raw, want := range map[string]string{
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		`"quoted \"text\" %25"`:           `quoted "text" %`,
		"plain":                           "plain",
		"%2525":                           "%25",
	} {
		k := &kept{}
		w := post(intake.NewHandler(k, intake.Config{}), "", minimal("ce-subject", raw, "ce-ext", raw)...)
		if w.Code != http.StatusAccepted {
			t.Fatalf("%s: %d %s", raw, w.Code, w.Body)
		}
		if e := read(t, k.letters[0]); e.Subject != want || e.Attributes["ext"] != want {
			t.Errorf("%s arrives as %q and %q, want %q", raw, e.Subject, e.Attributes["ext"], want)
		}
		for name, value := range k.letters[0].Header {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("header %s: %q is not ASCII", name, value)
			}
		}
	}
}

func TestTraceContextOfTheRequest(t *testing.T) {
	const given, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
	k := &kept{}
	h := intake.NewHandler(k, intake.Config{})
	post(h, "", minimal("traceparent", given, "tracestate", "a=b")...)
	post(h, "", minimal("ce-id", "2", "traceparent", given)...)
	post(h, `{"specversion":"1.0","id":"3","source":"/s","type":"t","traceparent":"`+other+`"}`, "Content-Type", "application/cloudevents+json", "traceparent", given)
	if e := read(t, k.letters[0]); e.Trace() != given || e.TraceState() != "a=b" {
		t.Errorf("of the request: %q, %q", e.Trace(), e.TraceState())
	}
	if e := read(t, k.letters[1]); e.Trace() != other {
		t.Errorf("of the event: %q", e.Trace())
	}
}

func TestOtherFormats(t *testing.T) {
	k := &kept{}
	h := intake.NewHandler(k, intake.Config{Decode: domainevent.Options{TypeField: "kind"}})
	w := post(h, `{"op":"c","source":{"connector":"mysql","name":"m","table":"orders"},"after":{"id":1}}`, "Content-Type", "application/json", domainevent.KeyHeader, `{"id":1}`)
	if w.Code != http.StatusAccepted || k.letters[0].ID != "" || k.letters[0].Subject != "events.io.debezium.connector.mysql.DataChangeEvent" {
		t.Errorf("Debezium: %d %s, %+v", w.Code, w.Body, k.letters)
	}
	if e := read(t, k.letters[0]); e.Change == nil || e.Change.Key == nil {
		t.Errorf("its key is lost: %+v", e)
	}
	if w := post(h, `{"kind":"a b.*"}`); w.Code != http.StatusAccepted || k.letters[1].Subject != "events.a_b._" {
		t.Errorf("plain: %d %s, %+v", w.Code, w.Body, k.letters)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	const one = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	for name, c := range map[string]struct {
		body    string
		headers []string
		code    int
		field   string
	}{
		"nothing":             {"", nil, 400, "body"},
		"no JSON":             {"{", []string{"Content-Type", "application/json"}, 400, "body"},
		"empty batch":         {"[]", []string{"Content-Type", "application/cloudevents-batch+json"}, 400, "body"},
		"no type":             {`{"specversion":"1.0","id":"1","source":"/s"}`, []string{"Content-Type", "application/cloudevents+json"}, 400, "type"},
		"version":             {"", []string{"ce-specversion", "0.3", "ce-id", "1", "ce-source", "/s", "ce-type", "t"}, 400, "ce-specversion"},
		"no source":           {"", []string{"ce-specversion", "1.0", "ce-id", "1", "ce-type", "t"}, 400, "ce-source"},
		"percent":             {"", minimal("ce-subject", "%zz"), 400, "ce-subject"},
		"no UTF-8":            {"", minimal("ce-subject", "%ff"), 400, "ce-subject"},
		"twice":               {"", minimal("ce-subject", "a", "ce-subject", "b"), 400, "ce-subject"},
		"data":                {"{", minimal("Content-Type", "application/json"), 400, "body"},
		"second of a batch":   {"[" + one + `,{"specversion":"1.0","id":"2","type":"t"}]`, []string{"Content-Type", "application/cloudevents-batch+json"}, 400, "[1].source"},
		"content type":        {"x", []string{"Content-Type", "a/b/c"}, 400, "content-type"},
		"Avro":                {"x", []string{"Content-Type", "application/cloudevents+avro"}, 415, ""},
		"charset":             {one, []string{"Content-Type", "application/cloudevents+json; charset=latin1"}, 415, ""},
		"compressed":          {"x", minimal("Content-Encoding", "gzip"), 415, ""},
		"text":                {"x", []string{"Content-Type", "text/plain"}, 415, ""},
		"too large":           {strings.Repeat(" ", 300) + one, []string{"Content-Type", "application/cloudevents+json"}, 413, ""},
		"too many":            {"[" + one + "," + one + "," + one + "]", []string{"Content-Type", "application/cloudevents-batch+json"}, 413, ""},
		"schema of a message": {`{"schema":{"name":"s.Key"},"payload":{}}`, nil, 400, "payload.op"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kept{}
			h := intake.NewHandler(k, intake.Config{MaxBody: 300, MaxEvents: 2})
			w := post(h, c.body, c.headers...)
			var p struct {
				Type   string
				Faults []struct{ Field string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.code || len(k.letters) > 0 || w.Header().Get("Content-Type") != "application/problem+json" || h.Stats().Refused != 1 {
				t.Errorf("%d %s, %d letters", w.Code, w.Body, len(k.letters))
			}
			if c.field != "" && (len(p.Faults) != 1 || p.Faults[0].Field != c.field) {
				t.Errorf("%s does not name %s", w.Body, c.field)
			}
		})
	}
}

func TestStoreThatFails(t *testing.T) {
	h := intake.NewHandler(&kept{err: errors.New("no leader")}, intake.Config{})
	w := post(h, "", minimal()...)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "no leader") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h = intake.NewHandler(&kept{err: fmt.Errorf("event 3: %w", intake.ErrTooLarge)}, intake.Config{})
	if w := post(h, "", minimal()...); w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "event 3") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSubject(t *testing.T) {
	for kind, want := range map[string]string{
		"shop.price.changed":     "events.shop.price.changed",
		"a b":                    "events.a_b",
		"a..b.":                  "events.a._.b._",
		"*.>":                    "events._._",
		"\x00\n":                 "events.__",
		strings.Repeat("é", 200): "events." + strings.Repeat("é", 100),
	} {
		if got := intake.Subject(kind); got != want {
			t.Errorf("Subject(%q) = %q, want %q", kind, got, want)
		}
	}
}
