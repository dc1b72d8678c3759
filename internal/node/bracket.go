package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// endTimeout bounds the publish of a bracket's end. What it does not reach the
// log within goes on in the background.
const endTimeout = 10 * time.Second

// Bracketed runs fn, which commits a change in the origin, such that readers
// and the origin agree at every instant: before fn starts, every copy that
// scope covers is dead on every node, and until it has ended reads of covered
// keys go to the origin, past the cache.
//
// A scope of tags covers what carries them now; a load learns of its tags when
// it ends, and is then not kept. To make covered reads go to the origin at
// once, name keys or prefixes.
//
// If fn returns an error the bracket ends all the same, with a fence: fn may
// have committed. Only an error that wraps [ErrUnsettled] leaves it open: the
// commit may still happen. If this process dies inside, the bracket stays open, which is
// safe and slow, until somebody who has made the commit impossible resolves it
// ([Node.EndBracket]). timeout is when that may begin.
//
// The returned token stands behind the end. An [events.ErrIndeterminate] about
// the end means that the bracket may stay open for a while; fn has run.
func (n *Node) Bracketed(ctx context.Context, scope events.Scope, timeout time.Duration, fn func(context.Context, events.BracketID) error) (consistency.Token, error) {
	return n.BracketedBy(ctx, scope, BracketOptions{Timeout: timeout}, fn)
}

// BracketOptions go with a bracketed write.
type BracketOptions struct {
	// Timeout is when others may begin to resolve the bracket.
	Timeout time.Duration
	// Decider names what decides whether the writer can still commit, for those
	// who resolve the bracket: a marker table. Empty: nothing does.
	Decider string
}

// BracketedBy is [Node.Bracketed] with options.
func (n *Node) BracketedBy(ctx context.Context, scope events.Scope, o BracketOptions, fn func(context.Context, events.BracketID) error) (consistency.Token, error) {
	var id events.BracketID
	if _, err := io.ReadFull(n.deps.Random, id[:]); err != nil {
		return consistency.Token{}, &Error{Op: "bracket", Err: err}
	}
	if err := scope.Validate(); err != nil {
		return consistency.Token{}, &Error{Op: "bracket", Err: err}
	}
	deadline := time.UnixMilli(n.clock.Now().Unix).Add(o.Timeout)
	parts := SplitScope(events.Invalidate{Scope: scope}, len(n.parts))
	opened := make([]bool, len(parts))
	concern := Everywhere
	if mutant.On(mutant.BracketWithoutEverywhere) {
		concern = Logged
	}
	_, err := n.each(parts, func(p *partition, c *events.Invalidate) (consistency.Point, error) {
		at, err := p.write(ctx, "open bracket", "", concern, &events.Intent{
			Bracket: id, Scope: c.Scope, Deadline: deadline, Writer: n.cfg.Node, Decider: o.Decider,
		})
		// One that may have landed has to be ended too.
		opened[p.index] = err == nil || at.Position != 0 || errors.Is(err, events.ErrIndeterminate)
		return at, err
	})
	if err == nil {
		if err = fn(ctx, id); err != nil {
			err = fmt.Errorf("bracketed write: %w", err)
		}
		if errors.Is(err, ErrUnsettled) && !mutant.On(mutant.UnsettledEnds) {
			return consistency.Token{}, &Error{Op: "bracket", Err: err,
				Hint: fmt.Sprintf("bracket %x stays open until its commit is known or impossible; reads of what it covers go to the origin", id[:])}
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	t, endErr := n.each(parts, func(p *partition, c *events.Invalidate) (consistency.Point, error) {
		if !opened[p.index] {
			return consistency.Point{}, nil
		}
		return p.write(ending, "end bracket", "", Logged, &events.End{Bracket: id, Scope: c.Scope})
	})
	return t, errors.Join(err, endErr)
}

// each runs f for every partition that parts concerns, at once, and joins what
// they return.
func (n *Node) each(parts []*events.Invalidate, f func(*partition, *events.Invalidate) (consistency.Point, error)) (consistency.Token, error) {
	if len(parts) == 1 {
		point, err := f(n.parts[0], parts[0])
		return consistency.Token{}.With(0, point), err
	}
	type result struct {
		index int
		point consistency.Point
		err   error
	}
	results := make(chan result, len(parts))
	running := 0
	var t consistency.Token
	var errs []error
	for i, c := range parts {
		if c == nil {
			continue
		}
		if !n.crew.Go(func() {
			point, err := f(n.parts[i], c)
			results <- result{i, point, err}
		}) {
			errs = append(errs, &events.PublishError{Outcome: events.ErrNotLanded, Cause: ErrNotServing})
			continue
		}
		running++
	}
	for range running {
		r := <-results
		t = t.With(r.index, r.point)
		errs = append(errs, r.err)
	}
	return t, errors.Join(errs...)
}

// EndBracket ends a bracket in every partition in which it is open. Whoever
// calls it must have made sure that its writer can't commit any more: a
// bracket that ends too early leaves a stale copy until the next fence.
func (n *Node) EndBracket(ctx context.Context, id events.BracketID) (consistency.Token, error) {
	parts := make([]*events.Invalidate, len(n.parts))
	found := false
	for _, b := range n.Brackets() {
		if b.ID == id {
			parts[b.Partition] = &events.Invalidate{Scope: b.Scope}
			found = true
		}
	}
	if !found {
		return consistency.Token{}, &Error{Op: "end bracket", Err: ErrNotFound, Hint: "it has ended already, or was never opened"}
	}
	return n.each(parts, func(p *partition, c *events.Invalidate) (consistency.Point, error) {
		return p.write(ctx, "end bracket", "", Logged, &events.End{Bracket: id, Scope: c.Scope})
	})
}

// OpenBracket is a bracket that is open in a partition.
type OpenBracket struct {
	coherence.Bracket
	Partition int
	// Age is how long it has been open, by the log's clock and this node's.
	Age time.Duration
	// Overdue: its deadline has passed; its writer has probably died.
	Overdue bool
}

// Brackets returns what is open now.
func (n *Node) Brackets() []OpenBracket {
	now := n.clock.Now().Unix
	var out []OpenBracket
	for _, p := range n.parts {
		p.mu.RLock()
		for b := range p.world.Brackets() {
			age := time.Duration(now)*time.Millisecond - time.Duration(b.Opened)
			out = append(out, OpenBracket{Bracket: b, Partition: p.index, Age: max(age, 0), Overdue: b.Deadline <= now})
		}
		p.mu.RUnlock()
	}
	return out
}

// keepBracketsLogged publishes again the intents of open brackets whose record
// has come half way to the end of retention (H10).
func (p *partition) keepBracketsLogged(ctx context.Context) {
	if p.bypassing.Load() == 0 || mutant.On(mutant.BracketsNotRepublished) {
		return
	}
	var again []*events.Intent
	p.mu.RLock()
	latest := p.world.Mark().Time
	for b := range p.world.Brackets() {
		if time.Duration(latest-b.Logged) > p.n.cfg.Settings.Retention()/2 {
			again = append(again, &events.Intent{Bracket: b.ID, Scope: b.Scope, Deadline: time.UnixMilli(b.Deadline), Writer: b.Writer, Decider: b.Decider})
		}
	}
	p.mu.RUnlock()
	for _, c := range again {
		if _, _, err := p.out.Append(ctx, c); err != nil {
			p.n.logger.Warn("open bracket was not published again; the next pulse tries anew", "partition", p.index, "error", err)
		}
	}
}
