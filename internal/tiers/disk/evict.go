package disk

import (
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// victim is a row that has to go, as the hand saw it.
type victim struct {
	name      []byte
	fence     tiers.Fence
	row, held int // bytes of the row, and of what it holds of a value
}

// evict drops the values of rows, and the rows themselves where the floor may
// rise to their fences.
type evict struct {
	partition int
	aim       events.Position
	victims   []victim
	done      chan error
}

func (v *evict) answer() chan error { return v.done }

func (v *evict) do(s *Store) error {
	b := s.db.NewBatch()
	defer b.Close()
	// Its seeks go from one victim to the next, at a fraction of what as many
	// lookups cost.
	it, err := s.db.NewIter(nil)
	if err != nil {
		return s.failed("evict", err)
	}
	defer it.Close() // what went wrong with it was told
	floor := events.Position(0)
	freed := 0
	for _, x := range v.victims {
		var row []byte
		there := it.SeekPrefixGE(x.name)
		if err = it.Error(); there && err == nil {
			row, err = it.ValueAndErr()
		}
		if err != nil {
			return s.failed("evict", err)
		}
		fence, held, err := parseRow(x.name, row)
		if err != nil || fence != x.fence || len(held) != x.held {
			continue // it is another by now
		}
		newest := max(fence.Hard, fence.Soft)
		if newest <= v.aim {
			floor = max(floor, newest)
			err = b.DeleteSized(x.name, uint32(x.row), nil)
			freed += len(x.name) + x.row - x.held
		} else if x.held > 0 {
			err = b.Set(x.name, appendFence(nil, x.name, fence), nil)
		}
		if err != nil {
			return s.failed("evict", err)
		}
		if freed += x.held; x.held > 0 {
			s.evicted.Add(1)
		}
	}
	if err := s.floors.raise(b, v.partition, floor); err != nil {
		return s.failed("evict", err)
	}
	if b.Empty() {
		return nil
	}
	if err := s.apply(b); err != nil {
		return s.failed("evict", err)
	}
	s.meter.leaving.Add(int64(freed))
	return nil
}
