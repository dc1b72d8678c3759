package node_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// gatedShared is a shared tier that answers when it is told to.
type gatedShared struct {
	*sharedTier
	gate *gate
}

func (s gatedShared) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	if _, err := s.gate.load(ctx, key); err != nil {
		return nil, err
	}
	return s.sharedTier.Get(ctx, key, dst)
}

// beginAnew has the log lose its last record, and a stand in the middle of the
// log that it then applies again, in front of position fence. What it returns
// lets it go on.
func (f *fleet) beginAnew(a *member, fence events.Position) (goOn func()) {
	f.t.Helper()
	a.put("lost", "v")
	a.log.Inject(memlog.Faults{Deliver: func(p events.Position) memlog.Route {
		if p >= fence {
			return memlog.Stalled
		}
		return memlog.Delivered
	}})
	_, last := f.stream.Bounds()
	f.stream.Rollback(last - 1)
	f.await("the middle of the log", func() bool { return a.Token().At(0).Position == fence-1 })
	return func() { a.log.Inject(memlog.Faults{}) }
}

// P44: the lease that a read has noted is not that of a node which has forgotten
// fences meanwhile, because it applies its log anew, though by the clock it
// holds.
func TestReadDoesNotOutliveWhatItsNodeKnew(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.shared = newSharedTier()
		slow := gatedShared{f.shared, newGate("")}
		a := f.start("a", options{deps: func(d *node.Deps) { d.Shared = slow }})
		a.put("k", "old")
		f.await("a copy in the shared tier", func() bool { return len(f.shared.backup()) == 1 })
		fence := a.invalidate(events.Scope{Globs: []string{"k*"}}).At(0).Position
		one := a.reads("k", nil)
		batch := make(chan []string)
		go func() { batch <- a.many(node.BatchOptions{}, "k") }()
		synctest.Wait()
		goOn := f.beginAnew(a, fence)
		close(slow.gate.open)
		synctest.Wait()
		goOn()
		if <-one.done; one.value != "" {
			t.Errorf("a read got %q, which was dead when it began", one.value)
		}
		if got := <-batch; got[0] != "not found" {
			t.Errorf("a batch got %q, which was dead when it began", got[0])
		}
	})
}

// P24, H8: a load may answer who joined it if nothing that it is made of was
// fenced before. A node that has forgotten fences meanwhile can't tell.
func TestJoinedLoadDoesNotOutliveWhatItsNodeKnew(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		a := f.start("a", options{})
		origin := newGate("old", "t")
		first := a.reads("k", origin.load)
		fence := a.invalidate(events.Scope{Tags: []string{"t"}}).At(0).Position
		var second string
		done := make(chan struct{})
		go func() {
			defer close(done)
			second, _ = a.get("k", node.ReadOptions{Level: consistency.Strong(), Load: origin.load})
		}()
		synctest.Wait()
		goOn := f.beginAnew(a, fence)
		origin.now("new")
		close(origin.open)
		<-first.done
		<-done
		goOn()
		if second != "new" {
			t.Errorf("who came behind the fence got %q", second)
		}
	})
}
