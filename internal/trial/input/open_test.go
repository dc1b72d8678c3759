package input

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// samples are small inputs of every format, written for these tests.
var samples = map[string]string{
	"access.tsv": "host\tlogname\ttime\tmethod\turl\tresponse\tbytes\treferer\tuseragent\n" +
		"a.example\t-\t807256800\tGET\t/docs/index.html\t200\t1713\t\t\n" +
		"b.example\t-\t807256801\tGET\t/docs/logo.gif\t200\t512\t\t\n" +
		"b.example\t-\t807256802\tHEAD\t/docs/logo.gif\t200\t0\t\t\n" +
		"c.example\t-\t807256803\tGET\t/gone.html\t404\t-\t\t\n" +
		"c.example\t-\t807256804\tGET\t/docs/index.html\t304\t0\t\t\n" +
		"c.example\t-\t807256805\tGET\t/docs/index.html\t200\t1800\t\t\n",
	"access.log": `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a/b.html HTTP/1.0" 200 2326` + "\n" +
		`::1 - - [10/Oct/2000:13:55:37 -0700] "GET /a/c.html HTTP/1.1" 200 17 "http://x/" "agent \"q\""` + "\n" +
		`::1 - - [10/Oct/2000:13:55:38 -0700] "\x16\x03" 400 -` + "\n" +
		`::1 - - [10/Oct/2000:13:55:39 -0700] "GET /a/b.html HTTP/1.1" 200 2400` + "\n",
	"blocks.lis":   "10 3 0 0\n11 1 0 1\n",
	"blocks.trace": "5\n6\n*\n5\n",
	"io.csv":       "version,time,op,size,lbn\n1,100,28,512,7\n1,101,2a,512,7\n1,101,2a,512,8\n1,103,28,512,8\n1,104,35,0,0\n",
	"kv.csv": "op_time,key,key_size,op,op_count,size,cache_hits,ttl,usecase,sub_usecase\n" +
		"60,k1,4,GET,3,87,1,0,77,1\n61,k1,4,SET,1,90,0,60,77,1\n62,k1,4,GET_LEASE,1,90,1,0,77,1\n",
	"clicks.tsv": "SessionId\tItemId\tTime\n3\t214\t1396437466.94\n3\t215\t1396438212.318\n4\t214\t1396437000.5\n",
	"events.jsonl": `{"before":null,"after":{"id":1,"name":"a"},"source":{"connector":"postgresql","name":"s","db":"d","schema":"public","table":"customers"},"op":"c","ts_ms":1}` + "\n" +
		`{"before":{"id":1},"after":{"id":1,"name":"b"},"source":{"connector":"postgresql","name":"s","db":"d","schema":"public","table":"customers"},"op":"u","ts_ms":2}` + "\n",
	"debezium/1-create.json": `{"schema":{},"payload":{"before":null,"after":{"pk":"x1","n":1},"source":{"connector":"mysql","name":"s","db":"d","table":"orders"},"op":"c","ts_ms":1}}`,
	"debezium/2-cloud.json": `{"id":"lsn:1","source":"/debezium/postgresql/s","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent",` +
		`"time":"2020-01-13T13:55:39.738Z","datacontenttype":"application/json","iodebeziumop":"u","iodebeziumconnector":"postgresql",` +
		`"iodebeziumname":"s","iodebeziumtsms":"1","iodebeziumdb":"d","iodebeziumschema":"public","iodebeziumtable":"customers",` +
		`"data":{"before":null,"after":{"id":1,"name":"Bob"}}}`,
	"debezium/3-truncate.json": `{"source":{"connector":"postgresql","name":"s","db":"d","schema":"public","table":"customers"},"op":"t","ts_ms":3}`,
	"debezium/4-message.json":  `{"source":{"connector":"postgresql","name":"s","db":"d","table":""},"op":"m","ts_ms":3,"message":{"prefix":"p","content":""}}`,
	"debezium/5-delete.json":   `{"before":{"id":1},"after":null,"source":{"connector":"postgresql","name":"s","db":"d","schema":"public","table":"customers"},"op":"d","ts_ms":4}`,
	"debezium/6-key.json":      `{"schema":{"type":"struct","name":"s.customers.Key"},"payload":{"id":"1"}}`,
}

// write writes a sample under a fresh directory and returns its path.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sample returns the path of a sample; "debezium" is a directory.
func sample(t *testing.T, name string) string {
	t.Helper()
	switch name {
	case "shop.trace.xz":
		return write(t, name, compressed(t, "xz", shopTrace()))
	case "debezium":
		dir := t.TempDir()
		for n, content := range samples {
			if rest, ok := strings.CutPrefix(n, "debezium/"); ok {
				if err := os.WriteFile(filepath.Join(dir, rest), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		return dir
	}
	return write(t, name, []byte(samples[name]))
}

func opened(t *testing.T, name string, most int) *Workload {
	t.Helper()
	w, err := Open(sample(t, name), Options{Seed: 1, MaxReads: most})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return w
}

// shopTrace holds many reads, so that changes are made up among them.
func shopTrace() []byte {
	var b []byte
	for i := range 7000 {
		b = binary.BigEndian.AppendUint32(b, uint32(3+i%4)<<27|uint32(i%50)<<10|uint32(i%3))
	}
	return b
}

func compressed(t *testing.T, how string, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "xz":
		w, err = xz.NewWriter(&out)
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// told renders the steps, without the narrated ones that every trace gets.
func told(w *Workload) string {
	var b strings.Builder
	for _, s := range w.Steps {
		switch {
		case s.Change == nil:
			fmt.Fprintf(&b, "%s ", s.Key)
		case !s.Change.Told:
			fmt.Fprintf(&b, "%s! ", strings.Join(s.Change.Writes, "+"))
		}
	}
	return strings.TrimSpace(b.String())
}

func TestOpenReadsEveryFormat(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"access.tsv", "page:/docs/index.html page:/docs/logo.gif page:/docs/index.html key/page:/docs/index.html! page:/docs/index.html"},
		{"access.log", "page:/a/b.html page:/a/c.html key/page:/a/b.html! page:/a/b.html"},
		{"blocks.lis", "block:0:10 block:0:11 block:0:12 block:0:11"},
		{"blocks.trace", "block:0:5 block:0:6 block:0:5"},
		{"io.csv", "block:0:7 key/block:0:7+key/block:0:8! block:0:8"},
		{"kv.csv", "77:k1 77:k1 77:k1 key/77:k1! 77:k1"},
		{"clicks.tsv", "item:214 item:215 item:214"},
	} {
		content := []byte(samples[tc.name])
		for _, how := range []string{"plain", "gzip", "zstd", "xz"} {
			t.Run(tc.name+" "+how, func(t *testing.T) {
				packed := content
				if how != "plain" {
					packed = compressed(t, how, content)
				}
				w, err := Open(write(t, tc.name, packed), Options{Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				if got := told(w); got != tc.want {
					t.Errorf("steps\n%s\nwant\n%s", got, tc.want)
				}
			})
		}
	}
}

func TestOpenReadsShopTraces(t *testing.T) {
	w := opened(t, "shop.trace.xz", 0)
	if w.Reads != 7000 || w.Steps[0].Key != "3:0:0" || w.Steps[5].Key != "4:5:2" {
		t.Errorf("%d reads, the first %s, the sixth %s", w.Reads, w.Steps[0].Key, w.Steps[5].Key)
	}
	kinds := map[string]int{}
	for _, s := range w.Steps {
		if s.Change != nil {
			kinds[strings.TrimPrefix(s.Change.Subject, "events.")]++
		}
	}
	if kinds["trial.key.changed"] < 100 || kinds["trial.tag.changed"] < 1 {
		t.Errorf("changes made up: %v, want those of keys and tags", kinds)
	}
	if tags := w.Schema.View("4:5:2", nil).Tags; !reflect.DeepEqual(tags, []string{"type:4"}) {
		t.Errorf("tags %q", tags)
	}
}

func TestOpenReadsDebezium(t *testing.T) {
	w := opened(t, "debezium", 0)
	if w.Changes < debeziumChanges || w.Reads < w.Changes {
		t.Errorf("%d changes and %d reads", w.Changes, w.Reads)
	}
	var first []string
	ids := map[string]bool{}
	for _, s := range w.Steps {
		if s.Change == nil {
			continue
		}
		if len(first) < 4 {
			first = append(first, s.Change.Writes[0])
		}
		if ids[s.Change.ID] || s.Change.EventID != "" && ids[s.Change.EventID] {
			t.Fatalf("the id %s %s is used twice", s.Change.ID, s.Change.EventID)
		}
		ids[s.Change.ID], ids[s.Change.EventID] = true, s.Change.EventID != ""
	}
	want := []string{"row/orders/x1", "row/customers/1", "table/customers", "row/customers/1"}
	if !reflect.DeepEqual(first, want) {
		t.Errorf("first changes write %q, want %q", first, want)
	}
	if len(w.LeftOut) != 2 {
		t.Errorf("left out: %q, want the message and the key", w.LeftOut)
	}
	lines := opened(t, "events.jsonl", 0)
	if lines.Changes < debeziumChanges {
		t.Errorf("%d changes of a file of two lines", lines.Changes)
	}
	array := "[" + strings.Join(strings.Split(strings.TrimSpace(samples["events.jsonl"]), "\n"), ",\n") + "]"
	fromArray, err := Open(write(t, "events.json", []byte(array)), Options{Seed: 1})
	if err != nil || fromArray.Changes != lines.Changes {
		t.Errorf("an array of the same events: %d changes, %v; want %d", fromArray.Changes, err, lines.Changes)
	}
}

func TestOpenIsBounded(t *testing.T) {
	w := opened(t, "shop.trace.xz", 500)
	if w.Reads != 500 || len(w.LeftOut) != 1 || !strings.Contains(w.LeftOut[0], "500") {
		t.Errorf("%d reads, left out %q; want 500 and to be told so", w.Reads, w.LeftOut)
	}
	if w := opened(t, "debezium", 300); w.Reads > 300 {
		t.Errorf("%d reads, want at most 300", w.Reads)
	}
}

func TestOpenRefuses(t *testing.T) {
	line := func(name string, n int, with string) []byte {
		lines := strings.SplitAfter(samples[name], "\n")
		lines[n-1] = with + "\n"
		return []byte(strings.Join(lines, ""))
	}
	for _, tc := range []struct {
		name    string
		file    string
		content []byte
		want    error
		text    string // in the message
	}{
		{"empty", "x.log", nil, ErrEmpty, "empty"},
		{"prose", "x.md", []byte("# Hello\nworld\n"), ErrUnknownFormat, "known are"},
		{"unknown bytes", "x.bin", []byte{0, 1, 2, 3}, ErrUnknownFormat, "known are"},
		{"no reads", "x.trace", []byte("*\n*\n"), ErrEmpty, "no reads"},
		{"log with few fields", "access.tsv", line("access.tsv", 3, "b\t-\t1"), ErrMalformed, "access.tsv:3:"},
		{"log with a bad time", "access.tsv", line("access.tsv", 2, "b\t-\tnoon\tGET\t/\t200\t1"), ErrMalformed, "access.tsv:2:"},
		{"log with a bad status", "access.tsv", line("access.tsv", 2, "b\t-\t1\tGET\t/\tOK\t1"), ErrMalformed, "response"},
		{"common log with another line", "access.log", line("access.log", 2, "what?"), ErrMalformed, "access.log:2:"},
		{"common log with a bad time", "access.log", line("access.log", 2, `h - - [yesterday] "GET / HTTP/1.0" 200 1`), ErrMalformed, "time"},
		{"blocks with a word", "blocks.lis", line("blocks.lis", 2, "a b c d"), ErrMalformed, "blocks.lis:2:"},
		{"blocks with too few", "blocks.lis", line("blocks.lis", 2, "1 2"), ErrMalformed, "want 4"},
		{"block that is none", "blocks.trace", line("blocks.trace", 2, "-1"), ErrMalformed, "blocks.trace:2:"},
		{"I/O with few fields", "io.csv", line("io.csv", 4, "1,2"), ErrMalformed, "io.csv:4:"},
		{"I/O with a bad block", "io.csv", line("io.csv", 4, "1,2,28,512,x"), ErrMalformed, "lbn"},
		{"operation that is none", "kv.csv", line("kv.csv", 2, "1,k,1,JUMP,1,1,1,0,7,7"), ErrMalformed, "kv.csv:2:"},
		{"click on no item", "clicks.tsv", line("clicks.tsv", 2, "1\tx\t2"), ErrMalformed, "clicks.tsv:2:"},
		{"shop trace cut off", "x.trace", shopTrace()[:4*9+1], ErrMalformed, "x.trace:10:"},
		{"gzip cut off", "x.gz", compressedHalf(t), ErrMalformed, "unexpected EOF"},
		{"JSON that breaks off", "x.json", []byte("{\n\"op\":\n"), ErrMalformed, "x.json:3:"},
		{"JSON with an error", "x.json", []byte("{\"op\":\n!}"), ErrMalformed, "x.json:2:"},
		{"JSON without changes", "x.json", []byte(`{"a":1}`), ErrEmpty, "no row's change"},
		{"endless line", "x.trace", append([]byte("1\n"), bytes.Repeat([]byte("1"), maxLine+2)...), ErrMalformed, "more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(write(t, tc.file, tc.content), Options{})
			if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.text) {
				t.Errorf("error %v, want %q in an error that wraps %v", err, tc.text, tc.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nothing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{}); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("an empty directory: %v", err)
	}
}

func compressedHalf(t *testing.T) []byte {
	b := compressed(t, "gzip", []byte(samples["access.tsv"]))
	return b[:len(b)/2]
}

func TestSameSeedSameSteps(t *testing.T) {
	path := sample(t, "shop.trace.xz")
	dir := sample(t, "debezium")
	for name, make := range map[string]func(seed uint64) *Workload{
		"shop": func(seed uint64) *Workload { return Shop(Options{Seed: seed, MaxReads: 5000}) },
		"trace": func(seed uint64) *Workload {
			w, err := Open(path, Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			return w
		},
		"debezium": func(seed uint64) *Workload {
			w, err := Open(dir, Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			return w
		},
	} {
		a, b, other := make(1), make(1), make(2)
		if !reflect.DeepEqual(a.Steps, b.Steps) || !reflect.DeepEqual(a.Attributes, b.Attributes) {
			t.Errorf("%s: the same seed made different steps", name)
		}
		if reflect.DeepEqual(a.Steps, other.Steps) {
			t.Errorf("%s: another seed made the same steps", name)
		}
	}
}

func TestShopIsAYear(t *testing.T) {
	w := Shop(Options{Seed: 1})
	if w.Reads < 100_000 || w.Changes < 2000 || w.Changes > 10_000 {
		t.Errorf("%d reads and %d changes", w.Reads, w.Changes)
	}
	kinds, counts, told := map[string]int{}, map[string]int{}, 0
	last := w.Steps[0].At
	for i, s := range w.Steps {
		if s.At < last {
			t.Fatalf("step %d goes back in time", i)
		}
		last = s.At
		if s.Change == nil {
			counts[s.Key]++
			continue
		}
		kinds[s.Change.Subject]++
		if s.Change.Told {
			told++
		}
	}
	if days := last.Hours() / 24; days < 364 || days > 366 {
		t.Errorf("the steps span %.1f days", days)
	}
	for _, kind := range []string{
		"product.updated", "price.changed", "stock.changed", "category.renamed",
		"catalog.reimported", "customer.updated", "review.added",
	} {
		if kinds["events.shop."+kind] == 0 {
			t.Errorf("no event of type shop.%s in the year: %v", kind, kinds)
		}
	}
	if told != 2 {
		t.Errorf("%d changes are narrated, want 2", told)
	}
	// Zipf: the hottest hundredth of the keys takes far more than its share.
	if top := topShare(counts, 100); top < 0.15 {
		t.Errorf("the hottest hundredth of keys has %.2f of the reads", top)
	}
}

func topShare(counts map[string]int, part int) float64 {
	var all []int
	total := 0
	for _, n := range counts {
		all = append(all, n)
		total += n
	}
	top := 0
	for range max(1, len(all)/part) {
		best := 0
		for i, n := range all {
			if n > all[best] {
				best = i
			}
		}
		top += all[best]
		all[best] = 0
	}
	return float64(top) / float64(total)
}
