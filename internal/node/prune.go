package node

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// age remembers when the log wrote a position, in its own time.
type age struct {
	at   events.Position
	time int64 // Unix nanoseconds
}

// agesPerTTL is how finely the log's age is remembered: fences are forgotten
// at most a 32nd of MaxTTL later than they could be.
const agesPerTTL = 32

// prune forgets fences that are older than any copy can live, and raises the
// horizon to them: what they killed has expired. Only positions decide what is
// alive; time decides when forgetting costs nobody a hit. The caller holds mu.
func (p *partition) prune() {
	m := p.world.Mark()
	ttl := p.n.cfg.Settings.MaxTTL
	if n := len(p.ages); n == 0 || time.Duration(m.Time-p.ages[n-1].time) >= ttl/agesPerTTL {
		p.ages = append(p.ages, age{at: m.Position, time: m.Time})
	}
	old := 0
	for old < len(p.ages) && time.Duration(m.Time-p.ages[old].time) > ttl {
		old++
	}
	if old == 0 {
		return
	}
	for _, f := range p.world.Prune(p.ages[old-1].at) {
		p.n.stats.pruned.Add(1)
		if p.batch != nil {
			p.batch.DropBroad(f.Kind, f.Name)
		}
	}
	if p.batch != nil {
		p.batch.Forget(p.world.Horizon())
	}
	p.ages = append(p.ages[:0], p.ages[old:]...)
}
