package run

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/scenario"
)

// A seed is a plan: the same one twice, and another one for another seed.
func TestPlanFollowsTheSeed(t *testing.T) {
	s := &scenario.Scenario{Duration: time.Minute, Faults: []scenario.Fault{
		{Fault: "kill", Target: "any node", At: 5 * time.Second, Every: 10 * time.Second, Jitter: 3 * time.Second},
		{Fault: "leader-change", Target: "log", At: 2 * time.Second},
	}}
	first := plan(s, 1)
	if !reflect.DeepEqual(first, plan(s, 1)) {
		t.Error("one seed made two plans")
	}
	if reflect.DeepEqual(first, plan(s, 2)) {
		t.Error("two seeds made one plan")
	}
	if len(first) != 7 || first[0].fault.Fault != "leader-change" {
		t.Errorf("%d faults, the first is %+v", len(first), first[0])
	}
	for i, m := range first[1:] {
		if from := 5*time.Second + time.Duration(i)*10*time.Second; m.at < from || m.at >= from+3*time.Second {
			t.Errorf("fault %d is at %v", i, m.at)
		}
	}
}

// Each round of a rotation has every fault once.
func TestRoundsHaveAll(t *testing.T) {
	r := scenario.Rotation{Faults: []scenario.Fault{{Fault: "a"}, {Fault: "b"}, {Fault: "c"}}}
	n, seen := 0, map[string]int{}
	for m := range rounds(r, 7) {
		if n++; n > 6 {
			break
		}
		seen[m.fault.Fault]++
	}
	if seen["a"] != 2 || seen["b"] != 2 || seen["c"] != 2 {
		t.Errorf("two rounds had %v", seen)
	}
	for range rounds(scenario.Rotation{}, 7) {
		t.Error("an empty rotation has a fault")
	}
}

// Nobody is under two faults, unless one of them strikes all of a kind.
func TestNobodyIsStruckTwice(t *testing.T) {
	s := newStorm(nil, time.Now(), nil)
	for i, c := range []struct {
		target string
		taken  bool
	}{
		{"node-a", true}, {"node-a", false}, {"node-a|nats", false}, {"node-b|nats", true}, {"node-c|nats", true},
		{"nats-0|nats-1", true}, {"nats-1|nats-2", false}, {"nats", true}, {"nats", false},
	} {
		if got := s.seize(c.target); got != c.taken {
			t.Errorf("%d: %s was taken: %t", i, c.target, got)
		}
	}
	s.free("node-a")
	if !s.seize("node-a") {
		t.Error("who is free again can't be taken")
	}
}

// Whoever waits for a target that is busy gets it once it is free.
func TestTakeWaits(t *testing.T) {
	s := newStorm(&fleet.Fleet{}, time.Now(), nil)
	if !s.seize("node-a") {
		t.Fatal("nobody is under a fault")
	}
	got := make(chan string)
	go func() {
		name, err := s.take(t.Context(), "node-a", rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Error(err)
		}
		got <- name
	}()
	s.free("node-a")
	if name := <-got; name != "node-a" {
		t.Errorf("took %q", name)
	}
}
