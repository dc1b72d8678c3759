package play

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/truth"
)

// sources are how many kinds of answers there are, with index 0 for none.
const sources = int(node.FromOrigin) + 1

// tally counts what the readers see. Its methods are safe for concurrent use.
type tally struct {
	reads   atomic.Uint64
	from    [sources]atomic.Uint64
	refused atomic.Uint64
	loads   atomic.Uint64
	events  atomic.Uint64
	late    atomic.Uint64
	stale   atomic.Uint64
	wrong   atomic.Uint64
	oldest  atomic.Int64 // age of the oldest late value

	mu     sync.Mutex
	faults []string // the first few, in words
}

// maxFaults is how many faults are told in words.
const maxFaults = 5

func (t *tally) answered(source node.Source) {
	t.reads.Add(1)
	if int(source) < sources {
		t.from[source].Add(1)
	}
}

func (t *tally) judged(member, key string, j truth.Judgement) {
	switch j.Verdict {
	case truth.Late:
		t.late.Add(1)
		for {
			old := t.oldest.Load()
			if int64(j.Age) <= old || t.oldest.CompareAndSwap(old, int64(j.Age)) {
				return
			}
		}
	case truth.Stale:
		t.stale.Add(1)
		t.fault(member + " gave " + key + " " + j.Age.Round(time.Millisecond).String() +
			" after a write of " + j.Row + " had overwritten it")
	case truth.Wrong:
		t.wrong.Add(1)
		t.fault(member + " gave a wrong value for " + key + ": " + j.Reason)
	}
}

func (t *tally) fault(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.faults) < maxFaults {
		t.faults = append(t.faults, what)
	}
}

func (t *tally) told() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.faults)
}

// quantile returns the q'th quantile of times, which it sorts; 0 if there are
// none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}
