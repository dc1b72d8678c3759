package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/turn"
)

// store is the shared tier's server, and the witness's.
type store struct {
	mu      sync.Mutex
	entries map[string]tiers.Entry // by epoch and key
	witness []node.Testimony       // by partition
	backups []backup
	turns   turn.Table
	start   time.Time
}

type backup struct {
	entries map[string]tiers.Entry
	witness []node.Testimony
}

func newStore(partitions int) *store {
	return &store{start: time.Now(), entries: map[string]tiers.Entry{}, witness: make([]node.Testimony, partitions)}
}

func (s *store) backUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backups = append(s.backups, backup{maps.Clone(s.entries), slices.Clone(s.witness)})
}

func (s *store) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.entries)
	s.turns = turn.Table{}
}

func (s *store) forgetWitness() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.witness)
}

// rollBack restores a backup, and reports whether there was one. Without
// witness the testimonies stay.
func (s *store) rollBack(roll *dice, witness bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.backups) == 0 {
		return false
	}
	b := pick(roll, s.backups)
	s.entries = maps.Clone(b.entries)
	s.turns = turn.Table{}
	if witness {
		s.witness = slices.Clone(b.witness)
	}
	return true
}

func (s *store) testimony(partition int) node.Testimony {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.witness[partition]
}

func slot(epoch events.Epoch, key string) string { return fmt.Sprintf("%016x:%s", uint64(epoch), key) }

// put stores e unless a newer birth is there.
func (s *store) put(e tiers.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := slot(e.Epoch(), e.Key())
	if held, ok := s.entries[name]; ok && held.Birth() > e.Birth() {
		return tiers.ErrOutdated
	}
	s.entries[name] = e
	return nil
}

func (s *store) raise(partition int, from, to node.Testimony) node.Testimony {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.witness[partition].Yields(from, to) {
		s.witness[partition] = to
	}
	return s.witness[partition]
}

// storePort is one process's way to the store.
type storePort struct {
	p *process
	s *store
}

var (
	_ tiers.Tier   = (*storePort)(nil)
	_ node.Witness = (*witnessPort)(nil)
)

// storeTimeout is how long a process waits for the store.
const storeTimeout = 100 * time.Millisecond

// trip takes one way to the store and says what became of the request: done
// carries it out, and may be called late, or not at all.
func (x *storePort) trip(ctx context.Context, must bool, done func()) error {
	p, w := x.p, x.p.w
	if p.pass(ctx) != nil || p.isDead() {
		return tiers.ErrUnavailable
	}
	p.nap(p.roll, 800*time.Microsecond)
	if !must {
		switch {
		case p.m.cutStore.Load():
			p.nap(p.roll, storeTimeout)
			return tiers.ErrUnavailable
		case w.strikes(p.roll, w.plan.noise.storeLost, "store: request lost"):
			p.nap(p.roll, storeTimeout)
			return tiers.ErrUnavailable
		}
	}
	if p.isDead() && p.roll.chance(0.5) {
		return tiers.ErrUnavailable
	}
	done()
	if !must && w.strikes(p.roll, w.plan.noise.storeReplyLost, "store: reply lost") {
		p.nap(p.roll, storeTimeout)
		return tiers.ErrUnavailable
	}
	p.nap(p.roll, 800*time.Microsecond)
	if err := p.pass(ctx); err != nil {
		return tiers.ErrUnavailable
	}
	return nil
}

func (x *storePort) epoch(key string) events.Epoch { return x.p.node.Epoch(key) }

func (x *storePort) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	epoch := x.epoch(key)
	if epoch == 0 {
		return nil, tiers.ErrUnavailable
	}
	var e tiers.Entry
	if err := x.trip(ctx, false, func() {
		x.s.mu.Lock()
		e = x.s.entries[slot(epoch, key)]
		x.s.mu.Unlock()
	}); err != nil {
		return nil, err
	}
	if e == nil || e.Ended(x.p.m.clock.Now().Unix) {
		return nil, tiers.ErrMiss
	}
	return append(tiers.Entry(dst[:0]), e...), nil
}

func (x *storePort) Put(ctx context.Context, e tiers.Entry) error {
	epoch := x.epoch(e.Key())
	switch {
	case epoch == 0:
		return tiers.ErrUnavailable
	case e.Epoch() != epoch:
		return tiers.ErrOutdated
	}
	e = append(tiers.Entry(nil), e...)
	if w := x.p.w; !x.p.isDead() && w.strikes(x.p.roll, w.plan.noise.storeLate, "store: late set") {
		late := x.p.roll.between(50*time.Millisecond, 3*time.Second)
		w.background(func() {
			time.Sleep(late)
			_ = x.s.put(e) // nobody waits for it any more
			w.lateCopies.Store(true)
		})
		x.p.nap(x.p.roll, storeTimeout)
		return tiers.ErrUnavailable
	}
	var answer error
	if err := x.trip(ctx, false, func() { answer = x.s.put(e) }); err != nil {
		return err
	}
	return answer
}

func (x *storePort) Remove(ctx context.Context, keys ...string) error {
	return x.trip(ctx, false, func() {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		for _, k := range keys {
			delete(x.s.entries, slot(x.epoch(k), k))
		}
	})
}

func (x *storePort) Clear(ctx context.Context) error { return x.trip(ctx, false, x.s.flush) }

// witnessPort is the same way, for testimonies. In runs that change the log's
// history and promise that the witness survives, it always answers.
type witnessPort struct{ storePort }

func (x *witnessPort) Read(ctx context.Context, partition int) (t node.Testimony, err error) {
	err = x.trip(ctx, x.p.w.plan.witnessHolds, func() { t = x.s.testimony(partition) })
	return t, err
}

func (x *witnessPort) Raise(ctx context.Context, partition int, from, to node.Testimony) (t node.Testimony, err error) {
	err = x.trip(ctx, x.p.w.plan.witnessHolds, func() { t = x.s.raise(partition, from, to) })
	return t, err
}
