package disk

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

// A partition's floor is the fence of every key that has no row: at or above
// every fence whose row was dropped. A row, be it ever so old, is exact, so that
// a copy which is asked for outlives the fences of its time.
//
// It costs copies from before the floor that other tiers hold, of keys without
// a row. And so no row whose fence says something is dropped but the oldest,
// when there is no room for all.
//
// The floor is raised before the rows go, and read after a row was not found:
//  1. a lookup finds no row;
//  2. the floor is raised, the row of a fence dropped;
//  3. the lookup reads the floor: it may be too high for a key that was never
//     fenced, which costs a copy; never too low.
type floors []atomic.Uint64

func (f floors) of(partition int) events.Position { return events.Position(f[partition].Load()) }

// absent is what is known of a key without a row.
func (f floors) absent(partition int) tiers.Fence {
	at := f.of(partition)
	return tiers.Fence{Hard: at, Soft: at}
}

// raise makes floor at least at, in memory and in b. It belongs to the writer's
// goroutine, which applies b next.
func (f floors) raise(b *pebble.Batch, partition int, at events.Position) error {
	if at <= f.of(partition) || mutant.On(mutant.FloorStaysWhenRowsGo) {
		return nil
	}
	f[partition].Store(uint64(at))
	blob := binary.LittleEndian.AppendUint64(nil, uint64(at))
	return b.Set(appendName(nil, partition, kindFloor), appendSealed(nil, blob), nil)
}

// readFloors returns the floors that a database holds. One that can't be read
// is an error: any fence may be missing.
func readFloors(db *pebble.DB, partitions int) (floors, error) {
	f := make(floors, partitions)
	for p := range f {
		row, closer, err := db.Get(appendName(nil, p, kindFloor))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		at, err := floorOf(row)
		f[p].Store(uint64(at))
		if err := errors.Join(err, closer.Close()); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// floorOf reads the row of a floor.
func floorOf(row []byte) (events.Position, error) {
	blob, err := unseal(row)
	if err != nil {
		return 0, err
	}
	if len(blob) != 8 {
		return 0, ErrCorruptRow
	}
	return events.Position(binary.LittleEndian.Uint64(blob)), nil
}

// Forget says that no copy born before p is taken from anywhere any more, so
// that the fences of keys up to there need not be kept.
func (b *Batch) Forget(p events.Position) {
	c := b.next()
	c.forgotten = max(c.forgotten, p)
}
