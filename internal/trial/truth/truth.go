package truth

import (
	"sort"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/trial/input"
)

// Truth is the origin. Create it with [New].
type Truth struct {
	schema input.Schema
	now    func() time.Time

	mu         sync.RWMutex
	commits    uint64
	rows       map[string][]commit // ascending; rows never written are absent
	attributes map[string]string
}

// commit is one write of a row.
type commit struct {
	number uint64
	at     time.Time
}

// Commit is what a change became.
type Commit struct {
	// Number counts the origin's commits from 1.
	Number uint64
	At     time.Time
}

// New returns the origin of the workload's values before its first change. now
// is asked for the times of commits and must not go back.
func New(schema input.Schema, attributes []input.Attribute, now func() time.Time) *Truth {
	t := &Truth{
		schema: schema, now: now,
		rows: map[string][]commit{}, attributes: make(map[string]string, len(attributes)),
	}
	for _, a := range attributes {
		t.attributes[a.Row] = a.Value
	}
	return t
}

// Commit makes the change true.
func (t *Truth) Commit(c *input.Change) Commit {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.commits++
	made := Commit{Number: t.commits, At: t.now()}
	for _, row := range c.Writes {
		t.rows[row] = append(t.rows[row], commit{made.Number, made.At})
	}
	for _, a := range c.Sets {
		t.attributes[a.Row] = a.Value
	}
	return made
}

// Load computes the key's value from what is committed now. The payload is the
// caller's.
func (t *Truth) Load(key string) (payload []byte, tags []string) {
	t.mu.RLock()
	number := t.commits
	view := t.schema.View(key, t.attribute)
	t.mu.RUnlock()
	return encode(key, number, view.Rows), view.Tags
}

// attribute is for holders of the lock.
func (t *Truth) attribute(row string) string { return t.attributes[row] }

// Verdict is what the judge thinks of a value.
type Verdict uint8

const (
	// Current: nothing had overwritten the value when the read began.
	Current Verdict = iota + 1
	// Late: the value was overwritten, but no longer than the bound before the
	// read began.
	Late
	// Stale: it was overwritten longer than the bound before.
	Stale
	// Wrong: it is no value that this origin ever gave for the key.
	Wrong
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Current:
		return "current"
	case Late:
		return "late"
	case Stale:
		return "stale"
	case Wrong:
		return "wrong"
	}
	return "none"
}

// Judgement is a verdict with what led to it.
type Judgement struct {
	Verdict Verdict
	// Age is how long before the read began the value was overwritten; 0 if it
	// was not.
	Age time.Duration
	// Row is the row that was overwritten, Number the commit that did it.
	Row    string
	Number uint64
	// Reason says what is wrong.
	Reason string
}

// Judge says whether a read of key that began at began may return payload
// under bound.
func (t *Truth) Judge(key string, payload []byte, began time.Time, bound time.Duration) Judgement {
	v, reason := decode(payload)
	if reason == "" && v.key != key {
		reason = "it is the value of another key: " + v.key
	}
	if reason != "" {
		return Judgement{Verdict: Wrong, Reason: reason}
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if v.number > t.commits {
		return Judgement{Verdict: Wrong, Reason: "it is of a commit that was never made"}
	}
	j := Judgement{Verdict: Current}
	for _, row := range v.rows {
		next, ok := t.overwritten(row, v.number)
		if !ok {
			continue
		}
		if age := began.Sub(next.at); age > 0 && age > j.Age {
			j.Age, j.Row, j.Number = age, row, next.number
		}
	}
	switch {
	case j.Age > bound:
		j.Verdict = Stale
	case j.Age > 0:
		j.Verdict = Late
	}
	return j
}

// overwritten returns the first write of row after the snapshot number.
func (t *Truth) overwritten(row string, number uint64) (commit, bool) {
	writes := t.rows[row]
	if n := len(writes); n == 0 || writes[n-1].number <= number {
		return commit{}, false
	}
	i := sort.Search(len(writes), func(i int) bool { return writes[i].number > number })
	return writes[i], true
}
