package input

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// How often changes are made up in a trace that knows reads only: one key in
// so many reads, and one prefix or tag in so many.
const (
	readsPerKeyChange   = 60
	readsPerGroupChange = 3000
)

// recentKeys is how many of the last reads a made-up change chooses from, so
// that what is read often changes often.
const recentKeys = 4096

// traceRules are the rules for the events that traces are played with.
const traceRules = `version: 1
domains: [trial]

rules:
  - name: key-changed
    match: {type: trial.key.changed}
    keys: ["{data.key}"]
    warm: true

  - name: keys-changed
    match: {type: trial.keys.changed}
    keys: ["{data.keys[]}"]

  - name: prefix-changed
    match: {type: trial.prefix.changed}
    prefixes: ["{data.prefix}:"]

  - name: tag-changed
    match: {type: trial.tag.changed}
    tags: ["{data.tag}"]
    reach: {all: true}
`

// groups says which tags a key's value carries. A key's prefixes need no
// saying: they are its segments.
type groups func(key string) (tags []string)

// groupSchema is the schema of a trace: a value is made of the key's own row
// and one row for each prefix and tag it belongs to.
type groupSchema struct{ tags groups }

func (s groupSchema) View(key string, _ func(string) string) View {
	v := View{Rows: []string{"key/" + key}}
	for _, p := range prefixesOf(key) {
		v.Rows = append(v.Rows, "prefix/"+p)
	}
	if s.tags != nil {
		v.Tags = s.tags(key)
		for _, t := range v.Tags {
			v.Rows = append(v.Rows, "tag/"+t)
		}
	}
	return v
}

// prefixesOf returns the key's leading segments, each with its separator: the
// first four, which is more than any input here has.
func prefixesOf(key string) []string {
	var ps []string
	for i := 0; i < len(key)-1 && len(ps) < 4; i++ {
		if key[i] == events.Separator {
			ps = append(ps, key[:i+1])
		}
	}
	return ps
}

// trace builds a workload from reads and changes in the order of a file.
type trace struct {
	opts  Options
	rand  *rand.Rand
	tags  groups
	start time.Time // zero: the file knows no times
	now   time.Duration
	// origin is the first time that a file without a calendar names.
	origin   time.Duration
	counting bool

	steps   []Step
	keys    intern
	reads   int
	changes int
	recent  []string
	counts  map[string]int // reads of each key
	tooLong int
	real    int // changes that the file itself tells of
	pending []string
	full    bool
}

func newTrace(o Options, tags groups) *trace {
	o = o.withDefaults()
	return &trace{
		opts: o, rand: rand.New(rand.NewPCG(o.Seed, 0x7ace)), tags: tags,
		keys: intern{}, counts: map[string]int{},
	}
}

// more reports whether the trace takes further reads.
func (t *trace) more() bool { return !t.full }

// at sets the time of the following steps. Times that go back, as in logs
// written by several processes, count as no time passed.
func (t *trace) at(now time.Time) {
	if t.start.IsZero() {
		t.start = now
	}
	t.now = max(t.now, now.Sub(t.start))
}

// elapsed sets the time of the following steps where the file counts from an
// instant that it does not name.
func (t *trace) elapsed(seconds int64) {
	now := time.Duration(min(seconds, math.MaxInt32)) * time.Second
	if !t.counting {
		t.counting, t.origin = true, now
	}
	t.now = max(t.now, now-t.origin)
}

// read adds a read, and now and then a made-up change before it.
func (t *trace) read(key string) {
	if !t.fits(key) {
		return
	}
	t.flush()
	if t.reads == t.opts.MaxReads {
		t.full = true
		return
	}
	key = t.keys.one(key)
	if t.reads > 0 && t.reads%readsPerGroupChange == 0 {
		t.madeUpGroup()
	} else if t.reads > 0 && t.reads%readsPerKeyChange == 0 {
		t.keyChanged(t.someRecent())
	}
	t.steps = append(t.steps, Step{At: t.now, Key: key})
	t.counts[key]++
	if len(t.recent) < recentKeys {
		t.recent = append(t.recent, key)
	} else {
		t.recent[t.reads%recentKeys] = key
	}
	t.reads++
}

// write adds a change that the file tells of. Writes without a read between
// them travel in one event, as those of one transaction do.
func (t *trace) write(key string) {
	if t.full || !t.fits(key) {
		return
	}
	t.real++
	t.pending = append(t.pending, t.keys.one(key))
	if len(t.pending) == maxKeysPerChange {
		t.flush()
	}
}

// maxKeysPerChange bounds the keys that one event names.
const maxKeysPerChange = 256

func (t *trace) flush() {
	if len(t.pending) == 0 {
		return
	}
	keys := slices.Clone(t.pending)
	t.pending = t.pending[:0]
	if len(keys) == 1 {
		t.keyChanged(keys[0])
		return
	}
	c := &Change{What: fmt.Sprintf("%d keys were written", len(keys))}
	for _, k := range keys {
		c.Writes = append(c.Writes, "key/"+k)
	}
	t.change(c, "trial.keys.changed", map[string]any{"keys": keys})
}

func (t *trace) fits(key string) bool {
	if events.ValidateKey(key) != nil {
		t.tooLong++
		return false
	}
	return true
}

func (t *trace) someRecent() string { return t.recent[t.rand.IntN(len(t.recent))] }

func (t *trace) keyChanged(key string) *Change {
	c := &Change{What: key + " changed", Writes: []string{"key/" + key}}
	t.change(c, "trial.key.changed", map[string]any{"key": key})
	return c
}

// madeUpGroup changes all that shares a prefix or a tag with a recent key.
func (t *trace) madeUpGroup() {
	key := t.someRecent()
	gs := t.groupsOf(key)
	switch {
	case len(gs) == 0:
		t.keyChanged(key)
	case t.rand.IntN(8) == 0:
		// Groups stand from the widest to the narrowest. The widest may be all
		// there is, which a business seldom changes at once.
		t.groupChanged(gs[0])
	default:
		t.groupChanged(gs[len(gs)-1])
	}
}

// group is a prefix or a tag.
type group struct {
	tag  bool
	name string
}

func (t *trace) groupsOf(key string) []group {
	var gs []group
	for _, p := range prefixesOf(key) {
		gs = append(gs, group{name: p})
	}
	if t.tags != nil {
		for _, tag := range t.tags(key) {
			gs = append(gs, group{tag: true, name: tag})
		}
	}
	return gs
}

func (t *trace) groupChanged(g group) *Change {
	if g.tag {
		c := &Change{What: "all with the tag " + g.name + " changed", Writes: []string{"tag/" + g.name}}
		t.change(c, "trial.tag.changed", map[string]any{"tag": g.name})
		return c
	}
	c := &Change{What: "all under " + g.name + " changed", Writes: []string{"prefix/" + g.name}}
	t.change(c, "trial.prefix.changed", map[string]any{"prefix": strings.TrimSuffix(g.name, string(events.Separator))})
	return c
}

func (t *trace) change(c *Change, kind string, data map[string]any) {
	t.changes++
	c.ID = fmt.Sprintf("trace-%06d", t.changes)
	c.EventID = c.ID
	c.Subject = "events." + kind
	var at time.Time
	if !t.start.IsZero() {
		at = t.start.Add(t.now)
	}
	c.Event = encodeEvent(c.ID, "/trial/trace", kind, at, data)
	t.steps = append(t.steps, Step{At: t.now, Change: c})
}

// finish returns the workload, with two narrated changes put in: of the most
// read key, and of the prefix or tag that covers most.
func (t *trace) finish(path, name string) (*Workload, error) {
	t.flush()
	if t.reads == 0 {
		return nil, fmt.Errorf("input %s: %w: no reads in it", path, ErrEmpty)
	}
	t.tell()
	w := &Workload{
		Name: name, Domain: "trial", Steps: t.steps, Start: t.start,
		Rules: []byte(traceRules), Schema: groupSchema{tags: t.tags},
	}
	w.count()
	if t.full {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("what follows the first %d reads", t.reads))
	}
	if t.tooLong > 0 {
		w.LeftOut = append(w.LeftOut, fmt.Sprintf("%d keys that are empty or longer than %d bytes", t.tooLong, events.MaxKey))
	}
	return w, nil
}

// tell puts the narrated changes in, at three and five tenths of the steps.
func (t *trace) tell() {
	first, second := len(t.steps)*3/10, len(t.steps)*5/10
	hottest := t.hottest()
	widest, reach := t.widest(second)
	if len(reach) > 1 {
		t.insert(second, t.build(second, func() *Change { return t.groupChanged(widest) }), reach)
	}
	t.insert(first, t.build(first, func() *Change { return t.keyChanged(hottest) }), []string{hottest})
}

// build makes a change as of the step at index i without adding it.
func (t *trace) build(i int, make func() *Change) Step {
	if i < len(t.steps) {
		t.now = t.steps[i].At
	}
	make()
	s := t.steps[len(t.steps)-1]
	t.steps = t.steps[:len(t.steps)-1]
	return s
}

func (t *trace) insert(i int, s Step, reach []string) {
	s.Change.Told = true
	s.Change.Reach = reach
	t.steps = slices.Insert(t.steps, min(i, len(t.steps)), s)
}

func (t *trace) hottest() string {
	best := ""
	for k, n := range t.counts {
		if best == "" || n > t.counts[best] || n == t.counts[best] && k < best {
			best = k
		}
	}
	return best
}

// widest returns the group with most of the keys that are read before step i,
// and up to [MaxReach] of them.
func (t *trace) widest(i int) (group, []string) {
	seen := map[string]bool{}
	sizes := map[group]int{}
	for _, s := range t.steps[:i] {
		if s.Change == nil && !seen[s.Key] {
			seen[s.Key] = true
			for _, g := range t.groupsOf(s.Key) {
				sizes[g]++
			}
		}
	}
	var best group
	for g, n := range sizes {
		if m := sizes[best]; n > m || n == m && (g.tag && !best.tag || g.tag == best.tag && g.name < best.name) {
			best = g
		}
	}
	var reach []string
	for k := range seen {
		if slices.Contains(t.groupsOf(k), best) {
			reach = append(reach, k)
		}
	}
	slices.Sort(reach)
	return best, reach[:min(len(reach), MaxReach)]
}
