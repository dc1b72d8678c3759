package invalidator_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raptorflow/tercet/internal/invalidator"
)

const limitedRules = `
domains: [shop]
rules:
  - name: price
    match: {type: price}
    keys: ["product:{data.id}"]
    limit: {names_per_minute: 100}
  - name: stock
    match: {type: price}
    keys: ["stock:{data.id}"]
  - name: bulk.of/all
    match: {type: bulk}
    keys: ["bulk:{data.ids[]}"]
    limit: {names_per_event: 3}
  - name: rough
    match: {type: rough}
    keys: ["rough:{data.id}"]
    limit: {names_per_minute: 5, then: coarse}
`

func (f *fixture) limitedTo(text string) func(*invalidator.Deps, *invalidator.Config) {
	return func(d *invalidator.Deps, _ *invalidator.Config) { d.Rules = f.rules(text) }
}

// landed counts names that begin with prefix.
func (l *log) landedUnder(prefix string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for name := range l.landed {
		if len(name) >= len(prefix) && name[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// parked counts the events that wait.
func (f *fixture) parked(rule string) int {
	f.t.Helper()
	n := 0
	for _, err := range invalidator.ParkedEvents(f.js, rule).All(f.t.Context(), invalidator.LetterFilter{}) {
		if err != nil {
			f.t.Fatal(err)
		}
		n++
	}
	return n
}

func (f *fixture) prices(from, to int) {
	f.t.Helper()
	for k := from; k < to; k++ {
		f.publish("events.price", event("price", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, k)))
	}
}

// Two processes share one budget. What is beyond it waits, through a restart of
// both, until the rule is released; then nothing is missing.
func TestRuleThatWouldClearTooMuchIsParked(t *testing.T) {
	f, l := newFixture(t), newLog()
	now := time.Unix(1_700_000_000, 0)
	at := func(_ *invalidator.Deps, c *invalidator.Config) { c.Now = func() time.Time { return now } }
	_, first := f.start(l, f.limitedTo(limitedRules), at)
	two, second := f.start(l, f.limitedTo(limitedRules), at)
	const n = 300
	f.prices(0, n)
	await(t, "acknowledgements", f.settled)
	if have := l.landedUnder("shop/key:product:"); have > 100 || have < 80 {
		t.Errorf("%d names were cleared, want at most the limit of 100 and not much less", have)
	}
	if have := l.landedUnder("shop/key:stock:"); have != n {
		t.Errorf("%d names of the rule without limit, want %d", have, n)
	}
	if have, want := f.parked("price"), n-l.landedUnder("shop/key:product:"); have < want {
		t.Errorf("%d events are parked, want %d", have, want)
	}
	await(t, "the other process to know", func() bool { return len(two.Parked()) == 1 && two.Parked()[0].Rule == "price" })
	first.cancel()
	second.cancel()
	first.wait()
	second.wait()

	before := l.landedUnder("shop/key:product:")
	now = now.Add(time.Minute) // which does not release it
	f.start(l, f.limitedTo(limitedRules), at)
	f.prices(n, n+10) // parked at once: the state has survived
	await(t, "acknowledgements", f.settled)
	if have := l.landedUnder("shop/key:product:"); have != before {
		t.Errorf("a parked rule cleared %d names", have-before)
	}
	moved, err := invalidator.Release(t.Context(), f.js, "price")
	if err != nil || moved < n+10-before {
		t.Errorf("released %d, %v; want %d", moved, err, n+10-before)
	}
	await(t, "everything", func() bool { return l.landedUnder("shop/key:product:") == n+10 })
	await(t, "acknowledgements", f.settled)
	if left := f.parked(""); left != 0 {
		t.Errorf("%d events are still parked", left)
	}
	f.prices(n+10, n+20)
	await(t, "events after the release", func() bool { return l.landedUnder("shop/key:product:") == n+20 })
	if letters := f.letters(); len(letters) != 0 {
		t.Errorf("%d dead letters, want none", len(letters))
	}
}

// An event that alone is beyond its rule's limit waits alone.
func TestEventThatWouldClearTooMuchIsParked(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l, f.limitedTo(limitedRules))
	f.publish("events.bulk", event("bulk", "1", `{"ids":[1,2,3,4]}`))
	f.publish("events.bulk", event("bulk", "2", `{"ids":[5,6]}`))
	await(t, "the small one", l.has("shop/key:bulk:5", "shop/key:bulk:6"))
	await(t, "acknowledgements", f.settled)
	if l.landedUnder("shop/key:bulk:") != 2 || f.parked("bulk.of/all") != 1 || len(i.Parked()) != 0 {
		t.Errorf("landed %v, %d parked, rules %v", l.order, f.parked(""), i.Parked())
	}
	if moved, err := invalidator.Release(t.Context(), f.js, "bulk.of/all"); err != nil || moved != 1 {
		t.Errorf("released %d, %v", moved, err)
	}
	await(t, "the large one", l.has("shop/key:bulk:1", "shop/key:bulk:4"))
}

func TestCoarseLimitFencesTheReach(t *testing.T) {
	f, l := newFixture(t), newLog()
	now := time.Now()
	i, _ := f.start(l, f.limitedTo(limitedRules), func(_ *invalidator.Deps, c *invalidator.Config) { c.Now = func() time.Time { return now } })
	for k := range 20 {
		f.publish("events.rough", event("rough", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, k)))
	}
	await(t, "acknowledgements", f.settled)
	if have := l.landedUnder("shop/key:rough:"); have > 5 || !l.has("shop/prefix:rough:")() || f.parked("") != 0 {
		t.Errorf("%d names, %v, %d parked", have, l.order, f.parked(""))
	}
	await(t, "counts", func() bool { return i.Stats().Coarsened >= 15 })
}

// While the log is away an event is judged again and again, and pays once.
func TestRetriesDoNotSpendTheBudget(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.fail = func(_ string, attempt int) error {
		if attempt <= 8 {
			return fmt.Errorf("no leader")
		}
		return nil
	}
	f.start(l, f.limitedTo(limitedRules))
	f.prices(0, 90)
	await(t, "acknowledgements", f.settled)
	if have := l.landedUnder("shop/key:product:"); have != 90 || f.parked("") != 0 {
		t.Errorf("%d landed, %d parked; want 90 and none", have, f.parked(""))
	}
}

const waitingRules = `
domains: [shop]
rules:
  - name: late
    match: {type: late}
    keys: ["late:{data.id}"]
    settle: 300ms
  - name: many
    match: {type: many}
    keys: ["many:{data.id}", "list"]
    coalesce: 100ms
`

func TestSettleFencesTwiceThroughACrash(t *testing.T) {
	f, stuck := newFixture(t), newLog()
	_, r := f.start(stuck, f.limitedTo(waitingRules))
	f.publish("events.late", event("late", "1", `{"id":1}`))
	await(t, "first fence", stuck.has("shop/key:late:1"))
	r.cancel() // before the second one
	r.wait()
	l := newLog()
	_, _ = f.start(l, f.limitedTo(waitingRules), func(_ *invalidator.Deps, c *invalidator.Config) { c.InFlight = 1 })
	f.publish("events.late", event("late", "2", `{"id":2}`))
	f.publish("events.late", event("late", "3", `{"id":3}`)) // does not wait for the one before
	count := func(name string) int { l.mu.Lock(); defer l.mu.Unlock(); return l.landed[name] }
	await(t, "second fences", func() bool {
		return count("shop/key:late:1") == 2 && count("shop/key:late:2") == 2 && count("shop/key:late:3") == 2
	})
	await(t, "acknowledgements", f.settled)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.order[0] == l.order[1] {
		t.Errorf("%v: one event's wait held up the next", l.order)
	}
}

func TestCoalescedFencesShareARecord(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.block, l.begun = make(chan struct{}), make(chan struct{}, 100)
	i, _ := f.start(l, f.limitedTo(waitingRules))
	for k := range 50 {
		f.publish("events.many", event("many", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, k)))
	}
	<-l.begun
	if s := i.Stats(); s.Acknowledged != 0 {
		t.Errorf("%d events were acknowledged before their record landed", s.Acknowledged)
	}
	close(l.block)
	await(t, "acknowledgements", f.settled)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.landed) != 51 || l.landed["shop/key:list"] > 20 {
		t.Errorf("%d names, %d times the shared one", len(l.landed), l.landed["shop/key:list"])
	}
	if s := i.Stats(); s.Windows == 0 || s.Windows > 20 {
		t.Errorf("%d records for 50 events", s.Windows)
	}
}

func TestDuplicatesAreFencedOnceIfTheyLanded(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l)
	e := event("label", "1", `{"label":"red"}`)
	f.publish("events.label", e)
	await(t, "fence", l.has("shop/tag:label:red"))
	await(t, "acknowledgement", func() bool { return i.Stats().Acknowledged == 1 })
	f.publish("events.label", e)
	await(t, "the duplicate", func() bool { return i.Stats().Duplicates == 1 })
	f.publish("events.label", event("label", "1", `{"label":"blue"}`)) // a producer that breaks its promise
	await(t, "fence of another event with the same id", l.has("shop/tag:label:blue"))
	f.publish("events.label", `{"type":"label","id":"1","data":{"label":"plain"}}`)
	f.publish("events.label", `{"type":"label","id":"1","data":{"label":"plain"}}`)
	await(t, "plain events", func() bool { return i.Stats().Acknowledged == 5 })
	if n := i.Stats().Duplicates; n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
	i.SetRules(f.rules("domains: [shop]\nrules:\n  - {name: label, match: {type: label}, keys: ['l:{data.label}']}\n"))
	f.publish("events.label", e)
	await(t, "fence by other rules", l.has("shop/key:l:red"))
}

func TestDuplicateOfAnEventThatFailedIsNone(t *testing.T) {
	f, l := newFixture(t), newLog()
	l.block, l.begun = make(chan struct{}), make(chan struct{}, 10)
	i, _ := f.start(l)
	e := event("label", "1", `{"label":"red"}`)
	f.publish("events.label", e)
	<-l.begun
	f.publish("events.label", e)
	<-l.begun // the first is under way: the second is fenced too
	close(l.block)
	await(t, "acknowledgement", f.settled)
	if n := i.Stats().Duplicates; n != 0 {
		t.Errorf("%d duplicates, want none", n)
	}
}

// Order and repetition change nothing about what is fenced.
func TestOrderAndDuplicatesDoNotMatter(t *testing.T) {
	f := newFixture(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "events")
		var all []string
		want := map[string]bool{}
		for k := range n {
			id := rapid.IntRange(0, 10).Draw(t, "id")
			if rapid.Bool().Draw(t, "label") {
				all = append(all, event("label", strconv.Itoa(k), fmt.Sprintf(`{"label":"l%d"}`, id)))
				want[fmt.Sprintf("shop/tag:label:l%d", id)] = true
			} else {
				all = append(all, event("price", strconv.Itoa(k), fmt.Sprintf(`{"id":%d}`, id)))
				want[fmt.Sprintf("shop/key:product:%d:price", id)], want[fmt.Sprintf("depot/key:stock:%d", id)] = true, true
			}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		for range n / 2 {
			all = append(all, all[r.IntN(n)])
		}
		r.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		run++
		subject, l := fmt.Sprintf("events.run.%d", run), newLog()
		_, running := f.start(l, func(_ *invalidator.Deps, c *invalidator.Config) {
			c.Subjects, c.Durable = []string{subject}, fmt.Sprintf("run-%d", run)
		})
		for _, e := range all {
			f.publish(subject, e)
		}
		deadline := time.Now().Add(20 * time.Second)
		for {
			if f.settledFor(fmt.Sprintf("run-%d", run)) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("not done")
			}
		}
		running.cancel()
		running.wait()
		if len(l.landed) != len(want) {
			t.Fatalf("fenced %v, want %v", l.landed, want)
		}
		for name := range want {
			if l.landed[name] == 0 {
				t.Fatalf("%s was not fenced", name)
			}
		}
	})
}

func TestLetterIsRetriedOrDropped(t *testing.T) {
	f, l := newFixture(t), newLog()
	i, _ := f.start(l)
	f.publish("events.label", event("label", "1", `{"shade":"red"}`), "Nats-Msg-Id", "m")
	f.publish("events.other", "not json")
	await(t, "dead letters", func() bool { return len(f.letters()) == 2 })
	dead := invalidator.DeadLetters(f.js)
	var found []invalidator.Letter
	for letter, err := range dead.All(t.Context(), invalidator.LetterFilter{Rule: "label", Subject: "events.l*", Reason: "data.label", Unreached: true, Since: time.Now().Add(-time.Minute)}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, letter)
	}
	if len(found) != 1 || found[0].Event != "/test#1" || found[0].Field != "data.label" || found[0].Reached {
		t.Fatalf("found %+v", found)
	}
	i.SetRules(f.rules("domains: [shop]\nrules:\n  - {name: label, match: {type: label}, tags: ['label:{data.shade}']}\n"))
	if err := dead.Retry(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	await(t, "fence after the rules were mended", l.has("shop/tag:label:red"))
	await(t, "acknowledgement", f.settled)
	if _, err := dead.Get(t.Context(), found[0].Sequence); err == nil {
		t.Error("the letter that was retried is still there")
	}
	for letter, err := range dead.All(t.Context(), invalidator.LetterFilter{}) {
		if err != nil || letter.Subject != "events.other" || string(letter.Body) != "not json" {
			t.Errorf("%+v, %v", letter, err)
		}
		if err := dead.Drop(t.Context(), letter.Sequence); err != nil {
			t.Error(err)
		}
		if err := dead.Drop(t.Context(), letter.Sequence); err != nil {
			t.Errorf("dropped twice: %v", err)
		}
	}
}
