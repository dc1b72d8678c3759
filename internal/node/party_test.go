package node_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/turn"
)

// partyLine connects the nodes of a fleet that load in turns.
type partyLine struct {
	mu    sync.Mutex
	there map[events.Incarnation]*extension
	// lose, if set, decides which announcements are lost; change may alter one.
	lose   func(turn.Filled) bool
	change func(*turn.Filled)
	// announced counts announcements that were made.
	announced int
}

func newPartyLine() *partyLine { return &partyLine{there: map[events.Incarnation]*extension{}} }

// extension is one node's end of the line.
type extension struct {
	party  *partyLine
	heard  map[int]bool
	filled func(turn.Filled)
	asked  func(node.TurnRequest) node.TurnReply
	cut    bool // nothing goes in or out
}

var errCut = errors.New("cut off")

func (x *extension) Announce(f turn.Filled) error {
	x.party.mu.Lock()
	defer x.party.mu.Unlock()
	x.party.announced++
	if x.cut {
		return errCut
	}
	if x.party.lose != nil && x.party.lose(f) {
		return nil
	}
	if x.party.change != nil {
		x.party.change(&f)
	}
	for _, to := range x.party.there {
		if !to.cut && to.heard[turn.Bucket(f.Key)] {
			to.filled(f)
		}
	}
	return nil
}

func (x *extension) Hear(_ context.Context, bucket int) (bool, error) {
	x.party.mu.Lock()
	defer x.party.mu.Unlock()
	fresh := !x.heard[bucket]
	x.heard[bucket] = true
	return fresh, nil
}

func (x *extension) Request(_ context.Context, to events.Incarnation, q node.TurnRequest) (node.TurnReply, error) {
	x.party.mu.Lock()
	other := x.party.there[to]
	cut := x.cut || other == nil || other.cut
	x.party.mu.Unlock()
	if cut {
		return node.TurnReply{}, errCut
	}
	q.Filled = x.party.altered(q.Filled)
	r := other.asked(q)
	r.Answer.Filled = x.party.altered(r.Answer.Filled)
	return r, nil
}

func (p *partyLine) altered(f *turn.Filled) *turn.Filled {
	if f == nil || p.change == nil {
		return f
	}
	changed := *f
	p.change(&changed)
	return &changed
}

func (x *extension) Serve(ctx context.Context, self events.Incarnation, filled func(turn.Filled), asked func(node.TurnRequest) node.TurnReply) error {
	x.party.mu.Lock()
	x.filled, x.asked = filled, asked
	x.party.there[self] = x
	x.party.mu.Unlock()
	<-ctx.Done()
	x.party.mu.Lock()
	delete(x.party.there, self)
	x.party.mu.Unlock()
	return ctx.Err()
}

func (x *extension) setCut(cut bool) {
	x.party.mu.Lock()
	x.cut = cut
	x.party.mu.Unlock()
}

// redisTurns grants turns beside a shared tier, as Redis does.
type redisTurns struct {
	mu     sync.Mutex
	clock  *clocktest.Clock
	table  turn.Table
	shared *sharedTier
	down   bool
	takes  int
}

// redisPort is one node's way there.
type redisPort struct {
	*redisTurns
	x *extension
}

func (r redisPort) reach() error {
	r.x.party.mu.Lock()
	defer r.x.party.mu.Unlock()
	if r.down || r.x.cut {
		return errCut
	}
	return nil
}

func (r redisPort) Take(ctx context.Context, q turn.Request) (turn.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takes++
	if err := r.reach(); err != nil {
		return turn.Answer{}, err
	}
	var e []byte
	if !q.Anew {
		if c, err := r.shared.Get(ctx, q.Key, nil); err == nil && c.Epoch() == q.Epoch && c.Birth() >= q.From {
			e = c
			if c.Birth() >= q.Sure {
				return turn.Answer{Copy: e}, nil
			}
		}
	}
	a := r.table.Take(r.clock.Waiter(), q)
	a.Copy = e
	return a, nil
}

func (r redisPort) TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken {
	out := make([]turn.Taken, len(rs))
	for i, q := range rs {
		out[i].Answer, out[i].Err = r.Take(ctx, q)
	}
	return out
}

func (r redisPort) Extend(_ context.Context, c turn.Claim, d time.Duration) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reach(); err != nil {
		return false, err
	}
	return r.table.Extend(r.clock.Waiter(), c, d), nil
}

func (r redisPort) Release(_ context.Context, c turn.Claim) (turn.Ended, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reach(); err != nil {
		return turn.Ended{}, err
	}
	return r.table.Release(r.clock.Waiter(), c, nil, 0), nil
}

// party is a fleet whose nodes load in turns, with a shared tier or without.
type party struct {
	*fleet
	line  *partyLine
	redis *redisTurns // nil: owners grant turns
	ends  map[string]*extension
}

func (f *fleet) party(shared bool) *party {
	p := &party{fleet: f, line: newPartyLine(), ends: map[string]*extension{}}
	if shared {
		f.shared = newSharedTier()
		p.redis = &redisTurns{clock: clocktest.New(), shared: f.shared}
	}
	return p
}

// start starts a node that takes part.
func (p *party) start(name string, o options) *member {
	p.t.Helper()
	x := &extension{party: p.line, heard: map[int]bool{}}
	p.ends[name] = x
	more := o.deps
	o.deps = func(d *node.Deps) {
		d.Line = x
		if p.redis != nil {
			d.Turns = redisPort{p.redis, x}
		}
		if more != nil {
			more(d)
		}
	}
	return p.fleet.start(name, o)
}

// several starts that many nodes, named from "a" on, and returns when each
// knows of all.
func (p *party) several(n int, o options) []*member {
	p.t.Helper()
	var ms []*member
	for i := range n {
		ms = append(ms, p.start(string(rune('a'+i)), o))
	}
	p.acquainted(ms...)
	return ms
}

func (p *party) acquainted(ms ...*member) {
	p.t.Helper()
	for _, m := range ms {
		p.await("members to know each other", func() bool { return len(m.Members()) == len(ms) })
		p.caughtUp(m)
	}
}

// setDown lets the shared grants fail, or come back.
func (p *party) setDown(down bool) {
	p.line.mu.Lock()
	p.redis.down = down
	p.line.mu.Unlock()
}

// count returns how often the origin was asked.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// yields fails the test unless the read got value.
func (r *reading) yields(m *member, value string) {
	m.t.Helper()
	<-r.done
	if r.err != nil || r.value != value {
		m.t.Fatalf("%q, %v; want %q", r.value, r.err, value)
	}
}
