package disk

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Batch gathers what one stretch of a partition's log does to the store, and
// commits it as a whole. It belongs to the goroutine that applies the
// partition, and may be used again after Commit. Positions come in the log's
// order: a later call never carries a lower one.
//
// Its methods keep none of their arguments.
type Batch struct {
	s         *Store
	partition int
	c         *commit // nil before the first change
	err       error   // of pebble's, met while gathering; Commit returns it

	// rows are the key rows that this batch has written, kept from the first
	// SoftenKey on, which alone must read before it writes. dropped: older
	// rows are gone.
	rows    map[string][]byte
	dropped bool
}

// Batch returns an empty batch for partition.
func (s *Store) Batch(partition int) *Batch {
	return &Batch{s: s, partition: partition}
}

func (b *Batch) batch() *pebble.Batch {
	if b.c == nil {
		b.c = &commit{b: b.s.db.NewBatch(), done: make(chan error, 1)}
	}
	return b.c.b
}

// put writes one row and returns its value's bytes, for the caller to fill in,
// and a function that ends it.
func (b *Batch) put(kind byte, rest string, size int) *pebble.DeferredBatchOp {
	if kind == kindKey {
		b.s.filter.add(rest)
	}
	op := b.batch().SetDeferred(nameHead+len(rest), size)
	putName(op.Key, b.partition, kind, rest)
	return op
}

func (b *Batch) finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil && b.err == nil {
		b.err = err
	}
	if b.rows != nil && op.Key[2] == kindKey {
		b.rows[string(op.Key[nameHead:])] = append([]byte(nil), op.Value...)
	}
}

// FenceKey fences key hard at p and drops its value. It does not read.
func (b *Batch) FenceKey(key string, p events.Position) {
	op := b.put(kindKey, key, headerLen)
	putHeader(op.Value, tiers.Fence{Hard: p, Soft: p})
	b.finish(op)
}

// FencePut fences key at p, a Put's position, whose value is not kept here.
func (b *Batch) FencePut(key string, p events.Position) { b.FenceKey(key, p) }

// SoftenKey fences key softly at p and keeps its value. It reads the row
// first; its error is [tiers.ErrUnavailable]. Where the row's fence can't be
// read, the key is fenced hard.
func (b *Batch) SoftenKey(key string, p events.Position) error {
	row, err := b.current(key)
	if err != nil {
		return err
	}
	var fence tiers.Fence
	var held []byte
	if row != nil {
		if fence, held, err = parseRow(row); err != nil {
			b.s.corrupt.Add(1)
			b.FenceKey(key, p)
			return nil
		}
	}
	fence.Soft = max(fence.Soft, p)
	op := b.put(kindKey, key, headerLen+len(held))
	putHeader(op.Value, fence)
	copy(op.Value[headerLen:], held)
	b.finish(op)
	return nil
}

// current returns key's row as this batch would leave it, nil if there is
// none.
func (b *Batch) current(key string) ([]byte, error) {
	if b.rows == nil {
		b.rows = make(map[string][]byte)
		if b.c != nil {
			b.index()
		}
	}
	if row, ok := b.rows[key]; ok || b.dropped {
		return row, nil
	}
	if !b.s.enter() {
		return nil, b.s.unavailable()
	}
	defer b.s.exit()
	name := append(appendName(make([]byte, 0, nameHead+len(key)), b.partition, kindKey), key...)
	v, closer, err := b.s.db.Get(name)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.s.failed("soften", err)
	}
	row := append([]byte{}, v...)
	if err := closer.Close(); err != nil {
		return nil, b.s.failed("soften", err)
	}
	return row, nil
}

// index collects the rows that the batch has written so far.
func (b *Batch) index() {
	for r := b.c.b.Reader(); ; {
		kind, name, value, ok, err := r.Next()
		if !ok || err != nil {
			if err != nil && b.err == nil {
				b.err = err
			}
			return
		}
		switch {
		case kind == pebble.InternalKeyKindRangeDelete:
			clear(b.rows)
		case kind == pebble.InternalKeyKindSet && name[2] == kindKey:
			b.rows[string(name[nameHead:])] = append([]byte(nil), value...)
		}
	}
}

// PutEntry applies a Put: key fenced at e's birth, with e as its value. An
// entry larger than [Config].MaxEntry leaves its fence.
func (b *Batch) PutEntry(e tiers.Entry) {
	if len(e) > b.s.cfg.MaxEntry {
		b.s.tooLarge.Add(1)
		b.FenceKey(e.Key(), e.Birth())
		return
	}
	op := b.put(kindKey, e.Key(), headerLen+len(e))
	putHeader(op.Value, tiers.Fence{Hard: e.Birth(), Soft: e.Birth()})
	copy(op.Value[headerLen:], e)
	b.finish(op)
}

// SetVersion keeps the row version of key's latest Put; see [Store.Version].
// It lies in a row of its own, so that fences need not read.
func (b *Batch) SetVersion(key string, v uint64) {
	op := b.put(kindVersion, key, 12)
	copy(op.Value, appendSealed(op.Value[:0], binary.LittleEndian.AppendUint64(nil, v)))
	b.finish(op)
}

// FenceBroad keeps the fence of a tag, a prefix, a glob or all, as the caller
// names the kinds; [Store.Broad] yields them at the start.
func (b *Batch) FenceBroad(kind byte, name string, f tiers.Fence) {
	op := b.put(kindBroad, string(kind)+name, headerLen)
	putHeader(op.Value, f)
	b.finish(op)
}

// DropBroad forgets a broad fence that was pruned.
func (b *Batch) DropBroad(kind byte, name string) {
	row := append(append(appendName(nil, b.partition, kindBroad), kind), name...)
	if err := b.batch().Delete(row, nil); err != nil && b.err == nil {
		b.err = err
	}
}

// DropValues drops all that is known of the partition's keys (values, fences,
// row versions) and its broad fences, as after a gap or a change of epoch.
// Meta stays. What the batch writes afterwards stays, too.
func (b *Batch) DropValues() {
	from := appendName(nil, b.partition, kindBroad)
	to := appendName(nil, b.partition, kindEnd)
	if err := b.batch().DeleteRange(from, to, nil); err != nil && b.err == nil {
		b.err = err
	}
	clear(b.rows)
	b.dropped = true
}

// SetMeta keeps a blob under name, for [Store.Meta]: the checkpoint, which
// must be as old or as new as the rows beside it.
func (b *Batch) SetMeta(name string, blob []byte) {
	op := b.put(kindMeta, name, 4+len(blob))
	copy(op.Value, appendSealed(op.Value[:0], blob))
	b.finish(op)
}

// Commit writes the batch as a whole, and empties it. Its effect is visible
// when it returns; it survives the end of the process soon, a power loss after
// [Store.Sync]. Its error is [tiers.ErrUnavailable]; nothing was written then,
// or the store is dead.
func (b *Batch) Commit() error {
	if b.c == nil || b.c.b.Empty() {
		return nil
	}
	if b.err != nil {
		return b.s.failed("gather a batch", b.err)
	}
	defer func() { b.rows, b.dropped = nil, false }()
	if err := b.s.submit(b.c); err != nil {
		b.c = nil // the writer may still be at it
		return err
	}
	b.c.b.Reset()
	return nil
}

// commit is a batch on its way through the writer.
type commit struct {
	b    *pebble.Batch
	done chan error
}

func (c *commit) answer() chan error { return c.done }

func (c *commit) do(s *Store) error {
	if err := s.db.Apply(c.b, pebble.NoSync); err != nil {
		return s.failed("commit", err)
	}
	return nil
}
