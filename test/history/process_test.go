package history

import (
	"testing"
	"time"
)

var keys = []string{"item:1", "item:2", "item:3", "item:4"}

// G2, G3, G4: strong reads and writes are linearizable, sessions read their
// writes and never go back, bounded reads keep their bound, while a member is
// stopped, one is killed, and the servers fail one by one.
func TestStrongSessionAndBoundedReads(t *testing.T) {
	f := newFleet(t, 3)
	f.levels, f.bound = []string{"bounded", "strong", "session"}, 500*time.Millisecond
	f.run(9, 4*time.Millisecond, func(c *caller) {
		key := c.key(keys)
		switch x := c.dice.IntN(10); {
		case x < 3:
			c.write(key, false)
		case x < 6:
			c.read(key, "strong", 0)
		case x < 8:
			c.read(key, "session", 0)
		default:
			c.read(key, "bounded", f.bound)
		}
	}, everything...)
	ops := f.Ops()
	f.demand(f.tally(ops), 100, "write done", "strong read done", "session read done", "bounded read done")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err := range []error{Strong(ops), Sessions(ops, f.order), Bounded(ops, f.order)} {
		if err != nil {
			t.Error(err)
		}
	}
}

// G5: once an Everywhere write has returned, no member serves what was before
// it, at any level, whatever fails.
func TestReadsAfterEverywhere(t *testing.T) {
	f := newFleet(t, 1)
	f.levels = []string{"eventual", "bounded"}
	f.run(9, 4*time.Millisecond, func(c *caller) {
		key := c.key(keys[:2])
		switch x := c.dice.IntN(10); {
		case x < 2:
			c.write(key, true)
		case x < 7:
			c.read(key, "eventual", 0)
		default:
			c.read(key, "bounded", 0)
		}
	}, everything...)
	ops := f.Ops()
	f.demand(f.tally(ops), 50, "write done", "eventual read done", "bounded read done")
	if err := Everywhere(ops); err != nil {
		t.Error(err)
	}
}

// G4b: reads through any member's cache and reads of the database are one
// register, while brackets open and close, a writer dies inside one after its
// commit, and a resolver ends it.
func TestReadsUnderBrackets(t *testing.T) {
	f := newFleet(t, 1)
	f.loading, f.levels = true, []string{"eventual", "bounded"}
	faults := []fault{
		{1 * time.Second, "b is stopped", func(f *fleet) { f.members[1].pause() }},
		{2 * time.Second, "b wakes", wakeReading},
		{4 * time.Second, "c commits and dies", func(f *fleet) {
			c := f.caller(90)
			c.did(f.members[2], Op{Kind: Write, Value: f.value.Add(1)}, request{Op: "bracket", Key: keys[0], DieAfterCommit: true})
			f.members[2].kill()
		}},
		{4200 * time.Millisecond, "c starts again", func(f *fleet) { f.members[2].start() }},
		{5200 * time.Millisecond, "its bracket is resolved", func(f *fleet) { f.resolve() }},
		{6500 * time.Millisecond, "redis is killed", func(f *fleet) { f.redis.Kill() }},
		{7 * time.Second, "redis starts again, empty", func(f *fleet) { f.redis.Restart() }},
	}
	f.run(6, 4*time.Millisecond, func(c *caller) {
		key := c.key(keys[:2])
		switch x := c.dice.IntN(40); {
		case x < 1 && c.id%3 == 2: // those who have nothing to do with b
			c.did(c.member(), Op{Kind: Write, Value: f.value.Add(1)}, request{Op: "bracket", Key: key})
		case x < 30:
			level := []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)]
			c.did(c.member(), Op{Kind: Read, Level: level}, request{Op: "load", Key: key})
		default:
			o := Op{Client: c.id, Kind: Query, Key: key, Outcome: Done, Call: f.Now()}
			o.Value = f.db.read(key)
			o.Return = f.Now()
			f.Add(o)
		}
	}, faults...)
	ops := f.Ops()
	f.demand(f.tally(ops), 10, "write done", "eventual read done", "bounded read done", "strong read done", "query done")
	if err := Bracketed(ops); err != nil {
		t.Error(err)
	}
}

// resolve ends what a dead writer has left open, once its commit is impossible
// or has happened.
func (f *fleet) resolve() {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, _, answered := f.members[0].do(request{Op: "brackets"})
		if !answered || len(r.Open) == 0 {
			continue
		}
		for _, id := range r.Open {
			f.db.abort(id)
			if r, _, _ := f.members[0].do(request{Op: "end", Bracket: id}); r.Err != "" {
				f.t.Errorf("end of the bracket %x: %s", id, r.Err)
			}
		}
		return
	}
	f.t.Error("no member knows of an abandoned bracket")
}
