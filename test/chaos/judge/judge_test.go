package judge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/chaos/gauge"
	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

const (
	reg    = "register:0:1"
	all    = "everywhere:0:1"
	row    = "loaded:0:1"
	brk    = "bracketed:0:1"
	herded = "herd:0:1"
)

// at makes an operation that took from call to its end, in seconds.
func at(call, end float64, kind history.Kind, key string, value int64, o history.Outcome, change ...func(*workload.Op)) workload.Op {
	op := workload.Op{Op: history.Op{Client: int(10 * call), Kind: kind, Key: key, Value: value, Outcome: o, Call: s(call), Return: s(end)}, Member: "node-a", Via: "resp"}
	if kind == history.Read {
		op.Level = "strong"
	}
	for _, f := range change {
		f(&op)
	}
	return op
}

func s(seconds float64) int64                   { return int64(seconds * float64(time.Second)) }
func d(seconds float64) time.Duration           { return time.Duration(s(seconds)) }
func level(l string) func(*workload.Op)         { return func(o *workload.Op) { o.Level = l } }
func bound(x float64) func(*workload.Op)        { return func(o *workload.Op) { o.Bound = d(x) } }
func seen(p events.Position) func(*workload.Op) { return func(o *workload.Op) { o.Seen = p } }
func on(member string) func(*workload.Op)       { return func(o *workload.Op) { o.Member = member } }
func strange(o *workload.Op)                    { o.Strange = "torn" }
func fence(p events.Position, l float64) workload.Fence {
	return workload.Fence{Place: p, Landed: d(l)}
}

const (
	read, write, kill, query     = history.Read, history.Write, history.Invalidate, history.Query
	done, miss, nothing, unknown = history.Done, history.Miss, history.Nothing, history.Unknown
)

// record has two writes of each key, of which the second landed at 2 s.
func record(ops ...workload.Op) workload.Record {
	r := workload.Record{
		Ops: ops, Lease: d(2), Partitions: 1,
		Fences: map[string][]workload.Fence{}, Places: history.Order{}, Kept: map[string]map[int64]bool{},
		Accepted: map[string]time.Duration{}, Fenced: map[string]time.Duration{},
	}
	for _, key := range []string{reg, all} {
		r.Places.Note(key, 1, 10)
		r.Places.Note(key, 2, 20)
		r.Fences[key] = []workload.Fence{fence(20, 2), fence(10, 1)}
		r.Kept[key] = map[int64]bool{1: true, 2: true}
	}
	r.Fences[row] = []workload.Fence{fence(1, 1), fence(2, 2)}
	return r
}

var writes = []workload.Op{at(0.9, 1, write, reg, 1, done), at(1.9, 2, write, reg, 2, done)}

// surging is one of thirty samples, so many seconds apart: memory leaps.
func surging(kind string, apart, i int) gauge.Sample {
	s := gauge.Sample{At: d(float64(apart * i)), Name: "one", Kind: kind, Pid: 7, Goroutines: 50, Files: 9, RSS: 74 << 20}
	if i > 17 {
		s.RSS = 178 << 20
	}
	return s
}

// Each judge finds what was planted for it, and acquits its neighbour.
func TestJudges(t *testing.T) {
	reads := func(ops ...workload.Op) Case {
		return Case{Record: record(append(slices.Clone(writes), ops...)...), Ended: d(100)}
	}
	struck := func(f Fault, ops ...workload.Op) Case {
		c := reads(ops...)
		c.Faults = []Fault{f}
		return c
	}
	loads := func(second float64, fences ...workload.Fence) Case {
		c := reads()
		c.Loads = []workload.Load{{Key: herded, Member: "a", Begun: d(50), End: d(51)}, {Key: herded, Member: "b", Begun: d(second), End: d(second + 1)}}
		c.Fences[herded] = fences
		return c
	}
	kept := func(change func(*Case)) Case {
		c := reads()
		change(&c)
		return c
	}
	held := func(grow func(i int) gauge.Sample) Case {
		c := reads()
		for i := range 30 {
			x := grow(i)
			if x.Name == "" {
				x.At, x.Name, x.Pid = d(float64(i)), "node-a", 7
			}
			c.Samples = append(c.Samples, x)
		}
		return c
	}
	rollback := Fault{At: d(10), Until: d(11), Kind: "redis-rollback", Target: "redis", Tier: true, Proof: "seen"}
	restart := Fault{At: d(10), Until: d(11), Kind: "kill", Target: "node-a", Restarts: true, Proof: "seen"}
	loss := Fault{At: d(10), Until: d(11), Kind: "stream-recreated", Target: "log", History: true, Proof: "seen"}
	epoch := []workload.Epoch{{At: d(10.5), Number: 1, ID: 9}}
	lost := func(e []workload.Epoch, ops ...workload.Op) Case {
		c := struck(loss, ops...)
		c.Epochs = e
		return c
	}
	slow := func(ops ...workload.Op) Case {
		c := lost(epoch, ops...)
		c.Faults[0].Struck = d(11)
		return c
	}
	for _, tc := range []struct {
		judge, what string
		c           Case
		wrong       bool
	}{
		{"G1", "the newest", reads(at(3, 3, read, reg, 2, done)), false},
		{"G1", "an old one at strong", reads(at(2.1, 3, read, reg, 1, done)), true},
		{"G1", "an old one that landed during the read", reads(at(1.9, 3, read, reg, 1, done)), false},
		{"G1", "an old one within the lease", reads(at(3.9, 4, read, reg, 1, done, level("eventual"))), false},
		{"G1", "an old one beyond the lease", reads(at(4.2, 4.3, read, reg, 1, done, level("eventual"))), true},
		{"G1", "a row from before a fence", reads(at(2.1, 3, read, row, 1, done)), true},
		{"G1", "a row that was never written", reads(at(4.2, 4.3, read, row, 0, done, level("eventual"))), true},
		{"G2", "an own write is missed", reads(at(3, 3, read, reg, 1, done, level("session"), seen(20))), true},
		{"G2", "it is seen", reads(at(3, 3, read, reg, 2, done, level("session"), seen(20))), false},
		{"G3", "within the bound", reads(at(2.4, 3, read, reg, 1, done, level("bounded"), bound(0.5))), false},
		{"G3", "beyond it", reads(at(2.6, 3, read, reg, 1, done, level("bounded"), bound(0.5))), true},
		{"G4", "new, then old", reads(at(3, 3.1, read, reg, 2, done), at(4, 4.1, read, reg, 1, done)), true},
		{"G4", "a miss between", reads(at(3, 3.1, read, reg, 0, miss), at(4, 4.1, read, reg, 2, done)), false},
		{"G4b", "behind the database", reads(at(1, 2, write, brk, 5, done), at(3, 4, query, brk, 5, done), at(5, 6, read, brk, 0, done)), true},
		{"G4b", "level with it", reads(at(1, 2, write, brk, 5, done), at(3, 4, query, brk, 5, done), at(5, 6, read, brk, 5, done)), false},
		{"G5", "an old one after it returned", reads(at(1, 2, write, all, 1, done), at(3, 4, write, all, 2, done), at(5, 6, read, all, 1, done, level("eventual"))), true},
		{"G5", "either, before", reads(at(1, 2, write, all, 1, done), at(3, 9, write, all, 2, done), at(5, 6, read, all, 1, done, level("eventual"))), false},
		{"G6", "a dead value after a rollback", struck(rollback, at(12, 12, read, reg, 1, done, level("eventual"))), true},
		{"G6", "a live one", struck(rollback, at(12, 12, read, reg, 2, done, level("eventual"))), false},
		{"G7", "a dead value from the restarted", struck(restart, at(12, 12, read, reg, 1, done, level("eventual"))), true},
		{"G7", "a live one", struck(restart, at(12, 12, read, reg, 2, done, level("eventual"))), false},
		{"G8", "a value from before, a lease later", lost(epoch, at(12.1, 13, read, reg, 2, done, level("eventual"))), true},
		{"G8", "a value from before, while the change is under way", slow(at(12.1, 13, read, reg, 2, done, level("eventual")), at(14, 14, read, reg, 9, done)), false},
		{"G8", "a value from before, a lease after a change that took a while", slow(at(13.1, 14, read, reg, 2, done, level("eventual"))), true},
		{"G8", "within the lease", lost(epoch, at(11.9, 13, read, reg, 2, done, level("eventual")), at(13, 13, read, reg, 9, done)), false},
		{"G8", "nobody opened an epoch", lost(nil, at(13, 13, read, reg, 9, done)), true},
		{"G8", "an epoch out of nothing", kept(func(c *Case) { c.Epochs, c.Epoch = epoch, "never" }), true},
		{"G9", "an overtaken load's value stays", kept(func(c *Case) {
			c.Loads = []workload.Load{{Key: row, Value: 1, Begun: d(1.9), End: d(2.1)}}
			c.Ops = append(c.Ops, at(5, 5, read, row, 1, done, level("eventual")))
		}), true},
		{"G9", "it is gone", kept(func(c *Case) {
			c.Loads = []workload.Load{{Key: row, Value: 1, Begun: d(1.9), End: d(2.1)}}
			c.Ops = append(c.Ops, at(5, 5, read, row, 2, done, level("eventual")))
		}), false},
		{"G10", "two loads at once", loads(50.5), true},
		{"G10", "one after the other", loads(51.5), false},
		{"G10", "two, with a fence between", loads(50.5, workload.Fence{Called: d(50.2), Landed: d(50.3)}), false},
		{"values", "torn", reads(at(3, 3, read, reg, 2, done, strange)), true},
		{"values", "nobody's", reads(at(3, 3, read, reg, 7, done)), true},
		{"values", "whole", reads(at(3, 3, read, reg, 2, done)), false},
		{"lost", "all there", reads(), false},
		{"lost", "a write is gone", kept(func(c *Case) { delete(c.Kept[reg], 2) }), true},
		{"lost", "a write is gone, and a new epoch says so", kept(func(c *Case) { delete(c.Kept[reg], 2); c.Epochs = epoch }), false},
		{"lost", "an event never fenced", kept(func(c *Case) { c.Accepted["1"] = d(3) }), true},
		{"lost", "it did", kept(func(c *Case) { c.Accepted["1"], c.Fenced["1"] = d(3), d(4) }), false},
		{"lost", "nobody could read the log", kept(func(c *Case) { c.Kept = nil }), true},
		{"unavailable", "too long", reads(at(3, 3, read, reg, 2, done), at(4, 5, read, reg, 0, unknown), at(80, 81, read, reg, 2, done)), true},
		{"unavailable", "to the end", reads(at(3, 3, read, reg, 2, done), at(4, 99, read, reg, 0, unknown)), true},
		{"unavailable", "for a while", reads(at(3, 3, read, reg, 2, done), at(4, 5, read, reg, 0, unknown), at(30, 31, read, reg, 2, done)), false},
		{"recovery", "one member never", struck(restart, at(12, 12, read, reg, 2, done, on("node-b")), at(13, 14, read, reg, 0, unknown)), true},
		{"recovery", "all", struck(restart, at(12, 12, read, reg, 2, done, on("node-b")), at(13, 14, read, reg, 2, done)), false},
		{"leaks", "goroutines", held(func(i int) gauge.Sample { return gauge.Sample{Goroutines: 50 + 20*i, Files: 9, RSS: 1 << 20} }), true},
		{"leaks", "files", held(func(i int) gauge.Sample { return gauge.Sample{Goroutines: 50, Files: 20 + 10*i, RSS: 1 << 20} }), true},
		{"leaks", "memory", held(func(i int) gauge.Sample { return gauge.Sample{Goroutines: 50, Files: 9, RSS: int64(1+i) << 25} }), true},
		{"leaks", "a node's surge", held(func(i int) gauge.Sample { return surging("node", 6, i) }), true},
		{"leaks", "a server's surge", held(func(i int) gauge.Sample { return surging("nats", 6, i) }), false},
		{"leaks", "a server's surge that stays", held(func(i int) gauge.Sample { return surging("nats", 20, i) }), true},
		{"leaks", "none", held(func(i int) gauge.Sample { return gauge.Sample{Goroutines: 50 + 100*(i%2), Files: 9, RSS: 1 << 25} }), false},
	} {
		t.Run(tc.judge+": "+tc.what, func(t *testing.T) {
			v := verdict(t, tc.c, tc.judge)
			if (v.Violations > 0) != tc.wrong {
				t.Errorf("%d violations of %d judged: %s", v.Violations, v.Judged, v.First)
			}
			if v.Violations > 0 && strings.TrimSpace(v.First) == "" {
				t.Error("the verdict does not say why")
			}
			if v.Judged == 0 && tc.what != "nobody could read the log" {
				t.Error("it judged nothing")
			}
		})
	}
}

func verdict(t *testing.T, c Case, name string) Verdict {
	t.Helper()
	for _, v := range All(c) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no judge is called %s", name)
	return Verdict{}
}

// A judge that was expected to judge and could not is a failure, and one that was
// not is none.
func TestIdleJudges(t *testing.T) {
	if v := verdict(t, Case{Expect: []string{"G4"}}, "G4"); !v.Failed() || v.Idle == "" {
		t.Errorf("an idle judge that was expected says %+v", v)
	}
	if v := verdict(t, Case{Expect: []string{"G4"}}, "G5"); v.Failed() {
		t.Errorf("an idle judge that was not says %+v", v)
	}
	idle := Case{Record: record(at(1, 2, read, all, 0, unknown))}
	if v := verdict(t, idle, "G5"); !v.Failed() {
		t.Errorf("a lane in which nobody was answered is judged %+v", v)
	}
}

// What porcupine finds wrong is drawn.
func TestPictureOfAViolation(t *testing.T) {
	c := Case{Record: record(append(slices.Clone(writes), at(3, 4, read, reg, 1, done))...)}
	if v := verdict(t, c, "G4"); len(v.Picture) < 1000 {
		t.Errorf("the picture has %d bytes", len(v.Picture))
	}
}
