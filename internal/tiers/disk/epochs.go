package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// epochs are those that values of a store belong to, in the order in which the
// first value of each came. Rows name them by number. A number, once given, means
// the same epoch for as long as the store lasts. There are as many as histories
// of the domain's partitions: few.
type epochs struct {
	all atomic.Pointer[[]events.Epoch]
}

func (e *epochs) known() []events.Epoch {
	if all := e.all.Load(); all != nil {
		return *all
	}
	return nil
}

// number returns the number of an epoch, and writes it down where it is new. It
// belongs to the writer's goroutine: what is written next is never there without
// it.
func (s *Store) number(of events.Epoch) (int, error) {
	all := s.epochs.known()
	if n := slices.Index(all, of); n >= 0 {
		return n, nil
	}
	blob := binary.LittleEndian.AppendUint64(nil, uint64(of))
	if err := s.set(epochName(len(all)), appendSealed(nil, blob)); err != nil {
		return 0, s.failed("number an epoch", err)
	}
	more := append(slices.Clip(all), of)
	s.epochs.all.Store(&more)
	return len(all), nil
}

func epochName(n int) []byte {
	return binary.BigEndian.AppendUint32(appendName(nil, formatPartition, kindEpoch), uint32(n))
}

// readEpochs returns the epochs that a database holds. One that can't be read is
// an error: what is numbered next would take its number.
func readEpochs(db *pebble.DB) ([]events.Epoch, error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: appendName(nil, formatPartition, kindEpoch),
		UpperBound: appendName(nil, formatPartition, kindEpoch+1),
	})
	if err != nil {
		return nil, err
	}
	var all []events.Epoch
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var row, blob []byte
		if row, err = it.ValueAndErr(); err != nil {
			break
		}
		if blob, err = unseal(row); err == nil && (len(blob) != 8 || string(it.Key()) != string(epochName(len(all)))) {
			err = ErrCorruptRow
		}
		if err == nil {
			all = append(all, events.Epoch(binary.LittleEndian.Uint64(blob)))
		}
	}
	return all, errors.Join(err, it.Error(), it.Close())
}

// appendValue appends e to its row, behind the key's fence. It belongs to the
// writer's goroutine.
func (s *Store) appendValue(row []byte, e tiers.Entry, f tiers.Fence) ([]byte, error) {
	n, err := s.number(e.Epoch())
	if err != nil {
		return nil, err
	}
	return tiers.AppendShort(binary.AppendUvarint(row, uint64(n)), e, f.Hard), nil
}

// value makes the entry of what a row holds of it, in dst if its capacity
// suffices. Its error is [tiers.ErrCorrupt].
func (s *Store) value(dst, held []byte, key string, f tiers.Fence) (tiers.Entry, error) {
	number, n := binary.Uvarint(held)
	all := s.epochs.known()
	if n <= 0 || number >= uint64(len(all)) {
		return nil, fmt.Errorf("%w: of an unknown epoch", tiers.ErrCorrupt)
	}
	e, err := tiers.ParseShort(dst, held[n:], key, all[number], f.Hard)
	if err == nil && e.Birth() < f.Hard {
		return nil, fmt.Errorf("%w: born before its fence", tiers.ErrCorrupt)
	}
	return e, err
}
