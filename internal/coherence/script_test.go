package coherence_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// TestScripts runs the scripts under testdata/scripts. Each is named after what it
// proves and tells a history in a few commands; -rewrite writes down what the
// machine says today, to be read in the diff.
//
// A command concerns the world that its first argument names; a world that is
// new has applied nothing.
//
//	apply a [as=<n>] [from=<position>]
//	<a record a line, its changes parted by ';'>
//	    put <key> [version=<n>]
//	    invalidate [key=|tag=|prefix=|glob=<name>]... [all] [soft]
//	    intent <bracket> [key=...]...    end <bracket>
//	    epoch <n>    garbage
//	    pulse <node> [of=<world>] [epoch= applied= digest=none|other] [leave]
//	  as makes the records those of another publisher, and so another history;
//	  from starts a new world there. A pulse says what the world `of` (default:
//	  the one that applies) knows.
//	judge a
//	<key> <birth> [epoch=<n>] [tag=<name>]...
//	bypass a
//	<key> [tag=<name>]...
//	world a        what it knows
//	left a         whether it has left an epoch
//	<epoch>
//	prune a <p>    restart a    successor a
//
// restart encodes the world, restores it with the fences that a disk would
// have kept, and proves that nothing changed.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{t: t, nodes: map[string]*keeper{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if len(d.CmdArgs) == 0 {
				d.Fatalf(t, "no world named")
			}
			return s.run(d)
		})
	})
}

type script struct {
	t     *testing.T
	nodes map[string]*keeper
	// epochs are the names that epochs were opened under, by what they are.
	epochs map[events.Epoch]string
}

// keeper is a world and what a node keeps durably beside it.
type keeper struct {
	*coherence.World
	keys  map[string]coherence.Fence
	broad map[string]coherence.BroadFence
}

func newKeeper() *keeper {
	return &keeper{World: coherence.New(), keys: map[string]coherence.Fence{}, broad: map[string]coherence.BroadFence{}}
}

// keep does to the durable fences what a node's disk does.
func (k *keeper) keep(p events.Position, e *coherence.Effects) {
	if e.Void {
		clear(k.keys)
		clear(k.broad)
	}
	for _, f := range e.Fences {
		k.raise(f.Key, p, f.Hardness)
	}
	for _, c := range e.Puts {
		k.raise(c.Key, p, coherence.Hard)
	}
	for _, f := range e.Broad {
		k.keepBroad(f)
	}
}

func (k *keeper) raise(key string, p events.Position, h coherence.Hardness) {
	f := coherence.Fence{Hard: p}
	if h == coherence.Soft {
		f = coherence.Fence{Soft: p}
	}
	k.keys[key] = k.keys[key].Join(f)
}

func (k *keeper) keepBroad(f coherence.BroadFence) {
	name := string(byte(f.Kind)) + f.Name
	if f.Fence == (coherence.Fence{}) {
		delete(k.broad, name)
	} else {
		k.broad[name] = f
	}
}

// restored is the world of a node that starts with what this one has kept.
func (k *keeper) restored() (*keeper, error) {
	w, err := coherence.Restore(k.AppendState(nil), maps.Values(k.broad))
	return &keeper{World: w, keys: maps.Clone(k.keys), broad: maps.Clone(k.broad)}, err
}

func (s *script) run(d *datadriven.TestData) string {
	name := d.CmdArgs[0].Key
	k := s.nodes[name]
	if k == nil {
		k = newKeeper()
		s.nodes[name] = k
	}
	switch d.Cmd {
	case "apply":
		return s.apply(d, k)
	case "judge":
		return s.judge(d, k)
	case "bypass":
		return eachLine(d.Input, func(words []string) string {
			_, tags := options(words[1:])
			return fmt.Sprint(k.Bypass(words[0], slices.Values(tags)))
		})
	case "world":
		return s.describe(k)
	case "left":
		return eachLine(d.Input, func(words []string) string {
			e, err := s.epoch(words[0])
			if err != nil {
				d.Fatalf(s.t, "%v", err)
			}
			return fmt.Sprint(k.WasEpoch(e))
		})
	case "behind":
		return fmt.Sprint(k.Behind())
	case "prune":
		p, err := strconv.ParseUint(d.CmdArgs[1].Key, 10, 64)
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		var out []string
		for _, f := range k.Prune(events.Position(p)) {
			k.keepBroad(f)
			out = append(out, fmt.Sprintf("forgot %v %q\n", f.Kind, f.Name))
		}
		slices.Sort(out)
		return strings.Join(out, "")
	case "restart":
		back, err := k.restored()
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		if before, after := s.describe(k), s.describe(back); before != after {
			return "RESTART CHANGED THE WORLD\nbefore:\n" + before + "after:\n" + after
		}
		s.nodes[name] = back
		return ""
	case "successor":
		next := newKeeper()
		var later []events.Epoch
		for _, a := range d.CmdArgs[1:] {
			e, err := s.epoch(a.Vals[0])
			if err != nil {
				d.Fatalf(s.t, "%v", err)
			}
			later = append(later, e)
		}
		next.World = coherence.Successor(k.World, later...)
		s.nodes[name] = next
		return ""
	}
	d.Fatalf(s.t, "unknown command %s", d.Cmd)
	return ""
}

func (s *script) apply(d *datadriven.TestData, k *keeper) string {
	publisher, p := 1, k.Applied()+1
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "as":
			a.Scan(s.t, 0, &publisher)
		case "from":
			a.Scan(s.t, 0, (*uint64)(&p))
		}
	}
	return eachLine(d.Input, func(words []string) string {
		step := s.step(d, k, p, publisher, strings.Join(words, " "))
		e := k.Apply(step)
		k.keep(p, e)
		out := fmt.Sprintf("%d:%s", p, s.effects(e))
		p++
		return out
	})
}

// step is the record at p that the script's line tells.
func (s *script) step(d *datadriven.TestData, k *keeper, p events.Position, publisher int, line string) coherence.Step {
	id := events.ID{Counter: uint64(p)}
	id.Publisher[0] = byte(publisher)
	step := coherence.Step{Mark: events.Mark{Position: p, ID: id, Time: int64(publisher)}}
	for part := range strings.SplitSeq(line, ";") {
		words := strings.Fields(part)
		if words[0] == "garbage" {
			step.Err = errors.New("garbage")
			continue
		}
		c, err := s.change(k, words)
		if err != nil {
			d.Fatalf(s.t, "%s: %v", part, err)
		}
		step.Record.Changes = append(step.Record.Changes, c)
	}
	return step
}

func (s *script) change(k *keeper, words []string) (events.Change, error) {
	arg := func() string {
		if len(words) > 1 {
			return words[1]
		}
		return ""
	}
	switch words[0] {
	case "put":
		return &events.Put{Key: arg()}, nil
	case "invalidate":
		c := &events.Invalidate{Scope: scope(words[1:]), Soft: slices.Contains(words, "soft")}
		return c, c.Scope.Validate()
	case "intent":
		c := &events.Intent{Bracket: bracket(arg()), Scope: scope(words[2:]), Deadline: time.UnixMilli(1000)}
		return c, c.Scope.Validate()
	case "end":
		return &events.End{Bracket: bracket(arg())}, nil
	case "epoch":
		n, err := strconv.ParseUint(arg(), 10, 64)
		return &events.EpochChange{Epoch: events.Epoch(n)}, err
	case "pulse":
		return s.pulse(k, words[1:])
	}
	return nil, fmt.Errorf("unknown change %s", words[0])
}

func (s *script) pulse(k *keeper, words []string) (events.Change, error) {
	given, _ := options(words[1:])
	of := k
	if name := given["of"]; name != "" {
		if of = s.nodes[name]; of == nil {
			return nil, fmt.Errorf("no world %s", name)
		}
	}
	c := &events.Pulse{Node: events.NodeID(words[0]), Epoch: of.Epoch(), Applied: of.Applied(), Leave: slices.Contains(words, "leave")}
	copy(c.Incarnation[:], words[0])
	if d, whole := of.Digest(); whole {
		c.Digest = d
		c.Before, _ = of.DigestAt(c.Applied - 1)
	}
	if v := given["applied"]; v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return nil, err
		}
		c.Applied = events.Position(n)
		c.Digest, _ = of.DigestAt(c.Applied)
		c.Before, _ = of.DigestAt(c.Applied - 1)
	}
	if v := given["epoch"]; v != "" {
		e, err := s.epoch(v)
		if err != nil {
			return nil, err
		}
		c.Epoch = e
	}
	if slices.Contains(words, "shares") { // the sender applied what publisher 1 put at applied
		c.Before = events.Digest{0xbb}
		c.Digest = c.Before.Next(events.ID{Publisher: events.Incarnation{1}, Counter: uint64(c.Applied)})
	}
	switch given["digest"] {
	case "none":
		c.Digest = events.Digest{}
	case "other":
		c.Digest = events.Digest{0xff}
	}
	return c, nil
}

func (s *script) judge(d *datadriven.TestData, k *keeper) string {
	return eachLine(d.Input, func(words []string) string {
		birth, err := strconv.ParseUint(words[1], 10, 64)
		if err != nil {
			d.Fatalf(s.t, "%v", err)
		}
		given, tags := options(words[2:])
		c := coherence.Copy{Key: words[0], Epoch: k.Epoch(), Birth: events.Position(birth), Tags: slices.Values(tags)}
		if v := given["epoch"]; v != "" {
			if c.Epoch, err = s.epoch(v); err != nil {
				d.Fatalf(s.t, "%v", err)
			}
		}
		life, why := k.Explain(c, k.keys[c.Key])
		if judged := k.Judge(c, k.keys[c.Key]); judged != life {
			d.Fatalf(s.t, "judged %v and explained %v", judged, life)
		}
		if life == coherence.Alive {
			return "alive"
		}
		return fmt.Sprintf("%v: %v", life, why)
	})
}

// describe says what a world knows, in an order that stays.
func (s *script) describe(k *keeper) string {
	var b strings.Builder
	_, whole := k.Digest()
	fmt.Fprintf(&b, "epoch %s applied %d horizon %d", s.name(k.Epoch()), k.Applied(), k.Horizon())
	if !whole {
		b.WriteString(" unanchored")
	}
	if err := k.Diverged(); err != nil {
		b.WriteString(" diverged")
	}
	b.WriteString("\n")
	var lines []string
	for m := range k.Members() {
		lines = append(lines, fmt.Sprintf("member %s first %d last %d applied %d", m.Node, m.First, m.Pulse, m.Applied))
	}
	for x := range k.Brackets() {
		lines = append(lines, fmt.Sprintf("bracket %s since %d:%s", strings.TrimRight(string(x.ID[:]), "\x00"), x.Since, scopeText(x.Scope)))
	}
	for _, f := range k.broad {
		lines = append(lines, fmt.Sprintf("fence %v %q hard %d soft %d", f.Kind, f.Name, f.Fence.Hard, f.Fence.Soft))
	}
	slices.Sort(lines)
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	return b.String()
}
