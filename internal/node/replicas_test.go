package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// inReplicatedFleet runs test with three nodes that exchange copies and have no
// Redis.
func inReplicatedFleet(t *testing.T, test func(t *testing.T, f *fleet, ms []*member)) {
	t.Helper()
	inDomains(t, func(t *testing.T, f *fleet) {
		f.carrier = newCarrier()
		var ms []*member
		for _, name := range []string{"a", "b", "c"} {
			ms = append(ms, f.start(name, options{}))
		}
		f.know(3, ms...)
		test(t, f, ms)
	})
}

// know waits until all ms take n nodes for owners.
func (f *fleet) know(n int, ms ...*member) {
	f.t.Helper()
	f.await("everybody to know the owners", func() bool {
		for _, m := range ms {
			all := map[events.NodeID]bool{}
			for i := range 64 {
				for _, o := range m.Owners(fmt.Sprint("k", i)) {
					all[o] = true
				}
			}
			if len(all) != n {
				return false
			}
		}
		return true
	})
}

// foreign returns a key that m does not own.
func (m *member) foreign() string { return m.keyWhere(false) }

// owned returns a key that m owns.
func (m *member) owned() string { return m.keyWhere(true) }

func (m *member) keyWhere(owned bool) string {
	m.t.Helper()
	for i := range 256 {
		k := m.fleet.near(fmt.Sprint("key", i, "-"))
		if slices.Contains(m.Owners(k), m.name()) == owned {
			return k
		}
	}
	m.t.Fatal("no such key")
	return ""
}

func (m *member) name() events.NodeID { return m.id }

// onDisk returns the copy of key on m's disk, nil if there is none.
func (m *member) onDisk(key string) tiers.Entry {
	m.t.Helper()
	found, err := m.disk.Lookup(key, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return found.Entry
}

func (m *member) loads(key, value string, tags ...string) {
	m.t.Helper()
	if got, err := m.get(key, node.ReadOptions{Load: loads(value, tags...)}); err != nil || got != value {
		m.t.Fatalf("load %s: %q, %v", key, got, err)
	}
}

// What one node has loaded lies on the disks of its key's owners, with its
// birth, and is found there by who does not own it.
func TestOwnersKeepWhatOthersLoad(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a, c := ms[0], ms[2]
		k := c.foreign()
		a.put("before", "v") // so that births are not all the same
		a.loads(k, "v")
		birth := a.onDisk(k).Birth()
		for range 5 {
			a.put("after", "v")
		}
		for _, m := range ms {
			if !slices.Contains(m.Owners(k), m.name()) {
				continue
			}
			f.await("the owner to keep it", func() bool { return m.onDisk(k) != nil })
			if got := m.onDisk(k).Birth(); got != birth {
				t.Errorf("born at %d on %s, at %d where it was loaded", got, m.name(), birth)
			}
		}
		r, err := c.Get(t.Context(), k, nil, node.ReadOptions{})
		if err != nil || string(r.Entry.Payload()) != "v" || r.Source != node.FromOwner || r.Entry.Birth() != birth {
			t.Fatalf("%q from %v: %v", r.Entry, r.Source, err)
		}
		if s := c.Stats(); s.OwnerHits != 1 || s.Loads != 0 {
			t.Errorf("%d hits on owners, %d loads", s.OwnerHits, s.Loads)
		}
		c.wants(k, "v") // from nearer, now
		if s := c.Stats(); s.OwnerHits != 1 {
			t.Errorf("asked an owner again")
		}
	})
}

// G9: lost, repeated, reordered and late copies. None of them shows.
func TestCopiesOnTheirWay(t *testing.T) {
	later := 2 * lease
	for name, arrivals := range map[string][]time.Duration{
		"lost": nil, "twice": {0, time.Second}, "late": {later}, "twice late": {later, later + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
				a, b := ms[0], ms[1]
				k := b.owned()
				f.carrier.fate = func(events.NodeID, node.Shipment) []time.Duration { return arrivals }
				a.loads(k, "old", "tag")
				synctest.Wait()
				tagged := events.Scope{Tags: []string{"tag"}}
				a.invalidate(tagged)
				f.caughtUp(b)
				f.pass(2 * later)
				if len(arrivals) > 0 && arrivals[0] >= later && b.onDisk(k) != nil {
					t.Error("a copy that a fence had killed before it came is kept")
				}
				for _, m := range ms {
					m.wants(k, "")
				}
			})
		})
	}
	t.Run("reordered", func(t *testing.T) {
		inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
			a, b := ms[0], ms[1]
			k := b.owned()
			first := true
			f.carrier.fate = func(events.NodeID, node.Shipment) []time.Duration {
				defer func() { first = false }()
				if first {
					return []time.Duration{time.Second}
				}
				return []time.Duration{0}
			}
			a.loads(k, "old", "tag")
			synctest.Wait()
			a.invalidate(events.Scope{Tags: []string{"tag"}})
			a.loads(k, "new", "tag")
			synctest.Wait()
			f.pass(2 * time.Second)
			if e := b.onDisk(k); e == nil || string(e.Payload()) != "new" {
				t.Fatalf("on disk: %q", e)
			}
		})
	})
}

// G6: a copy of an epoch that is over stays out, though it was born further on
// than this one has come.
func TestCopyOfAnotherEpoch(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a, b := ms[0], ms[1]
		k := b.owned()
		f.carrier.fate = func(events.NodeID, node.Shipment) []time.Duration { return []time.Duration{4 * lease} }
		_, kept := f.stream.Bounds()
		for range 100 {
			a.put(f.near("lost"), "v")
		}
		a.loads(k, "old")
		synctest.Wait()
		epoch, birth := a.Epoch(k), a.onDisk(k).Birth()
		f.stream.Rollback(kept)
		f.await("another epoch", func() bool { return b.Epoch(k) != epoch && b.Epoch(k) != 0 })
		f.caughtUp(b)
		if at := b.Stats().Partitions[f.home()].Applied; at >= birth {
			t.Fatalf("at %d, beyond the copy's birth at %d: proves nothing", at, birth)
		}
		f.pass(5 * lease)
		if b.onDisk(k) != nil {
			t.Error("a copy of the old epoch is kept")
		}
		b.wants(k, "")
		if s := b.Stats(); s.CopiesReceived == 0 || s.CopiesRefused != s.CopiesReceived {
			t.Errorf("%d received, %d refused", s.CopiesReceived, s.CopiesRefused)
		}
	})
}

// P23: a fence that is applied between a copy's arrival and its keeping.
func TestCopyRacesWithApply(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.carrier = newCarrier()
		held := &barrier{}
		defer held.open()
		a := f.start("a", options{})
		b := f.start("b", options{wrap: func(d node.Disk) node.Disk { return slowFills{d, held} }})
		f.know(2, a, b)
		held.shut()
		a.loads("k", "old", "tag")
		synctest.Wait() // the copy has arrived, and is on its way to the disk
		a.invalidate(events.Scope{Tags: []string{"tag"}})
		f.caughtUp(b)
		held.open()
		synctest.Wait()
		if b.onDisk("k") != nil {
			t.Error("kept behind the fence")
		}
		b.wants("k", "")
	})
}

// slowFills is a disk whose fills a barrier holds up.
type slowFills struct {
	node.Disk
	held *barrier
}

func (d slowFills) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	if err := d.held.pass(context.Background()); err != nil {
		return err
	}
	return d.Disk.FillAll(partition, es, alive)
}

// H5: no copy goes to another node before the witness covers its birth, neither
// sent nor asked for.
func TestShipmentsWaitForTheWitness(t *testing.T) {
	inWitnessedFleet(t, func(t *testing.T, f *fleet, raising *barrier, o options) {
		f.carrier = newCarrier()
		a, b := f.start("a", o), f.start("b", o)
		f.know(2, a, b)
		raising.shut()
		if err := a.appends(&events.Invalidate{Scope: ofK}); err != nil {
			t.Fatal(err)
		}
		f.await("a to apply it", func() bool { _, last := f.stream.Bounds(); return a.Stats().Partitions[f.home()].Applied >= last })
		a.loads("k", "v")
		synctest.Wait()
		if birth := a.onDisk("k").Birth(); f.witnessed() >= birth {
			t.Fatalf("born at %d, the witness is at %d: proves nothing", birth, f.witnessed())
		}
		if sent := f.carrier.shipments("k"); len(sent) > 0 {
			t.Errorf("sent %+v while the witness is at %d", sent[0].Shipment, f.witnessed())
		}
		if s, err := f.carrier.Fetch(t.Context(), "a", 0, []string{"k"}); err == nil && len(s.Entries) > 0 {
			t.Errorf("lent %+v while the witness is at %d", s, f.witnessed())
		}
		raising.open()
		synctest.Wait()
		if sent := f.carrier.shipments("k"); len(sent) == 0 || f.witnessed() < sent[0].Entries[0].Birth() {
			t.Errorf("sent %d times, the witness is at %d", len(sent), f.witnessed())
		}
	})
}

// H1, H5: a copy is kept only by a node that has lived through what it was born
// behind, in the same history.
func TestReceiversAskForTheSameHistory(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a, b := ms[0], ms[1]
		k := b.owned()
		f.carrier.fate = func(events.NodeID, node.Shipment) []time.Duration { return nil }
		a.loads(k, "v")
		synctest.Wait()
		honest := f.carrier.shipments(k)[0].Shipment

		forged, ahead, unborn := clone(honest), clone(honest), clone(honest)
		forged.Digest[0]++
		_, last := f.stream.Bounds()
		ahead.At = last + 1000
		unborn.Entries[0].Stamp(unborn.Epoch, unborn.At+1)
		damaged := clone(honest)
		damaged.Entries[0][len(damaged.Entries[0])-1]++
		for name, s := range map[string]node.Shipment{
			"another digest": forged, "from ahead": ahead, "born ahead of its voucher": unborn, "damaged": damaged,
			"no such partition": {Partition: 7, Entries: honest.Entries},
		} {
			f.carrier.deliver("b", s)
			if e := b.onDisk(k); e != nil {
				t.Errorf("%s: kept %q", name, e)
			}
		}
		f.carrier.deliver("b", honest)
		if e := b.onDisk(k); e == nil {
			t.Error("the honest one was not kept")
		}
		if s := b.Stats(); s.CopiesReceived != 6 || s.CopiesKept != 1 || s.CopiesRefused != 5 || s.Corrupt != 1 {
			t.Errorf("%d received, %d kept, %d refused, %d corrupt", s.CopiesReceived, s.CopiesKept, s.CopiesRefused, s.Corrupt)
		}
	})
}

// G1: an owner that is behind answers what it takes for alive. The asker knows
// better.
func TestOwnerThatIsBehind(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		c := ms[2]
		k := c.foreign()
		ms[0].loads(k, "old")
		ms[1].loads(k, "old")
		synctest.Wait()
		ms[0].log.Cut()
		ms[1].log.Cut()
		c.invalidate(events.Scope{Keys: []string{k}})
		c.wants(k, "")
		if s := c.Stats(); s.Fetches == 0 || s.OwnerHits != 0 {
			t.Errorf("%d questions, %d hits", s.Fetches, s.OwnerHits)
		}
		if ms[0].Stats().CopiesLent+ms[1].Stats().CopiesLent == 0 {
			t.Error("nobody lent the dead copy: proves nothing")
		}
	})
}

// What Redis has lost comes back from an owner, and into Redis again.
func TestRedisIsFlushed(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.carrier, f.shared, f.witness = newCarrier(), newSharedTier(), &memoryWitness{}
		ms := []*member{f.start("a", options{}), f.start("b", options{}), f.start("c", options{})}
		f.know(3, ms...)
		c := ms[2]
		k := c.foreign()
		ms[0].loads(k, "v")
		synctest.Wait()
		if err := f.shared.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.wants(k, "v")
		synctest.Wait()
		if _, err := f.shared.Get(t.Context(), k, nil); err != nil {
			t.Errorf("not in Redis again: %v", err)
		}
	})
}

// Owners that hang hold a read up for no longer than the timeout.
func TestDeafOwners(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		c := ms[2]
		k := c.foreign()
		f.carrier.deaf["a"], f.carrier.deaf["b"] = true, true
		began := time.Now()
		c.loads(k, "v")
		if took := time.Since(began); took > 60*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if s := c.Stats(); s.FetchesFailed != 2 {
			t.Errorf("%d questions failed", s.FetchesFailed)
		}
	})
}

// A copy that is too large for a message is not sent, and that is counted.
func TestCopyTooLargeToSend(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a := ms[0]
		var n atomic.Int64
		load := func(context.Context, string) (node.Loaded, error) {
			n.Add(1)
			return node.Loaded{Payload: make([]byte, 1<<20)}, nil
		}
		if _, err := a.Get(t.Context(), "k", nil, node.ReadOptions{Load: load}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := a.Stats(); len(f.carrier.shipments("k")) != 0 || s.CopiesDropped == 0 {
			t.Errorf("sent %d times, %d dropped", len(f.carrier.shipments("k")), s.CopiesDropped)
		}
	})
}

// While nothing can be sent, or what is queued is worth more than the bound,
// copies are dropped and counted; readers don't notice.
func TestCopiesThatCannotBeSent(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a := ms[0]
		f.carrier.shut(true)
		a.loads("k", "v")
		synctest.Wait()
		if s := a.Stats(); s.CopiesDropped == 0 || s.CopiesSent != 0 {
			t.Errorf("%d dropped, %d sent", s.CopiesDropped, s.CopiesSent)
		}
	})
	inFleet(t, func(t *testing.T, f *fleet) { // the bound is the node's
		raising, o := f.slowlyWitnessed()
		defer raising.open()
		f.carrier = newCarrier()
		a, b := f.start("a", o), f.start("b", o)
		f.know(2, a, b)
		raising.shut() // nothing leaves
		if err := a.appends(&events.Invalidate{Scope: ofK}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		value := make([]byte, 800<<10)
		for i := range 200 {
			go func() { _, _ = a.get(fmt.Sprint("k", i), node.ReadOptions{Load: loads(string(value))}) }()
		}
		synctest.Wait()
		if n := a.Stats().CopiesDropped; n == 0 {
			t.Error("160 MB are queued")
		}
	})
}

// An answer holds what there is of many keys, and no more than a message takes.
func TestManyKeysAreAskedForAtOnce(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a := ms[0]
		var keys []string
		for i := range 20 {
			k := f.near(fmt.Sprint("large", i, "-"))
			a.loads(k, string(make([]byte, 100<<10)))
			keys = append(keys, k, fmt.Sprint("missing", i))
		}
		s, err := f.carrier.Fetch(t.Context(), "a", f.home(), keys)
		bytes := 0
		for _, e := range s.Entries {
			bytes += len(e)
		}
		if err != nil || len(s.Entries) < 8 || bytes > 900<<10 {
			t.Errorf("%d entries of %d bytes: %v", len(s.Entries), bytes, err)
		}
		if s, err := f.carrier.Fetch(t.Context(), "a", 9, keys); err != nil || len(s.Entries) != 0 {
			t.Errorf("another partition: %d entries, %v", len(s.Entries), err)
		}
		if s, err := f.carrier.Fetch(t.Context(), "a", f.home(), []string{"", string(make([]byte, 1<<17))}); err != nil || len(s.Entries) != 0 {
			t.Errorf("no keys: %d entries, %v", len(s.Entries), err)
		}
	})
}

// Many keys cost one question to each owner.
func TestOneQuestionForManyKeys(t *testing.T) {
	inReplicatedFleet(t, func(t *testing.T, f *fleet, ms []*member) {
		a, c := ms[0], ms[2]
		var keys []string
		for i := range 40 {
			k := f.near(fmt.Sprint("key", i, "-"))
			a.loads(k, "v")
			keys = append(keys, k, fmt.Sprint("missing", i))
		}
		synctest.Wait()
		before := c.Stats()
		found := c.FetchAll(t.Context(), keys...)
		names := map[string]bool{}
		for _, e := range found {
			names[e.Key()] = true
		}
		s := c.Stats()
		if len(found) != 40 || len(names) != 40 || names["missing0"] {
			t.Errorf("found %d copies of %d keys", len(found), len(names))
		}
		if s.Fetches-before.Fetches != 2 || s.OwnerHits-before.OwnerHits != 40 || s.FetchMisses-before.FetchMisses != 40 {
			t.Errorf("%d questions, %d hits, %d misses", s.Fetches-before.Fetches, s.OwnerHits-before.OwnerHits, s.FetchMisses-before.FetchMisses)
		}
	})
}

// A node that replicates nothing asks nobody, and a guest owns nothing.
func TestNotTakingPart(t *testing.T) {
	inDomains(t, func(t *testing.T, f *fleet) {
		f.carrier = newCarrier()
		a := f.start("a", options{config: func(c *node.Config) { c.Replication = -1 }})
		b := f.start("b", options{})
		g := f.start("g", options{config: func(c *node.Config) { c.Guest = true }})
		f.know(2, b, g)
		a.loads("k", "v")
		b.loads("k2", "v")
		synctest.Wait()
		if sent := f.carrier.shipments("k"); len(sent) > 0 {
			t.Errorf("a sent %+v", sent)
		}
		if _, err := a.get("other", node.ReadOptions{}); !errors.Is(err, node.ErrNotFound) || a.Stats().Fetches != 0 {
			t.Errorf("a asked %d times: %v", a.Stats().Fetches, err)
		}
		if g.onDisk("k2") != nil {
			t.Error("a guest was sent a copy")
		}
		g.wants("k2", "v")
	})
}
