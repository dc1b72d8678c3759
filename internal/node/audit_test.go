package node_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// board lets the nodes of a fleet consult each other.
type board struct {
	mu       sync.Mutex
	opinions map[events.Incarnation]func(node.Sighting) node.Opinion
}

func (b *board) Consult(_ context.Context, member events.Incarnation, s node.Sighting) (node.Opinion, error) {
	b.mu.Lock()
	f := b.opinions[member]
	b.mu.Unlock()
	if f == nil {
		return node.Abstains, context.DeadlineExceeded
	}
	return f(s), nil
}

func (b *board) Advise(ctx context.Context, self events.Incarnation, opinion func(node.Sighting) node.Opinion) error {
	b.mu.Lock()
	b.opinions[self] = opinion
	b.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// deaf is a memory tier that fences nothing: the damage that an auditor is for.
type deaf struct{ node.Memory }

func (deaf) Fence(string, events.Position) {}

// audited starts two nodes that audit ten reads a second; the first one's memory
// may be changed.
func audited(f *fleet, change func(node.Memory) node.Memory) (a, b *member) {
	peers := &board{opinions: map[events.Incarnation]func(node.Sighting) node.Opinion{}}
	start := func(name string, change func(node.Memory) node.Memory) *member {
		return f.start(name, options{
			config: func(c *node.Config) { c.AuditRate = 10 },
			deps: func(d *node.Deps) {
				d.Auditors = peers
				if change != nil {
					d.Memory = change(d.Memory)
				}
			},
		})
	}
	return start("a", change), start("b", nil)
}

// load lets reads and writes go on for a while, of keys and tags that a fence
// may cover in every way.
func load(f *fleet, a, b *member, d time.Duration) {
	keys := []string{"item:1", "item:2:x", "other"}
	scopes := []events.Scope{{Keys: keys[:1]}, {Tags: []string{"t"}}, {Prefixes: []string{"item:"}}, {Globs: []string{"*:x"}}, {All: true}}
	for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
		if i%7 == 0 {
			b.invalidate(scopes[i/7%len(scopes)])
		}
		for _, m := range []*member{a, b} {
			for _, key := range keys {
				_, _ = m.get(key, node.ReadOptions{Load: loads("x", "t")})
			}
		}
		f.pass(10 * time.Millisecond)
	}
}

// The auditor finds nothing where there is nothing to find, and says how much it
// has looked at.
func TestAuditorFindsNothing(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := audited(f, nil)
		load(f, a, b, 2*lease)
		for _, m := range []*member{a, b} {
			s := m.Stats().Audit
			if s.Reads < 20 || s.CheckedByLog < 20 || s.CheckedByPeer < 5 {
				t.Errorf("too little was checked: %+v", s)
			}
			if s.ViolationsByLog+s.ViolationsByPeer != 0 {
				t.Errorf("blamed without a cause: %+v", s)
			}
		}
		if s := b.Stats().Audit; s.Writes == 0 || s.Reach.Count < s.Writes || s.Reach.Sum <= 0 {
			t.Errorf("writes were not followed: %+v", s)
		}
	})
}

// A node that serves a dead copy is found, by the log and by the other node.
func TestAuditorFindsAStaleCopy(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := audited(f, func(m node.Memory) node.Memory { return deaf{m} })
		const key = "item:1"
		if _, err := a.get(key, node.ReadOptions{Load: loads("old")}); err != nil {
			t.Fatal(err)
		}
		b.invalidate(events.Scope{Keys: []string{key}})
		f.caughtUp(a)
		a.wants(key, "old") // the damage is done
		f.await("the auditor to find it, both ways", func() bool {
			_, _ = a.get(key, node.ReadOptions{})
			s := a.Stats().Audit
			return s.ViolationsByLog > 0 && s.ViolationsByPeer > 0
		})
	})
}

// What the list of fences has forgotten the log still has: the records themselves
// are read again, and what they can't tell either counts as checked nowhere.
func TestAuditorReadsTheLogAgain(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		a, b := audited(f, func(m node.Memory) node.Memory { return deaf{m} })
		if _, err := a.get("k", node.ReadOptions{Load: loads("old")}); err != nil {
			t.Fatal(err)
		}
		b.invalidate(ofK)
		f.caughtUp(a)
		a.ForgetAuditedFences()
		f.await("the log to tell", func() bool {
			_, _ = a.get("k", node.ReadOptions{})
			s := a.Stats().Audit
			return s.ViolationsByLog > 0 && s.Reread > 0
		})
		f.trim()
		a.ForgetAuditedFences()
		before := a.Stats().Audit
		f.await("reads that nobody can judge", func() bool {
			_, _ = a.get("k", node.ReadOptions{})
			return a.Stats().Audit.UnknownByLog > before.UnknownByLog+3
		})
		s := a.Stats().Audit
		if s.CheckedByLog != before.CheckedByLog || s.CheckedByLog+s.UnknownByLog != s.Reads {
			t.Errorf("%+v, then %+v", before, s)
		}
	})
}
