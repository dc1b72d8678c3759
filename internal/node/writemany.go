package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// InvalidateMany fences what any of invs covers, in one record for each
// partition that they concern: what must die together dies at one position
// (P7). It returns as [Node.Invalidate] does.
//
// What does not fit into a record is refused as a whole, before anything is
// published: with [events.ErrTooLarge], which names the limit, or
// [events.ErrInvalid]. A broader fence (a tag, a prefix) takes the place of any
// number of keys.
func (n *Node) InvalidateMany(ctx context.Context, invs []events.Invalidate, o InvalidateOptions) (consistency.Token, error) {
	fail := func(err error) (consistency.Token, error) {
		return consistency.Token{}, &Error{Op: "invalidate", Err: err}
	}
	if len(invs) == 0 {
		return fail(fmt.Errorf("%w invalidation: of nothing", events.ErrInvalid))
	}
	records := make([][]events.Change, len(n.parts))
	for _, inv := range invs {
		if err := inv.Scope.Validate(); err != nil {
			return fail(err)
		}
		for i, part := range SplitScope(inv, len(n.parts)) {
			if part != nil {
				records[i] = append(records[i], part)
			}
		}
	}
	if err := fit(records); err != nil {
		return fail(err)
	}
	return n.eachRecord(records, func(p *partition, changes []events.Change) (consistency.Point, error) {
		if mutant.On(mutant.ManySplit) {
			for _, c := range changes[1:] {
				if at, err := p.write(ctx, "invalidate", "", o.Concern, c); err != nil {
					return at, err
				}
			}
			changes = changes[:1]
		}
		return p.write(ctx, "invalidate", "", o.Concern, changes...)
	})
}

// fit reports why the records of several partitions can't all be published: one
// that is refused when others have landed would leave a write half done. A
// single record is refused by its own publish.
func fit(records [][]events.Change) error {
	for _, changes := range records {
		if len(changes) == 0 || len(records) == 1 {
			continue
		}
		if _, err := events.NewDraft(changes...); err != nil {
			return err
		}
	}
	return nil
}

// eachRecord runs f for every partition that has a record, at once.
func (n *Node) eachRecord(records [][]events.Change, f func(*partition, []events.Change) (consistency.Point, error)) (consistency.Token, error) {
	concerned := make([]*events.Invalidate, len(records))
	for i, changes := range records {
		if len(changes) > 0 {
			concerned[i] = &events.Invalidate{}
		}
	}
	return n.each(concerned, func(p *partition, _ *events.Invalidate) (consistency.Point, error) {
		return f(p, records[p.index])
	})
}

// Item is one value of a [Node.PutMany].
type Item struct {
	Key     string
	Payload []byte
	// Options go with the value; their Concern is not looked at.
	Options PutOptions
}

// PutMany writes several values, in one record for each partition that they lie
// in: of one partition's values a reader sees all or none. Values ride inline,
// the smallest first, while there is room; the others go the way of a large
// value ([Node.Put]).
//
// Errors are those of [Node.Put]. A key that stands twice is
// [events.ErrInvalid]; keys that no record holds are [events.ErrTooLarge].
// Nothing was written then.
func (n *Node) PutMany(ctx context.Context, items []Item, concern Concern) (consistency.Token, error) {
	if len(items) == 0 {
		return consistency.Token{}, nil
	}
	parts := make([][]putting, len(n.parts))
	for _, it := range items {
		e, err := n.encode(it.Key, it.Payload, it.Options)
		if err != nil {
			return consistency.Token{}, err
		}
		p := n.of(it.Key)
		parts[p.index] = append(parts[p.index], putting{e: e, c: &events.Put{Key: it.Key, Version: it.Options.Version}})
	}
	records := make([][]events.Change, len(parts))
	for i, ps := range parts {
		ride(ps, n.cfg.Settings.InlineMax)
		for _, one := range ps {
			records[i] = append(records[i], one.c)
		}
	}
	if err := fit(records); err != nil {
		return consistency.Token{}, &Error{Op: "put", Err: err}
	}
	return n.eachRecord(records, func(p *partition, changes []events.Change) (consistency.Point, error) {
		point, err := p.write(ctx, "put", "", concern, changes...)
		ps := parts[p.index]
		together(len(ps), func(i int) { n.landedPut(ctx, p, point, ps[i].e, ps[i].c) })
		return point, err
	})
}

// putting is a value on its way into a record.
type putting struct {
	e tiers.Entry
	c *events.Put
}

// putHead is more than a Put takes in a record beside its key and its entry.
const putHead = 32

// ride lets values ride inline while their record has room.
func ride(ps []putting, most int) {
	room := events.MaxRecord - putHead
	for _, one := range ps {
		room -= putHead + len(one.c.Key)
	}
	bySize := slices.Clone(ps)
	slices.SortStableFunc(bySize, func(a, b putting) int { return cmp.Compare(len(a.e), len(b.e)) })
	for _, one := range bySize {
		if len(one.e) > most || len(one.e) > room {
			return
		}
		one.c.Entry = one.e
		room -= len(one.e)
	}
}
