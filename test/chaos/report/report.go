package report

import (
	"bufio"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/run"
	"github.com/raptorflow/tercet/test/history"
)

// The files that [Write] makes.
const (
	Page    = "report.html"
	Summary = "report.json"
	History = "history.jsonl"
)

// Write writes the report of a run into dir, which must exist.
func Write(dir string, o *run.Outcome) error {
	return errors.Join(
		create(filepath.Join(dir, Page), func(w *bufio.Writer) error { return writePage(w, o) }),
		create(filepath.Join(dir, Summary), func(w *bufio.Writer) error { return summary(w, o) }),
		create(filepath.Join(dir, History), func(w *bufio.Writer) error { return operations(w, o) }),
	)
}

func create(path string, write func(*bufio.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	return errors.Join(write(w), w.Flush(), f.Close())
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) },
	"picture": func(p []byte) template.URL {
		return template.URL("data:text/html;base64," + base64.StdEncoding.EncodeToString(p))
	},
	"short": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(pageText))

func writePage(w *bufio.Writer, o *run.Outcome) error {
	ages := o.Case.Ages() // which sorts the operations by their call
	injected := 0
	for _, f := range o.Case.Faults {
		if f.Missing == "" && f.Proof != "" {
			injected++
		}
	}
	return page.Execute(w, struct {
		*run.Outcome
		Operations, Injected int
		Timeline, Resources  template.HTML
	}{o, len(o.Case.Ops), injected, timeline(&o.Case, ages), resources(&o.Case)})
}

// Digest is what the JSON beside the page says.
type Digest struct {
	Scenario   string          `json:"scenario"`
	Why        string          `json:"why"`
	Seed       uint64          `json:"seed"`
	Began      time.Time       `json:"began"`
	Seconds    float64         `json:"seconds"`
	Failed     bool            `json:"failed"`
	Rerun      string          `json:"rerun"`
	Operations int             `json:"operations"`
	Verdicts   []judge.Verdict `json:"verdicts"`
	Faults     []judge.Fault   `json:"faults"`
	Epochs     int             `json:"epochs"`
	Trouble    []string        `json:"trouble,omitempty"`
}

// NewDigest sums a run up.
func NewDigest(o *run.Outcome) Digest {
	return Digest{
		Scenario: o.Scenario, Why: o.Why, Seed: o.Seed, Began: o.Began, Seconds: o.Took.Seconds(), Failed: o.Failed(), Rerun: o.Rerun,
		Operations: len(o.Case.Ops), Verdicts: o.Verdicts, Faults: o.Case.Faults, Epochs: len(o.Case.Epochs), Trouble: o.Trouble,
	}
}

func summary(w *bufio.Writer, o *run.Outcome) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(NewDigest(o))
}

// line is one operation of the history file. Times are seconds.
type line struct {
	Client  int             `json:"client"`
	Kind    string          `json:"kind"`
	Key     string          `json:"key"`
	Value   int64           `json:"value,omitempty"`
	Level   string          `json:"level,omitempty"`
	Call    float64         `json:"call"`
	Return  float64         `json:"return"`
	Outcome string          `json:"outcome"`
	Member  string          `json:"member"`
	Via     string          `json:"via"`
	Trouble string          `json:"trouble,omitempty"`
	Strange string          `json:"strange,omitempty"`
	Seen    events.Position `json:"seen,omitempty"`
	Place   events.Position `json:"place,omitempty"`
}

func operations(w *bufio.Writer, o *run.Outcome) error {
	e := json.NewEncoder(w)
	for _, op := range o.Case.Ops {
		l := line{
			op.Client, [...]string{"read", "write", "invalidate", "query"}[op.Kind], op.Key, op.Value, op.Level,
			time.Duration(op.Call).Seconds(), time.Duration(op.Return).Seconds(),
			[...]string{"unknown", "done", "miss", "nothing"}[op.Outcome], op.Member, op.Via, op.Trouble, op.Strange, op.Seen, 0,
		}
		if op.Outcome == history.Done {
			l.Place = o.Case.Places[op.Key][op.Value]
		}
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}
