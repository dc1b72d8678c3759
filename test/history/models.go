package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience bounds one judgement. A history that is not decided by then counts
// as wrong: nobody knows that it is right.
const patience = 20 * time.Second

// Strong judges Writes, Invalidates and the Reads at level strong.
func Strong(ops []Op) error {
	return judge("strong", ops, func(o Op) bool {
		return o.Kind == Write || o.Kind == Invalidate || o.Kind == Read && o.Level == "strong"
	}, func(o Op) []input { return []input{{o, false}} }, register{mayForget: true})
}

// Everywhere judges Writes and Invalidates, all of concern everywhere, and Reads
// of any level. A write that has begun may be seen by some and not yet by
// others; one that has returned is seen by all.
func Everywhere(ops []Op) error {
	return judge("everywhere", ops, func(o Op) bool { return o.Kind != Query }, func(o Op) []input {
		if o.Kind == Read || o.Outcome == Unknown {
			return []input{{o, false}}
		}
		return []input{{o, false}, {o, true}} // it gets into the log, and then everywhere
	}, spreading{})
}

// Bracketed judges bracketed Writes, Reads through the cache that load what they
// miss, and Queries of the database.
func Bracketed(ops []Op) error {
	return judge("bracketed", ops, func(o Op) bool { return o.Kind != Invalidate }, func(o Op) []input {
		return []input{{o, false}}
	}, register{})
}

// input is an operation as a model takes it. settles marks the second half of
// an Everywhere write.
type input struct {
	Op
	settles bool
}

// model is the sequential specification of one key.
type model interface {
	start() any
	step(state any, in input) (bool, any)
}

func judge(name string, ops []Op, takes func(Op) bool, split func(Op) []input, m model) error {
	byKey := map[string][]porcupine.Operation{}
	shown := firstShown(ops, takes)
	var last int64
	for _, o := range ops {
		if o.Outcome != Unknown {
			last = max(last, o.Return)
		}
		last = max(last, o.Call)
	}
	for _, o := range ops {
		read := o.Kind == Read || o.Kind == Query
		if !takes(o) || o.Outcome == Nothing || read && o.Outcome == Unknown {
			continue
		}
		seen, wasSeen := shown[named{o.Key, o.Value}]
		if !read && o.Outcome == Unknown && !wasSeen {
			continue // it fits behind everything
		}
		for _, in := range split(o) {
			end := min(o.end(), last+1)
			if !read && !in.settles && wasSeen {
				end = max(o.Call, min(end, seen))
			}
			byKey[o.Key] = append(byKey[o.Key], porcupine.Operation{ClientId: o.Client, Input: in, Call: o.Call, Return: end})
		}
	}
	if len(byKey) == 0 {
		return fmt.Errorf("%s: the history is empty", name)
	}
	spec := porcupine.Model{
		Init: m.start,
		Step: func(state, in, _ any) (bool, any) { return m.step(state, in.(input)) },
	}
	for key, h := range byKey {
		if got := porcupine.CheckOperationsTimeout(spec, h, patience); got != porcupine.Ok {
			return &Wrong{
				text:    fmt.Sprintf("%s: the history of %s is %s:\n%s", name, key, got, tell(h, spec)),
				spec:    spec,
				history: h,
			}
		}
	}
	return nil
}

// named is one value of one key.
type named struct {
	key   string
	value int64
}

// firstShown returns when the first read that found a value was over. By then
// its write had taken effect, whatever the writer was told: a writer that never
// heard leaves less open, and the judgement is quicker.
func firstShown(ops []Op, takes func(Op) bool) map[named]int64 {
	first := map[named]int64{}
	for _, o := range ops {
		if o.Kind != Read && o.Kind != Query || o.Outcome != Done || !takes(o) {
			continue
		}
		if at, ok := first[named{o.Key, o.Value}]; !ok || o.Return < at {
			first[named{o.Key, o.Value}] = o.Return
		}
	}
	return first
}

// tell shortens a wrong history to the operations before the first that can't be explained.
func tell(h []porcupine.Operation, spec porcupine.Model) string {
	slices.SortFunc(h, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	n := 1 + sort.Search(len(h)-1, func(i int) bool {
		return porcupine.CheckOperationsTimeout(spec, slices.Clone(h[:i+1]), patience/10) == porcupine.Illegal
	})
	var b strings.Builder
	for _, o := range h[max(0, n-40):n] {
		in := o.Input.(input)
		if in.settles {
			continue
		}
		fmt.Fprintln(&b, in.Op)
	}
	return b.String()
}

// register holds one value.
type register struct {
	// mayForget: a read may find nothing at any time.
	mayForget bool
}

func (register) start() any { return int64(0) }

func (r register) step(state any, in input) (bool, any) {
	switch {
	case in.Kind == Write || in.Kind == Invalidate:
		return true, in.Value
	case in.Outcome == Miss:
		return r.mayForget, state
	}
	return state == in.Value, state
}

// spreading is a register whose writes take time to reach everybody: what has
// been everywhere, and what came to the log since, in its order. Reads may find
// any of that, or nothing.
type spreading struct{}

// spread is comparable: values, each followed by a space.
type spread struct{ values string }

func (spreading) start() any { return spread{"0 "} }

func (spreading) step(state any, in input) (bool, any) {
	s := state.(spread)
	word := fmt.Sprintf("%d ", in.Value)
	at := -1
	if strings.HasPrefix(s.values, word) {
		at = 0
	} else if i := strings.Index(s.values, " "+word); i >= 0 {
		at = i + 1
	}
	switch {
	case in.Kind == Read:
		return in.Outcome == Miss || at >= 0, s
	case !in.settles:
		return true, spread{s.values + word}
	case at >= 0:
		return true, spread{s.values[at:]}
	}
	// It is not there: a later one has been everywhere before, or this one has
	// not been in the log yet. In the first case the order in which both settle
	// does not matter, and the other order is tried too.
	return false, s
}
