package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// RowKind says what a row of an image holds.
type RowKind byte

// The kinds of rows, in their order within a partition.
const (
	BroadRow   RowKind = kindBroad   // Name: one byte and the fence's name, as Batch.FenceBroad got them
	KeyRow     RowKind = kindKey     // Name: the key; Held: its entry
	VersionRow RowKind = kindVersion // Name: the key; Held: its row version, 8 bytes
	FloorRow   RowKind = kindFloor   // Fence.Hard: the fence of keys without a row
	MetaRow    RowKind = kindMeta    // Name and Held as Batch.SetMeta got them
)

// Row is a row of an image.
type Row struct {
	Kind  RowKind
	Name  string
	Fence tiers.Fence
	Held  []byte // nil: nothing; of a key, its entry
}

// Image is a store's content at one moment: of each partition, what one of its
// batches left. It shares its files with the store, which goes on; until Close
// it keeps those that the store has done with, beyond the budget. Not for
// concurrent use.
type Image struct {
	s      *Store
	dir    string
	db     *pebble.DB
	death  *death
	ledger ledger
	value  []byte // the row's that is out
}

const (
	imageName = "image-"
	// imageCache is little: an image is read once.
	imageCache = 1 << 20
)

var images atomic.Uint64

// Image takes an image, for the caller to close. Writers don't wait for it, but
// for what the disk takes to sync. Its error is [tiers.ErrUnavailable], or says
// why the image can't be made, which does the store no harm.
func (s *Store) Image() (*Image, error) {
	if err := s.drained(); err != nil {
		return nil, err
	}
	if !s.enter() {
		return nil, s.unavailable()
	}
	defer s.exit()
	dir := s.cfg.FS.PathJoin(s.dir.path, imageName+strconv.FormatUint(images.Add(1), 10))
	i := &Image{s: s, dir: dir}
	err := s.death.guarded(func() error {
		if s.cfg.fleeting { // no log of writes holds what no file holds yet
			if err := s.db.Flush(); err != nil {
				return err
			}
		}
		return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
	})
	if err == nil {
		i.db, i.ledger, i.death, err = openPebble(s.cfg, dir, func(o *pebble.Options) {
			o.ReadOnly = true
			o.CacheSize = imageCache
		})
	}
	if err != nil {
		return nil, fmt.Errorf("disk tier: take an image: %w", errors.Join(err, s.cfg.FS.RemoveAll(dir)))
	}
	return i, nil
}

// Close lets go of the image.
func (i *Image) Close() error {
	err := i.death.guarded(func() error { return i.death.close(i.db) })
	return errors.Join(err, i.s.cfg.FS.RemoveAll(i.dir))
}

// Floor returns the fence of a partition's keys without a row.
func (i *Image) Floor(partition int) events.Position { return i.ledger.floors.of(partition) }

// Meta returns the blob under name, nil if there is none.
func (i *Image) Meta(partition int, name string) ([]byte, error) {
	row, closer, err := i.db.Get(append(appendName(nil, partition, kindMeta), name...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("disk tier: image: %w", err)
	}
	blob, err := unseal(append([]byte(nil), row...))
	return blob, errors.Join(err, closer.Close())
}

// Rows calls fn with the rows of partition, in the order of their kinds and
// names, until fn returns an error, which it returns. A row is valid during the
// call. The fence of a key whose own can't be read is taken to be unread: the
// image's applied position.
func (i *Image) Rows(partition int, unread events.Position, fn func(Row) error) error {
	it, err := i.db.NewIter(&pebble.IterOptions{
		LowerBound: appendName(nil, partition, 0),
		UpperBound: appendName(nil, partition+1, 0),
	})
	if err != nil {
		return fmt.Errorf("disk tier: image: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			var r Row
			if r, err = i.row(it.Key(), value, unread); err == nil {
				err = fn(r)
			}
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("disk tier: image: %w", err)
	}
	return nil
}

func (i *Image) row(name, row []byte, unread events.Position) (r Row, err error) {
	r = Row{Kind: RowKind(name[nameHead-1]), Name: string(name[nameHead:])}
	switch r.Kind {
	case BroadRow:
		r.Fence, _, err = parseRow(name, row)
	case KeyRow:
		var held []byte
		r.Fence, held, err = parseRow(name, row)
		if errors.Is(err, ErrCorruptRow) {
			r.Fence, err = tiers.Fence{Hard: unread, Soft: unread}, nil
		}
		if len(held) > 0 {
			// One that is damaged is none.
			if e, err := valueOf(i.ledger.epochs, i.value[:0], held, r.Name, r.Fence); err == nil {
				r.Held, i.value = e, e
			}
		}
	case VersionRow, MetaRow:
		r.Held, err = unseal(row)
	case FloorRow:
		var at events.Position
		at, err = floorOf(row)
		r.Fence = tiers.Fence{Hard: at, Soft: at}
	default:
		err = fmt.Errorf("%w: row of kind %d", ErrForeign, r.Kind)
	}
	return r, err
}

// sweep removes what nobody will need who has the directory's lock: images and
// restorations of a process that was killed, and generations that a restored one
// has replaced.
func (d directory) sweep(log *slog.Logger) {
	n, found, err := d.latest()
	if err != nil {
		return // open says so
	}
	names, err := d.fs.List(d.path)
	if err != nil {
		return
	}
	for _, name := range names {
		generation, err := strconv.Atoi(strings.TrimPrefix(name, generationName))
		replaced := strings.HasPrefix(name, generationName) && err == nil && found && generation < n
		if !replaced && !strings.HasPrefix(name, imageName) && name != restoringName {
			continue
		}
		if err := d.fs.RemoveAll(d.fs.PathJoin(d.path, name)); err != nil {
			log.Warn("what is left of an earlier process can't be removed", "name", name, "error", err)
		}
	}
}
