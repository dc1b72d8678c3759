package snapshot

import (
	"context"
	"fmt"
	"iter"
)

// Diff calls fn with each row in which two images differ: as it is in a and in
// b, nil where it is missing. Both are read whole, and verified by it. Rows are
// valid during the call.
func (c *Catalogue) Diff(ctx context.Context, a, b Manifest, fn func(a, b *Row) error) error {
	next, stop := iter.Pull2(c.rows(ctx, a))
	defer stop()
	left, err, more := next()
	for right, failed := range c.rows(ctx, b) {
		if failed != nil {
			return fmt.Errorf("read snapshot %s: %w", b.ID, failed)
		}
		for ; more && err == nil && left.compare(&right) < 0; left, err, more = next() {
			if err := fn(&left, nil); err != nil {
				return err
			}
		}
		var diff error
		switch {
		case err != nil:
			return fmt.Errorf("read snapshot %s: %w", a.ID, err)
		case !more || left.compare(&right) > 0:
			diff = fn(nil, &right)
		default:
			if !left.same(&right) {
				diff = fn(&left, &right)
			}
			left, err, more = next()
		}
		if diff != nil {
			return diff
		}
	}
	for ; more; left, err, more = next() {
		if err != nil {
			return fmt.Errorf("read snapshot %s: %w", a.ID, err)
		}
		if err := fn(&left, nil); err != nil {
			return err
		}
	}
	return nil
}
