package disk

import (
	"runtime"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// hand goes round over the rows of a store with a budget, some at a time, and
// evicts. While there is room it goes slowly, for the values that expired and
// the fences below the floor; the more there is over the low mark, the more it
// takes.
//
// What a value is worth is how often it is looked up, how young it is and what
// priority it has, for the room that it takes; see [hand.worth]. The hand takes
// what is worth less than most of what it passed lately.
//
// Its fields belong to its goroutine.
type hand struct {
	s         *Store
	partition int
	at        []byte // the name to go on from; nil: the partition's first
	began     time.Time
	turn      time.Duration // how long the last one took
	now       int64         // Unix milliseconds

	// lately holds what the values passed last were worth, a ring.
	lately []float64
	passed int

	// aims are the floors that leave as many rows without a value as have room,
	// by partition. fences and sample are those of the partition under the
	// hand: how many, and some of them.
	aims          []events.Position
	fences, every int
	sample        []events.Position

	// taken is how many rows went this turn; barren: none in the last, and so
	// there is nothing that would make room.
	taken  int
	barren bool

	buf []byte // room for a value

	// merged is where the last merge that was asked for ended.
	merged []byte
}

const (
	// A step of the hand.
	stepRows  = 1024
	stepBytes = 1 << 20
	// stepBreath is how many rows it looks at before it lets others run.
	stepBreath = 32
	// idlePause is between steps while there is room: ten million rows take
	// three hours.
	idlePause = time.Second
	// urgentPause is between them while values are left out for want of room.
	urgentPause = idlePause / 20
	// latelyValues and sampleFences are what quantiles are taken of.
	latelyValues, sampleFences = 2048, 1024
	// A row without a value takes about fenceRow bytes; all of them may take
	// fenceShare of the budget.
	fenceRow, fenceShare = 64, 0.2
)

func newHand(s *Store) *hand {
	return &hand{s: s, began: time.Now(), turn: time.Hour, aims: make([]events.Position, s.cfg.Partitions), every: 1}
}

// sweep is the hand's goroutine, of a store with a budget.
func (s *Store) sweep() {
	defer close(s.swept)
	h := newHand(s)
	idle := time.NewTimer(idlePause)
	defer idle.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-s.death.dead:
			return
		case <-s.meter.wake:
		case <-idle.C:
			if h.step(h.idly()) != nil || h.relieve() != nil {
				return
			}
			idle.Reset(h.pause())
		}
		for s.meter.over() > 0 && !h.barren {
			// At the high mark: as much as it may.
			share := float64(s.meter.over()) / float64(s.meter.share(highMark-lowMark))
			if h.step(min(max(share, 0.1), 0.6)) != nil {
				return
			}
		}
	}
}

// pause is how long the hand rests when nobody wakes it.
func (h *hand) pause() time.Duration {
	if h.s.meter.used.Load() >= h.s.meter.share(highMark) {
		return urgentPause
	}
	return idlePause
}

// idly is the share of a step that nothing but the time has come for: none,
// unless there is too much and a whole turn found nothing to take.
func (h *hand) idly() float64 {
	if h.barren && h.s.meter.over() > 0 {
		return 0.5
	}
	return 0
}

// step looks at the next rows, and evicts of the values that are worth least
// the share that is given.
func (h *hand) step(share float64) error {
	s := h.s
	if !s.enter() {
		return s.unavailable()
	}
	defer s.exit()
	h.now = s.cfg.Now()
	threshold := h.quantile(share)
	from, to := appendName(nil, h.partition, kindKey), appendName(nil, h.partition, kindKey+1)
	if h.at != nil {
		from = h.at
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return s.failed("evict", err)
	}
	e := &evict{partition: h.partition, aim: max(h.aims[h.partition], s.floors.of(h.partition)), done: make(chan error, 1)}
	rows, bytes := 0, 0
	ok := it.First()
	for ; ok && rows < stepRows && bytes < stepBytes; ok = it.Next() {
		row, err := it.ValueAndErr()
		if err != nil {
			_ = it.Close() // the error is known
			return s.failed("evict", err)
		}
		if rows, bytes = rows+1, bytes+len(row); rows%stepBreath == 0 {
			runtime.Gosched() // lookups come first
		}
		if h.condemns(it.Key(), row, e.aim, threshold) {
			fence, held, _ := parseRow(it.Key(), row)
			e.victims = append(e.victims, victim{name: slices.Clone(it.Key()), fence: fence, row: len(row), held: len(held)})
		}
	}
	h.at = nil
	if ok {
		h.at = slices.Clone(it.Key())
	}
	if err := it.Close(); err != nil {
		return s.failed("evict", err)
	}
	if h.taken += len(e.victims); len(e.victims) > 0 {
		h.barren = false
	}
	if h.at == nil {
		h.turned()
	}
	if len(e.victims) == 0 {
		return nil
	}
	return s.submitTo(s.evictions, e)
}

// condemns reports whether the row of name has to go.
func (h *hand) condemns(name, row []byte, aim events.Position, threshold float64) bool {
	fence, held, err := parseRow(name, row)
	if err != nil {
		return false // its fence is unknown, and must stay so
	}
	if len(held) == 0 {
		if max(fence.Hard, fence.Soft) <= aim {
			return true
		}
		h.count(max(fence.Hard, fence.Soft))
		return false
	}
	e, err := h.s.value(h.buf, held, string(name[nameHead:]), fence)
	if err != nil {
		return true
	}
	if h.buf = e[:0]; e.Ended(h.now) {
		return true
	}
	w := h.worth(e)
	if len(h.lately) < latelyValues {
		h.lately = append(h.lately, w)
	} else {
		h.lately[h.passed%latelyValues] = w
	}
	h.passed++
	return w < threshold
}

// worth is what a value is worth a byte: lookups since about a turn ago, and
// one more while it is younger than that; eight times as much, or as little, by
// priority.
func (h *hand) worth(e tiers.Entry) float64 {
	age := float64(h.now-e.CreatedMilli()) / float64(max(h.turn.Milliseconds(), 1))
	w := float64(heatSample*h.s.heat.of(e.Key())) + 1/(1+max(age, 0))
	switch f := e.Flags(); {
	case f&tiers.FlagHighPriority != 0:
		w *= 8
	case f&tiers.FlagLowPriority != 0:
		w /= 8
	}
	return w / float64(len(e)+fenceRow)
}

// quantile returns what share of the values passed lately were worth less than.
func (h *hand) quantile(share float64) float64 {
	if share == 0 || len(h.lately) == 0 {
		return 0
	}
	sorted := slices.Clone(h.lately)
	slices.Sort(sorted)
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// count takes note of a row without a value that stays. The sample holds every
// so manieth: where it is full, half of it goes.
func (h *hand) count(at events.Position) {
	if h.fences%h.every == 0 {
		if len(h.sample) == sampleFences {
			half := h.sample[:0]
			for i := 0; i < sampleFences; i += 2 {
				half = append(half, h.sample[i])
			}
			h.sample, h.every = half, 2*h.every
		}
		if h.fences%h.every == 0 {
			h.sample = append(h.sample, at)
		}
	}
	h.fences++
}

// turned ends the pass over a partition, and begins the next one's.
func (h *hand) turned() {
	s := h.s
	room := int(fenceShare * float64(s.cfg.Budget) / fenceRow / float64(s.cfg.Partitions))
	if h.fences > room && len(h.sample) > 0 {
		slices.Sort(h.sample)
		h.aims[h.partition] = h.sample[int(float64(len(h.sample)-1)*(1-float64(room)/float64(h.fences)))]
	}
	h.fences, h.every, h.sample = 0, 1, h.sample[:0]
	if h.partition++; h.partition < s.cfg.Partitions {
		return
	}
	h.barren, h.taken = h.taken == 0, 0
	h.partition = 0
	h.turn, h.began = max(time.Since(h.began), time.Millisecond), time.Now()
	s.heat.turn.Add(1)
}
