package snapshot

import (
	"context"
	"iter"
)

// difference writes how rows differ from those of a base, by reading both in
// their order. It takes the base's word for nothing but its bytes: what a row
// means is not its business, so that an increment and its base say exactly what
// a full image would have said.
type difference struct {
	next func() (Row, error, bool)
	stop func()
	put  func(*Row) error

	base Row
	more bool
}

func (c *Catalogue) against(ctx context.Context, base Manifest, put func(*Row) error) (*difference, error) {
	d := &difference{put: put}
	d.next, d.stop = iter.Pull2(c.rows(ctx, base))
	if err := d.advance(); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *difference) close() { d.stop() }

func (d *difference) advance() (err error) {
	d.base, err, d.more = d.next()
	return err
}

// add takes the next row of the new image.
func (d *difference) add(r *Row) error {
	for d.more {
		order := d.base.compare(r)
		if order > 0 {
			break
		}
		if order == 0 {
			same := d.base.same(r)
			if err := d.advance(); err != nil || same {
				return err
			}
			return d.put(r)
		}
		if err := d.drop(); err != nil {
			return err
		}
	}
	return d.put(r)
}

// drop says that the base's row is gone.
func (d *difference) drop() error {
	r := Row{Partition: d.base.Partition, Kind: d.base.Kind | gone, Name: d.base.Name}
	if err := d.advance(); err != nil {
		return err
	}
	return d.put(&r)
}

// end drops what the base has behind the last row.
func (d *difference) end() error {
	for d.more {
		if err := d.drop(); err != nil {
			return err
		}
	}
	return nil
}
