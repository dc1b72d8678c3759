package node

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// metaState is the disk's name for the encoded World of a partition.
const metaState = "world"

// sink applies a batch of deliveries: first everything that kills copies, in
// memory and on disk, then the positions that readers trust.
func (p *partition) sink(batch []events.Delivery) error {
	if p.pulses.onTheWay() {
		// Its acknowledgement is what a strong read waits for, and comes with
		// its delivery: whoever waits for the one goes before the other.
		runtime.Gosched()
	}
	steps := p.n.steps.Get().(*[]coherence.Step)
	defer func() {
		clear(*steps)
		*steps = (*steps)[:0]
		p.n.steps.Put(steps)
	}()
	for _, d := range batch {
		r, err := events.DecodeRecord(d.Data)
		if err != nil {
			p.n.stats.undecodable.Add(1)
			p.n.logger.Warn("record can't be decoded; everything before it is fenced",
				"partition", p.index, "position", d.Position, "error", err)
		}
		*steps = append(*steps, coherence.Step{Mark: d.Mark, Record: r, Err: err})
	}
	if mutant.On(mutant.AppliedBeforeApply) {
		p.applied.Store(uint64(batch[len(batch)-1].Position))
		p.waiters.wake()
	}
	pulsed := p.apply(*steps)
	if p.n.audit.every != 0 {
		p.n.audit.seen[p.index].note(*steps)
	}
	p.applied.Store(uint64(batch[len(batch)-1].Position))
	p.n.stats.applied.Add(uint64(len(batch)))
	var err error
	if pulsed != nil {
		err = p.pulseApplied(*pulsed)
	}
	p.waiters.wake() // once, and behind what they wait for
	p.confirmWanted(*steps)
	p.takeDisk()
	if p.n.cfg.OnApply != nil {
		for _, s := range *steps {
			p.n.cfg.OnApply(p.index, s.Mark, s.Record.Changes)
		}
	}
	return err
}

// ownPulse is a pulse of this incarnation, applied.
type ownPulse struct {
	number   uint64
	position events.Position
}

func (p *partition) apply(steps []coherence.Step) (own *ownPulse) {
	p.mu.Lock()
	if p.blind.Load() {
		p.batch = nil // a reader found the disk lost
	}
	for _, s := range steps {
		e := p.world.Apply(s)
		p.act(s.Mark, e)
		if s.Mark.ID.Publisher == p.n.incarnation {
			p.own.note(s.Mark.ID.Counter, consistency.Point{Epoch: p.world.Epoch(), Position: s.Mark.Position})
			if mutant.On(mutant.AnyRecordIsPulse) {
				p.fresh.Store(p.n.clock.Now().Holder)
			}
		}
		for _, c := range e.Pulses {
			if c.Incarnation == p.n.incarnation {
				own = &ownPulse{number: c.Number, position: s.Mark.Position}
			} else {
				p.pulses.seen(c.Incarnation, p.n.clock.Waiter())
			}
		}
	}
	p.prune()
	p.mirror()
	if p.batch != nil {
		p.meta = p.world.AppendState(p.meta[:0])
		p.batch.SetMeta(metaState, p.meta)
	}
	p.mu.Unlock()
	if p.batch != nil {
		if err := p.batch.Commit(); err != nil {
			p.loseDisk(err)
		}
		clear(p.versions)
	}
	return own
}

// act carries out the effects of one record on L1 and on the disk's batch.
func (p *partition) act(m events.Mark, e *coherence.Effects) {
	if e.Void {
		p.dropAll()
		p.guardSince.Store(uint64(m.Position))
		if !mutant.On(mutant.NoWaitAfterEpoch) {
			p.strangersUntil.Store(p.n.clock.Waiter() + int64(p.n.cfg.Settings.LeaseWait()))
		}
		p.n.stats.epochs.Add(1)
	}
	for _, f := range e.Fences {
		p.n.stats.keyFences.Add(1)
		if f.Hardness == coherence.Soft && mutant.On(mutant.SoftKeyIgnored) {
			continue
		}
		if f.Hardness == coherence.Soft {
			p.n.memory.Soften(f.Key, m.Position)
			if p.batch != nil {
				if err := p.batch.SoftenKey(f.Key, m.Position); err != nil {
					p.loseDisk(err)
					p.batch = nil
				}
			}
			continue
		}
		p.n.memory.Fence(f.Key, m.Position)
		if p.batch != nil && !mutant.On(mutant.KeyFencesNotKept) {
			p.batch.FenceKey(f.Key, m.Position)
		}
	}
	for _, c := range e.Puts {
		p.put(m, c)
	}
	for _, f := range e.Broad {
		p.n.stats.broadFences.Add(1)
		if p.batch == nil {
			continue
		}
		if f.Fence == (coherence.Fence{}) {
			p.batch.DropBroad(f.Kind, f.Name)
		} else {
			p.batch.FenceBroad(f)
		}
	}
}

// put applies a Put: a fence of its key, and, if the entry rode inline and is
// whole, a copy born here.
func (p *partition) put(m events.Mark, c *events.Put) {
	if c.Version.Known && !mutant.On(mutant.VersionIgnored) && p.loses(c) {
		p.n.stats.outrun.Add(1)
		return
	}
	e := p.inline(m, c)
	if e == nil && mutant.On(mutant.FenceOnlyPutIgnored) {
		return
	}
	old, held := p.n.memory.Lookup(c.Key, p.scratch)
	if held {
		p.scratch = old[:0]
	}
	if e != nil && (held || m.ID.Publisher == p.n.incarnation) {
		if err := p.n.memory.Replace(e); err != nil && !errors.Is(err, tiers.ErrTooLarge) {
			p.n.memory.Fence(c.Key, m.Position)
		}
	} else {
		p.n.memory.Fence(c.Key, m.Position)
	}
	if p.batch == nil {
		return
	}
	if e != nil {
		p.batch.PutEntry(e)
	} else {
		p.batch.FencePut(c.Key, m.Position)
	}
}

// loses reports whether a Put of a higher row version was applied before, and
// remembers c's version if not. A node that lost its disk has forgotten the
// versions: it takes every Put for a winner's fence and keeps no value of it.
func (p *partition) loses(c *events.Put) bool {
	if p.batch == nil {
		return false
	}
	v, known, err := p.n.disk.Version(c.Key)
	if err != nil {
		p.loseDisk(err)
		p.batch = nil
		return false
	}
	if pending, ok := p.versions[c.Key]; ok {
		v, known = pending, true
	}
	if known && v > c.Version.N {
		return true
	}
	p.versions[c.Key] = c.Version.N
	p.batch.SetVersion(c.Key, c.Version.N)
	return false
}

// inline returns the Put's entry, stamped with its birth; nil if it did not
// ride inline, is damaged, or must not be kept.
func (p *partition) inline(m events.Mark, c *events.Put) tiers.Entry {
	if len(c.Entry) == 0 || (c.Version.Known && p.batch == nil) {
		return nil
	}
	e, err := tiers.Parse(c.Entry)
	if err == nil && e.Key() != c.Key && !mutant.On(mutant.ForeignEntryTaken) {
		err = fmt.Errorf("%w: entry of key %q in a put of %q", tiers.ErrCorrupt, e.Key(), c.Key)
	}
	if err != nil {
		p.n.stats.corrupt.Add(1)
		p.n.logger.Warn("put carries a damaged entry; it counts as a fence", "key", c.Key, "position", m.Position, "error", err)
		return nil
	}
	own := append(tiers.Entry(nil), e...) // the record's bytes are not ours to change
	own.Stamp(p.world.Epoch(), m.Position)
	return own
}

// dropAll voids every copy and every fence of a single key.
func (p *partition) dropAll() {
	p.n.memory.Reset(p.index)
	if p.batch != nil {
		p.batch.DropValues()
	}
}

// loseDisk goes on without the disk: guard slots, which saw every fence since
// this start, take its place, and what was born before is dead. Any goroutine
// may find the disk lost.
func (p *partition) loseDisk(err error) {
	if p.blind.Swap(true) {
		return
	}
	p.n.stats.disksLost.Add(1)
	if p.n.drives != nil {
		p.n.drives.note()
	}
	p.n.logger.Error("disk tier is lost; the node goes on without it", "partition", p.index, "error", err)
}
