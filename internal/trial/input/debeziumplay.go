package input

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A file of change events is short and knows no reads: its events are played
// over and over, with reads of the rows they touch between them.
const (
	debeziumChanges = 400 // at least so many in all
	readsPerChange  = 100
)

// rowViews are what the origin makes of a row and the cache holds.
var rowViews = []string{"row", "summary", "history"}

// rowSchema says what is made of a table's rows; keys are table:id:view.
type rowSchema struct{}

func (rowSchema) View(key string, _ func(string) string) View {
	table, rest, _ := strings.Cut(key, ":")
	id := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		id = rest[:i]
	}
	return View{Rows: []string{"table/" + table, "row/" + table + "/" + id}}
}

func (c *rowChange) keys() []string {
	var out []string
	for _, v := range rowViews {
		out = append(out, c.table+":"+c.id+":"+v)
	}
	return out
}

// workload plays the events in their order, in rounds.
func (d *debezium) workload(path string, o Options) (*Workload, error) {
	o = o.withDefaults()
	keys := d.touched()
	if len(keys) == 0 {
		return nil, fmt.Errorf("input %s: %w: no change of a row in it (%s)", path, ErrEmpty, strings.Join(d.leftOut(), "; "))
	}
	r := rand.New(rand.NewPCG(o.Seed, 0xdeb2))
	popularity := newZipf(len(keys), 0.9)
	order := r.Perm(len(keys))
	rounds := max(1, (debeziumChanges+len(d.changes)-1)/len(d.changes))
	n := rounds * len(d.changes)
	reads := min(readsPerChange, max(1, o.MaxReads/n))

	w := &Workload{
		Name:   fmt.Sprintf("%d change events captured by Debezium, played %d times", len(d.changes), rounds),
		Domain: "trial", Rules: d.rules(), Schema: rowSchema{}, LeftOut: d.leftOut(),
	}
	if rounds == 1 {
		w.Name = fmt.Sprintf("%d change events captured by Debezium", len(d.changes))
	}
	budget := o.MaxReads
	for round := range rounds {
		for i := range d.changes {
			for range min(reads, budget) {
				budget--
				w.Steps = append(w.Steps, Step{Key: keys[order[popularity.draw(r)]]})
			}
			w.Steps = append(w.Steps, Step{Change: d.changes[i].change(round, i)})
		}
	}
	d.tell(w, keys)
	w.count()
	return w, nil
}

// touched returns the keys of all rows that the events name, sorted.
func (d *debezium) touched() []string {
	seen := map[string]bool{}
	for i := range d.changes {
		if !d.changes[i].truncate {
			for _, k := range d.changes[i].keys() {
				seen[k] = true
			}
		}
	}
	var keys []string
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// change returns the event as the round'th of its kind. An event that carries
// an id gets a new one each round, since it happens anew.
func (c *rowChange) change(round, i int) *Change {
	out := &Change{
		ID:      fmt.Sprintf("change-%d-%05d", round, i),
		Subject: "events.cdc." + subjectToken(c.table),
		Event:   c.body,
	}
	if c.wrapped != nil {
		out.EventID = textOf(c.wrapped["id"])
	}
	if c.wrapped != nil && round > 0 {
		again := maps.Clone(c.wrapped)
		out.EventID = fmt.Sprintf("%s;round:%d", out.EventID, round)
		again["id"], _ = json.Marshal(out.EventID)
		out.Event, _ = json.Marshal(again) // values that were JSON before
	}
	if c.truncate {
		out.What = "table " + c.table + " was truncated"
		out.Writes = []string{"table/" + c.table}
		return out
	}
	verb := map[string]string{"c": "inserted", "u": "updated", "d": "deleted", "r": "read by a snapshot"}[c.operation]
	out.What = "row " + c.id + " of " + c.table + " was " + verb
	out.Writes = []string{"row/" + c.table + "/" + c.id}
	return out
}

// subjectToken makes a table's name fit for a NATS subject.
func subjectToken(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
}

// rules makes a rule for each table and key column, and one for truncation.
func (d *debezium) rules() []byte {
	var b strings.Builder
	b.WriteString("version: 1\ndomains: [trial]\n\nrules:\n")
	type place struct{ table, column string }
	seen := map[place]bool{}
	truncated := map[string]bool{}
	for i := range d.changes {
		c := &d.changes[i]
		p := place{c.table, c.column}
		if c.truncate || seen[p] {
			continue
		}
		seen[p] = true
		fmt.Fprintf(&b, `
  - name: %s
    match:
      table: %s
      operation: [create, update, delete, read]
    when: has(row.%s)
    prefixes: ["{table}:{row.%s}:"]
    warm: true
`, quote("row-"+c.table+"-"+c.column), quote(c.table), c.column, c.column)
	}
	for i := range d.changes {
		c := &d.changes[i]
		if !c.truncate || truncated[c.table] {
			continue
		}
		truncated[c.table] = true
		fmt.Fprintf(&b, `
  - name: %s
    match: {table: %s, operation: truncate}
    prefixes: ["{table}:"]
`, quote("truncate-"+c.table), quote(c.table))
	}
	return []byte(b.String())
}

// quote writes text as a YAML string; JSON's strings are YAML's.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

// tell picks the changes to narrate: a row's, and a truncation if there is one.
func (d *debezium) tell(w *Workload, keys []string) {
	mark := func(from int, reach func(c *rowChange) []string) {
		n := 0
		for _, s := range w.Steps {
			if s.Change == nil {
				continue
			}
			c := &d.changes[n%len(d.changes)]
			if n++; n*10 < from*len(w.Steps)/(readsPerChange+1) {
				continue
			}
			if r := reach(c); len(r) > 0 {
				s.Change.Told, s.Change.Reach = true, r
				return
			}
		}
	}
	mark(3, func(c *rowChange) []string {
		if c.truncate {
			return nil
		}
		return c.keys()
	})
	mark(5, func(c *rowChange) []string {
		if !c.truncate {
			return nil
		}
		var reach []string
		for _, k := range keys {
			if strings.HasPrefix(k, c.table+":") && len(reach) < MaxReach {
				reach = append(reach, k)
			}
		}
		return reach
	})
}
