package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Read calls fn with the rows of an image and its bases, in order, until fn
// returns an error, which it returns. Nil means that all of it was there, whole
// and as it was written; before that, rows prove nothing, since a later block
// may be damaged. A row's Held is valid during the call.
//
// Errors: [ErrTorn], [ErrCorrupt], [ErrSealed], [ErrNoBase], [ErrFuture], fn's,
// the store's.
func (c *Catalogue) Read(ctx context.Context, m Manifest, fn func(Row) error) error {
	rows := uint64(0)
	for r, err := range c.rows(ctx, m) {
		if err != nil {
			return fmt.Errorf("read snapshot %s: %w", m.ID, err)
		}
		rows++
		if err := fn(r); err != nil {
			return err
		}
	}
	if rows != m.Rows {
		return fmt.Errorf("read snapshot %s: %w: %d rows, its manifest says %d", m.ID, ErrCorrupt, rows, m.Rows)
	}
	return nil
}

// Verify reads an image for nothing but to see that it can be read.
func (c *Catalogue) Verify(ctx context.Context, m Manifest) error {
	return c.Read(ctx, m, func(Row) error { return nil })
}

// rows yields the rows of an image, merged with its bases', and ends with an
// error where there is one.
func (c *Catalogue) rows(ctx context.Context, m Manifest) iter.Seq2[Row, error] {
	if m.Base == "" {
		return c.own(ctx, m)
	}
	return func(yield func(Row, error) bool) {
		base, err := c.base(ctx, m)
		if err != nil {
			yield(Row{}, err)
			return
		}
		merge(c.rows(ctx, base), c.own(ctx, m), yield)
	}
}

// base returns the manifest of m's base.
func (c *Catalogue) base(ctx context.Context, m Manifest) (Manifest, error) {
	base, err := c.Get(ctx, m.Base)
	switch {
	case errors.Is(err, ErrNotFound):
		return base, fmt.Errorf("%w: %s", ErrNoBase, m.Base)
	case err != nil:
		return base, fmt.Errorf("%w: %s: %w", ErrNoBase, m.Base, err)
	case base.Sum != m.BaseSum || base.Depth+1 != m.Depth || m.Depth > mostBases || base.Kind != m.Kind:
		return base, fmt.Errorf("%w: %s is not as it was", ErrNoBase, m.Base)
	}
	return base, nil
}

// merge yields base's rows as changes, which are in the same order, leave them.
func merge(base, changes iter.Seq2[Row, error], yield func(Row, error) bool) {
	next, stop := iter.Pull2(base)
	defer stop()
	b, err, more := next()
	for ch, failed := range changes {
		if failed != nil {
			yield(Row{}, failed)
			return
		}
		for ; more; b, err, more = next() {
			if err != nil {
				yield(Row{}, err)
				return
			}
			order := b.compare(&ch)
			if order > 0 {
				break
			}
			if order < 0 && !yield(b, nil) {
				return
			}
		}
		if ch.Kind&gone == 0 && !yield(ch, nil) {
			return
		}
	}
	for ; more; b, err, more = next() {
		if !yield(b, err) || err != nil {
			return
		}
	}
}

// own yields the rows in an image's own data.
func (c *Catalogue) own(ctx context.Context, m Manifest) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := c.readOwn(ctx, m, yield); err != nil && err != errEnough {
			yield(Row{}, err)
		}
	}
}

// errEnough ends a reading whose reader has had enough.
var errEnough = errors.New("enough")

func (c *Catalogue) readOwn(ctx context.Context, m Manifest, yield func(Row, error) bool) error {
	ring := c.cfg.Keys
	switch {
	case m.Sealed && ring == nil:
		return fmt.Errorf("%w: there are none", ErrSealed)
	case !m.Sealed:
		ring = nil
	}
	object, err := c.store.Get(ctx, c.data(m.ID))
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: its data is missing", ErrTorn)
	}
	if err != nil {
		return err
	}
	defer object.Close()
	b, err := newBlockReader(object, m.ID, ring)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: its data is missing", ErrTorn)
	}
	if err != nil {
		return err
	}
	defer b.close()
	var last Row
	for n := uint64(0); ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r, err := b.next()
		if err == io.EOF {
			return b.ended(m, n)
		}
		if err != nil {
			return err
		}
		if n > 0 && last.compare(&r) >= 0 || r.Partition >= len(m.Partitions) || r.Kind&gone != 0 && m.Base == "" {
			return &BlockError{Offset: b.offset, What: "before here: rows out of order"}
		}
		last = Row{Partition: r.Partition, Kind: r.Kind, Name: r.Name}
		if !yield(r, nil) {
			return errEnough
		}
	}
}

// ended compares what was read with what the manifest says.
func (b *blockReader) ended(m Manifest, rows uint64) error {
	if mutant.On(mutant.BlocksUnchecked) {
		return nil
	}
	if n, err := b.r.Read(make([]byte, 1)); n != 0 || err == nil {
		return &BlockError{Offset: b.offset, What: "bytes behind the end"}
	} else if err != io.EOF {
		return err
	}
	if sum := fmt.Sprintf("%x", b.sum.Sum(nil)); sum != m.Sum || b.offset != m.Size || rows != m.Written {
		return fmt.Errorf("%w: its data is not what its manifest is of", ErrCorrupt)
	}
	return nil
}
