package disk

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Batch gathers what one stretch of a partition's log does to the store, and
// commits it as a whole. It belongs to the goroutine that applies the
// partition, and may be used again after Commit. Positions come in the log's
// order: a later call never carries a lower one.
//
// Its methods keep none of their arguments, but for PutEntry's.
type Batch struct {
	s         *Store
	partition int
	c         *commit // nil before the first change
	err       error   // of pebble's, met while gathering; Commit returns it
	// spare are commits that were written, to be used again.
	spare chan *commit
}

// spareCommits is how many commits that were written are kept for reuse.
const spareCommits = 4

// Batch returns an empty batch for partition.
func (s *Store) Batch(partition int) *Batch {
	return &Batch{s: s, partition: partition, spare: make(chan *commit, spareCommits)}
}

// next returns the commit that gathers.
func (b *Batch) next() *commit {
	if b.c == nil {
		select {
		case b.c = <-b.spare:
		default:
			b.c = newCommit(b)
		}
	}
	return b.c
}

// put writes one row and returns its value's bytes, for the caller to fill in,
// and a function that ends it.
func (b *Batch) put(kind byte, rest string, size int) *pebble.DeferredBatchOp {
	op := b.next().b.SetDeferred(nameHead+len(rest), size)
	putName(op.Key, b.partition, kind, rest)
	return op
}

func (b *Batch) finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil && b.err == nil {
		b.err = err
	}
}

// putRow writes the row of key.
func (b *Batch) putRow(key string, row change) {
	b.next().add(rowChange{key, row})
}

// FenceKey fences key hard at p and drops its value. It does not read.
func (b *Batch) FenceKey(key string, p events.Position) {
	b.putRow(key, change{fence: tiers.Fence{Hard: p, Soft: p}})
}

// FencePut fences key at p, a Put's position, whose value is not kept here.
func (b *Batch) FencePut(key string, p events.Position) { b.FenceKey(key, p) }

// SoftenKey fences key softly at p and keeps its value. It reads the row
// first; its error is [tiers.ErrUnavailable]. Where the row's fence can't be
// read, the key is fenced hard.
func (b *Batch) SoftenKey(key string, p events.Position) error {
	row, err := b.current(key)
	if errors.Is(err, ErrCorruptRow) {
		b.FenceKey(key, p)
		return nil
	}
	if err != nil {
		return err
	}
	row.fence.Soft = max(row.fence.Soft, p)
	b.putRow(key, row)
	return nil
}

// current returns key's row as this batch would leave it, the zero change if
// there is none.
func (b *Batch) current(key string) (row change, err error) {
	if b.c != nil {
		if row, ok := b.c.row(key); ok {
			return row, nil
		}
	}
	if !b.s.enter() {
		return change{}, b.s.unavailable()
	}
	defer b.s.exit()
	// Its bytes may be used again by the next commit.
	if b.s.pending.row(b.partition, key, func(c change) { row = change{c.fence, slices.Clone(c.held)} }) {
		return row, nil
	}
	name := append(appendName(make([]byte, 0, nameHead+len(key)), b.partition, kindKey), key...)
	fence, held, err := b.s.row(name)
	row = change{fence: fence}
	if err == nil && len(held) > 0 {
		if row.held, err = b.s.value(nil, held, key, fence); err != nil {
			b.s.corrupt.Add(1)
			return change{fence: fence}, nil
		}
	}
	return row, err
}

// PutEntry applies a Put: key fenced at e's birth, with e as its value, which
// must not change any more. An entry larger than [Config].MaxEntry leaves its
// fence.
func (b *Batch) PutEntry(e tiers.Entry) {
	row := change{fence: tiers.Fence{Hard: e.Birth(), Soft: e.Birth()}, held: e}
	if len(e) > b.s.cfg.MaxEntry {
		b.s.tooLarge.Add(1)
		row.held = nil
	}
	b.putRow(e.Key(), row)
}

// SetVersion keeps the row version of key's latest Put; see [Store.Version].
// It lies in a row of its own, so that fences need not read.
func (b *Batch) SetVersion(key string, v uint64) {
	op := b.put(kindVersion, key, 12)
	copy(op.Value, appendSealed(op.Value[:0], binary.LittleEndian.AppendUint64(nil, v)))
	b.finish(op)
	b.c.versions[key] = v
}

// FenceBroad keeps the fence of a tag, a prefix, a glob or all, as the caller
// names the kinds; [Store.Broad] yields them at the start.
func (b *Batch) FenceBroad(kind byte, name string, f tiers.Fence) {
	row := b.broadName(kind, name)
	if err := b.next().b.Set(row, appendFence(nil, row, f), nil); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *Batch) broadName(kind byte, name string) []byte {
	return append(append(appendName(nil, b.partition, kindBroad), kind), name...)
}

// DropBroad forgets a broad fence that was pruned.
func (b *Batch) DropBroad(kind byte, name string) {
	if err := b.next().b.Delete(b.broadName(kind, name), nil); err != nil && b.err == nil {
		b.err = err
	}
}

// DropValues drops all that is known of the partition's keys (values, fences,
// row versions) and its broad fences, as after a gap or a change of epoch.
// Meta stays. What the batch writes afterwards stays, too.
func (b *Batch) DropValues() {
	from := appendName(nil, b.partition, kindBroad)
	to := appendName(nil, b.partition, kindEnd)
	if err := b.next().b.DeleteRange(from, to, nil); err != nil && b.err == nil {
		b.err = err
	}
	b.c.drop()
}

// SetMeta keeps a blob under name, for [Store.Meta]: the checkpoint, which
// must be as old or as new as the rows beside it.
func (b *Batch) SetMeta(name string, blob []byte) {
	op := b.put(kindMeta, name, 4+len(blob))
	copy(op.Value, appendSealed(op.Value[:0], blob))
	b.finish(op)
}

// Commit hands the batch to the writer as a whole, and empties it. Its effect
// is visible when Commit returns, be pebble ever so slow; it survives the end
// of the process soon, a power loss after [Store.Sync]. What is committed later
// never survives what was committed earlier.
//
// Its error is [tiers.ErrUnavailable]: the store is dead, or closed. Commit
// waits for pebble only where [pendingMax] others do that have no room for it,
// and no longer than the store lives.
func (b *Batch) Commit() error {
	if b.c == nil || b.c.b.Empty() && len(b.c.rows) == 0 && b.c.forgotten == 0 {
		return nil
	}
	if b.err != nil {
		return b.s.failed("gather a batch", b.err)
	}
	c := b.c
	b.c = nil
	if !b.s.enter() {
		return b.s.unavailable()
	}
	defer b.s.exit()
	// Here rather than one by one: the filter's lines come from main memory, and
	// so some of them at once.
	for i := range c.rows {
		b.s.filter.add(c.rows[i].key)
	}
	switch joined, err := b.s.pending.join(c, b.s.gathering.bytes); {
	case err != nil:
		return b.s.failed("join a batch", err)
	case joined:
		b.s.gathering.look()
		c.recycle()
		return nil
	}
	b.s.pending.add(c)
	b.s.gathering.look()
	select {
	case b.s.jobs <- c:
		return nil
	case <-b.s.death.dead:
		return b.s.unavailable()
	}
}
