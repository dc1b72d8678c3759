package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

// tally is an origin of many keys that counts what it is asked for.
type tally struct {
	mu    sync.Mutex
	calls int
	keys  map[string]int
	takes time.Duration
	fails func(call int) bool
}

func (o *tally) load(ctx context.Context, keys []string) (map[string]node.Loaded, error) {
	o.mu.Lock()
	o.calls++
	call := o.calls
	for _, k := range keys {
		if o.keys == nil {
			o.keys = map[string]int{}
		}
		o.keys[k]++
	}
	o.mu.Unlock()
	time.Sleep(o.takes)
	if o.fails != nil && o.fails(call) {
		return nil, errOrigin
	}
	found := map[string]node.Loaded{}
	for _, k := range keys {
		found[k] = node.Loaded{Payload: []byte("v of " + k)}
	}
	return found, nil
}

// G10: ten nodes miss batches that overlap, at once, and each key is loaded
// once, by as many calls as there are nodes at most.
func TestBatchesLoadOncePerFleet(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		const nodes, size, apart = 10, 20, 7
		ms := p.several(nodes, options{})
		origin := &tally{takes: 100 * time.Millisecond}
		began := time.Now()
		var all sync.WaitGroup
		for i, m := range ms {
			all.Go(func() {
				var keys []string
				for k := range size {
					keys = append(keys, fmt.Sprint("item:", i*apart+k))
				}
				for _, a := range m.GetMany(t.Context(), keys, node.BatchOptions{Load: origin.load}) {
					if a.Err != nil || string(a.Entry.Payload()) != "v of "+a.Key {
						t.Errorf("%s: %s is %q, %v", m.id, a.Key, a.Entry, a.Err)
					}
				}
			})
		}
		all.Wait()
		for k, n := range origin.keys {
			if n != 1 {
				t.Errorf("%s was loaded %d times", k, n)
			}
		}
		if n := (nodes-1)*apart + size; len(origin.keys) != n {
			t.Errorf("%d keys were loaded, want %d", len(origin.keys), n)
		}
		if origin.calls > nodes {
			t.Errorf("%d calls of %d nodes", origin.calls, nodes)
		}
		if took := time.Since(began); took > turnLength {
			t.Errorf("took %v: somebody waited for the end of a turn", took)
		}
	})
}

// What a batch is granted is loaded while another node still loads the rest.
func TestBatchLoadsItsOwnFirst(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(2, options{})
		slow := newGate("v of slow")
		other := ms[0].reads("slow", slow.load)
		synctest.Wait()
		origin := &tally{}
		done := make(chan []node.Answer, 1)
		go func() {
			done <- ms[1].GetMany(context.Background(), []string{"slow", "quick"}, node.BatchOptions{Load: origin.load})
		}()
		p.await("the rest to be loaded", func() bool {
			origin.mu.Lock()
			defer origin.mu.Unlock()
			return origin.keys["quick"] == 1
		})
		close(slow.open)
		other.yields(ms[0], "v of slow")
		for _, a := range <-done {
			if a.Err != nil || string(a.Entry.Payload()) != "v of "+a.Key {
				t.Errorf("%s is %q, %v", a.Key, a.Entry, a.Err)
			}
		}
		if origin.keys["slow"] != 0 {
			t.Error("the batch loaded what another node was loading")
		}
	})
}

// A batch whose load fails passes all its turns on, and the next node loads what
// it waited for by few calls.
func TestFailedBatchPassesItsTurnsOn(t *testing.T) {
	inParty(t, func(t *testing.T, p *party) {
		ms := p.several(2, options{})
		origin := &tally{takes: time.Second, fails: func(call int) bool { return call == 1 }}
		keys := spreadKeys(30)
		first := make(chan []node.Answer, 1)
		go func() { first <- ms[0].GetMany(context.Background(), keys, node.BatchOptions{Load: origin.load}) }()
		p.pass(100 * time.Millisecond)
		for _, a := range ms[1].GetMany(context.Background(), keys, node.BatchOptions{Load: origin.load}) {
			if a.Err != nil {
				t.Errorf("%s: %v", a.Key, a.Err)
			}
		}
		for _, a := range <-first {
			if !errors.Is(a.Err, errOrigin) {
				t.Errorf("%s: %v, want the origin's error", a.Key, a.Err)
			}
		}
		if origin.calls > 4 {
			t.Errorf("%d calls", origin.calls)
		}
	})
}
