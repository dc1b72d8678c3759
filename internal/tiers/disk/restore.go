package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// InMemory returns cfg for a store in memory, if it has no directory, that
// [Restore] and [Open] can share.
func (cfg Config) InMemory() Config {
	if cfg.Dir == "" && cfg.FS == nil {
		cfg.FS, cfg.Dir, cfg.fleeting = vfs.NewMem(), "memory", true
	}
	return cfg
}

const (
	restoringName = "restoring"
	// restoreBatch is how many bytes of rows are written at once.
	restoreBatch = 1 << 20
	// restoreStall is how long the disk may hold a restoration up, which no fence
	// waits for.
	restoreStall = time.Minute
)

// Restore puts the rows that fill adds in the place of all that is in cfg's
// directory, which nobody may have open. Until Restore returns nil, and if the
// process ends before, what was there stays as it was; the change is one move of
// a directory. An error of fill's is returned.
//
// Values for which the budget, or MaxEntry, has no room are left out; their
// fences are not.
func Restore(cfg Config, fill func(add func(partition int, r Row) error) error) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	d := directory{fs: cfg.FS, path: cfg.Dir}
	lock, err := d.lock()
	if err != nil {
		return err
	}
	d.sweep(cfg.Logger)
	err = restore(cfg, d, fill)
	if err == nil {
		d.sweep(cfg.Logger) // the generation that was replaced
	}
	return errors.Join(err, lock.Close())
}

func restore(cfg Config, d directory, fill func(add func(partition int, r Row) error) error) error {
	dir := d.fs.PathJoin(d.path, restoringName)
	cfg.StallLimit = max(cfg.StallLimit, restoreStall)
	db, _, dt, err := openPebble(cfg, dir, func(o *pebble.Options) {
		o.DisableWAL = true // all of it is flushed, or none of it counts
		o.MemTableSize = max(o.MemTableSize, defaultMemTable)
	})
	if err != nil {
		return fmt.Errorf("restore disk tier: %w", errors.Join(err, d.fs.RemoveAll(dir)))
	}
	w := restorer{cfg: cfg, db: db, death: dt, b: db.NewBatch()}
	filled := fill(w.add)
	if filled == nil || mutant.On(mutant.RestoreInstalledEarly) {
		filled = w.flush()
	}
	err = dt.guarded(func() error {
		err := filled
		if err == nil {
			err = db.Flush()
		}
		return errors.Join(err, w.b.Close(), dt.close(db))
	})
	if err != nil {
		return fmt.Errorf("restore disk tier: %w", errors.Join(err, d.fs.RemoveAll(dir)))
	}
	return d.install(dir)
}

// install makes the directory the latest generation.
func (d directory) install(dir string) error {
	n, found, err := d.latest()
	if err == nil && found {
		n++
	}
	if err == nil {
		err = d.sync() // of what lies in dir its own files' syncs have seen to
	}
	if err == nil {
		err = d.fs.Rename(dir, d.generation(n))
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		return fmt.Errorf("restore disk tier: %w", err)
	}
	return nil
}

// restorer writes rows into a store that nobody reads yet.
type restorer struct {
	cfg   Config
	db    *pebble.DB
	death *death
	b     *pebble.Batch
	// epochs are those of the values written, by number.
	epochs []events.Epoch
	// held is how many bytes of values were written.
	held int64
}

func (w *restorer) add(partition int, r Row) error {
	if partition < 0 || partition >= w.cfg.Partitions {
		return fmt.Errorf("%w: row of partition %d among %d", ErrForeign, partition, w.cfg.Partitions)
	}
	name := append(appendName(nil, partition, byte(r.Kind)), r.Name...)
	var value []byte
	switch r.Kind {
	case BroadRow:
		value = appendFence(nil, name, r.Fence)
	case KeyRow:
		var err error
		if value, err = w.appendValue(appendFence(make([]byte, 0, 24+len(r.Held)), name, r.Fence), r); err != nil {
			return err
		}
	case VersionRow, MetaRow:
		value = appendSealed(nil, r.Held)
	case FloorRow:
		if mutant.On(mutant.RestoredFloorForgotten) {
			return nil
		}
		value = appendSealed(nil, binary.LittleEndian.AppendUint64(nil, uint64(r.Fence.Hard)))
	default:
		return fmt.Errorf("%w: row of kind %d", ErrForeign, r.Kind)
	}
	if err := w.b.Set(name, value, nil); err != nil {
		return err
	}
	if w.b.Len() < restoreBatch {
		return nil
	}
	return w.flush()
}

// appendValue appends a key's value to its row, if it is one and there is room.
func (w *restorer) appendValue(row []byte, r Row) ([]byte, error) {
	if len(r.Held) == 0 {
		return row, nil
	}
	e, err := tiers.Parse(r.Held)
	if err != nil || e.Key() != r.Name || e.Birth() < r.Fence.Hard || !w.room(len(e)) {
		return row, nil
	}
	n := slices.Index(w.epochs, e.Epoch())
	if n < 0 {
		n = len(w.epochs)
		w.epochs = append(w.epochs, e.Epoch())
		blob := binary.LittleEndian.AppendUint64(nil, uint64(e.Epoch()))
		if err := w.b.Set(epochName(n), appendSealed(nil, blob), nil); err != nil {
			return row, err
		}
	}
	return tiers.AppendShort(binary.AppendUvarint(row, uint64(n)), e, r.Fence.Hard), nil
}

// room reports whether a value of n bytes is to be kept. What lies below the low
// mark is not evicted at once.
func (w *restorer) room(n int) bool {
	if n > w.cfg.MaxEntry || w.cfg.Budget > 0 && w.held+int64(n) > int64(lowMark*float64(w.cfg.Budget)) {
		return false
	}
	w.held += int64(n)
	return true
}

func (w *restorer) flush() error {
	if w.b.Empty() {
		return nil
	}
	err := w.death.guarded(func() error { return w.db.Apply(w.b, pebble.NoSync) })
	w.b.Reset()
	return err
}
