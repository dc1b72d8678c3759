package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/chaos/gauge"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

// outcome is a run of ten seconds with a fault, an epoch and a violation.
func outcome() *run.Outcome {
	const key = "register:0:1"
	r := workload.Record{
		Places: history.Order{key: {1: 10, 2: 20}}, Fences: map[string][]workload.Fence{key: {{Place: 20, Landed: 2 * time.Second}}},
		Lease: time.Second, Partitions: 1, Kept: map[string]map[int64]bool{key: {1: true, 2: true}},
		Epochs: []workload.Epoch{{ID: events.Epoch(7), At: 6 * time.Second, Why: "<b>lost</b>"}},
	}
	for i := range 100 {
		o := workload.Op{Op: history.Op{Client: i % 3, Kind: history.Read, Key: key, Value: 1, Level: "strong", Outcome: history.Done, Call: int64(i) * 1e8, Return: int64(i)*1e8 + 2e6}, Member: "node-a", Via: "resp"}
		switch {
		case i == 0 || i == 10:
			o.Kind, o.Level, o.Value = history.Write, "", int64(1+i/10)
		case i > 50 && i < 70:
			o.Outcome, o.Trouble = history.Unknown, "refused"
		}
		r.Ops = append(r.Ops, o)
	}
	o := &run.Outcome{Scenario: "a <script> of a name", Why: "because", Seed: 5, Began: time.Unix(0, 0), Took: 10 * time.Second, Rerun: "make chaos SEED=5", Case: judge.Case{
		Record: r, Ended: 10 * time.Second,
		Faults: []judge.Fault{{At: 5 * time.Second, Until: 7 * time.Second, Kind: "pause", Target: "nats-1", What: "stopped", Proof: "it did not answer"}, {Kind: "disk-full", Missing: "not root"}},
	}}
	for i := range 10 {
		o.Case.Samples = append(o.Case.Samples, gauge.Sample{At: time.Duration(i) * time.Second, Name: "node-a", Pid: 3, Goroutines: 40, Files: 12, RSS: 50 << 20})
	}
	o.Verdicts = judge.All(o.Case)
	return o
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	o := outcome()
	if err := Write(dir, o); err != nil {
		t.Fatal(err)
	}
	text := read(t, dir, Page)
	for _, want := range []string{
		"a &lt;script&gt; of a name", "failed", "make chaos SEED=5", "not injected: not root", "it did not answer", "G1: ", "data:text/html;base64,",
		"&lt;b&gt;lost&lt;/b&gt;", "1 of 2", "open files", "node-a",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, not := range []string{"<script>", "http://", "https://", "NaN", "ZgotmplZ"} {
		if strings.Contains(text, not) {
			t.Errorf("the page says %q", not)
		}
	}
	var d Digest
	if err := json.Unmarshal([]byte(read(t, dir, Summary)), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Failed || d.Operations != 100 || len(d.Verdicts) != len(judge.Names()) || d.Seconds != 10 {
		t.Errorf("the digest says %+v", d)
	}
	if lines := strings.Count(read(t, dir, History), "\n"); lines != 100 {
		t.Errorf("the history has %d lines", lines)
	}
}

// A run in which nothing happened has a page too.
func TestWriteNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, &run.Outcome{}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, dir, Page); !strings.Contains(text, "nobody was watched") || strings.Contains(text, "NaN") {
		t.Error("the empty page is odd")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
