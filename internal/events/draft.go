package events

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/mutant"
)

// recordHead is the most that stands in front of a record's changes: version
// and array header.
const recordHead = 1 + 5

// Draft is a record in the making. Whoever gathers the changes of several
// callers into one record makes a Draft of each call's changes and joins them.
type Draft struct {
	body    []byte // the changes' wire forms, one behind the other
	changes []Change
	joined  bool                // changes has an array of its own
	put     map[string]struct{} // keys that the changes put
}

// NewDraft validates and encodes changes, which must not be modified
// afterwards. The error wraps [ErrInvalid] or [ErrTooLarge].
func NewDraft(changes ...Change) (*Draft, error) {
	if err := (Record{Changes: changes}).Validate(); err != nil {
		return nil, err
	}
	d := &Draft{changes: changes}
	for _, c := range changes {
		d.body = appendChange(d.body, c)
		if p, ok := c.(*Put); ok {
			if d.put == nil {
				d.put = make(map[string]struct{}, len(changes))
			}
			d.put[p.Key] = struct{}{}
		}
	}
	if d.Size() > MaxRecord {
		return nil, fmt.Errorf("encode record: %w: %d bytes, at most %d", ErrTooLarge, d.Size(), MaxRecord)
	}
	return d, nil
}

// Size returns an upper bound of the encoded record's length in bytes.
func (d *Draft) Size() int { return recordHead + len(d.body) }

// Len returns the number of changes.
func (d *Draft) Len() int { return len(d.changes) }

// Puts reports whether a change puts a key. Drafts that put none are joined
// first, since a broad fence must not stand behind a put.
func (d *Draft) Puts() bool { return len(d.put) > 0 }

// Join appends o's changes to d's, unless the record would be larger than most
// bytes or [MaxChanges], or a change of o must not stand behind one of d (see
// [Conflicts]). It reports whether it did; o is never modified.
func (d *Draft) Join(o *Draft, most int) bool {
	if d.Size()+len(o.body) > most || len(d.changes)+len(o.changes) > MaxChanges {
		return false
	}
	for _, c := range o.changes {
		if Conflicts(d.put, c) && !mutant.On(mutant.ConflictsJoined) {
			return false
		}
	}
	d.body = append(d.body, o.body...)
	if !d.joined {
		d.changes, d.joined = slices.Clip(d.changes), true // the caller's array stays as it is
	}
	d.changes = append(d.changes, o.changes...)
	if d.put == nil {
		d.put = maps.Clone(o.put)
	} else {
		maps.Copy(d.put, o.put)
	}
	return true
}

// Append appends the record's wire form to dst.
func (d *Draft) Append(dst []byte) []byte {
	dst = append(dst, WireVersion)
	dst = msgp.AppendArrayHeader(dst, uint32(len(d.changes)))
	return append(dst, d.body...)
}
