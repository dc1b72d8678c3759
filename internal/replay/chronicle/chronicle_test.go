package chronicle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// told is a chronicle with the log that it is told.
type told struct {
	*Chronicle
	t  *testing.T
	at events.Position
}

func tell(t *testing.T, most int, tags ...string) *told {
	x := &told{Chronicle: New("user:1:name", most, tags...), t: t}
	x.add(&events.EpochChange{Epoch: 3, Why: "begin"})
	return x
}

func (x *told) add(c ...events.Change) {
	x.t.Helper()
	b, err := events.AppendRecord(nil, events.Record{Changes: c})
	if err != nil {
		x.t.Fatal(err)
	}
	x.raw(b)
}

func (x *told) raw(b []byte) {
	x.at++
	x.Tell(events.Delivery{Mark: events.Mark{Position: x.at, ID: events.ID{Counter: uint64(x.at)}, Time: int64(x.at) * int64(time.Second)}, Data: b})
}

func put(t *testing.T, key string, tags ...string) *events.Put {
	e, err := tiers.Append(nil, &tiers.Header{Key: key, Tags: tags, Created: time.Now()}, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	return &events.Put{Key: key, Entry: e}
}

func versioned(c *events.Put, n uint64) *events.Put {
	c.Version = events.Version{N: n, Known: true}
	return c
}

func fence(cause string, s events.Scope) *events.Invalidate {
	return &events.Invalidate{Scope: s, Cause: events.Cause{Event: cause}}
}

const key = "user:1:name"

// lines is a story, one event a line; * decides.
func lines(s Story) string {
	var b strings.Builder
	for _, e := range s.Events {
		decides := ""
		if e.Decides {
			decides = " *"
		}
		fmt.Fprintf(&b, "%d %s by %s %s%s\n", e.At, e.Kind, e.By, e.Name, decides)
	}
	if s.Put != nil {
		fmt.Fprintf(&b, "put of %d: %s: %s", s.Put.Birth, s.Put.Life, s.Put.Why)
		if s.Put.Cause != "" {
			fmt.Fprintf(&b, " because of %s", s.Put.Cause)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "alive from %d\n", s.Living)
	return b.String()
}

func TestStories(t *testing.T) {
	for _, c := range []struct {
		name string
		tags []string
		log  func(x *told)
		want string
	}{
		{"nothing", nil, func(x *told) { x.add(put(t, "other")) }, "1 epoch by all \nalive from 1\n"},
		{"a put lives", nil, func(x *told) { x.add(put(t, key, "team")) },
			"1 epoch by all \n2 put by key user:1:name *\nput of 2: alive: \nalive from 2\n"},
		{"a tag of the put kills it", nil, func(x *told) {
			x.add(fence("early", events.Scope{Tags: []string{"team"}})) // nobody knew of the tag
			x.add(put(t, key, "team"))
			x.add(fence("db#7", events.Scope{Tags: []string{"x", "team"}}))
		}, "1 epoch by all \n3 put by key user:1:name\n4 fence by tag team *\nput of 3: dead: fenced at 4 by tag \"team\" because of db#7\nalive from 4\n"},
		{"a tag that was given", []string{"team"}, func(x *told) { x.add(fence("", events.Scope{Tags: []string{"team"}})) },
			"1 epoch by all \n2 fence by tag team *\nalive from 2\n"},
		{"prefix, glob, all, other names", nil, func(x *told) {
			x.add(put(t, key))
			x.add(fence("", events.Scope{Prefixes: []string{"user:2:", "user:"}}))
			x.add(fence("", events.Scope{Globs: []string{"*:name"}}))
			x.add(fence("clear", events.Scope{All: true}))
			x.add(fence("", events.Scope{Keys: []string{"user:1"}, Globs: []string{"order:*"}}))
		}, "1 epoch by all \n2 put by key user:1:name\n3 fence by prefix user:\n4 fence by glob *:name\n5 fence by all  *\n" +
			"put of 2: dead: fenced at 5 by all \"\" because of clear\nalive from 5\n"},
		{"soft", nil, func(x *told) {
			x.add(put(t, key))
			x.add(&events.Invalidate{Scope: events.Scope{Keys: []string{key}}, Soft: true})
		}, "1 epoch by all \n2 put by key user:1:name *\n3 soft fence by key user:1:name\nput of 2: stale: softly fenced at 3 by key \"user:1:name\"\nalive from 2\n"},
		{"an open bracket", nil, func(x *told) {
			x.add(put(t, key))
			x.add(&events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Prefixes: []string{"user:"}}, Deadline: time.Now()})
		}, "1 epoch by all \n2 put by key user:1:name\n3 bracket by prefix user: *\n" +
			"put of 2: dead: covered by bracket 01000000000000000000000000000000, which is open since 3\nalive from 0\n"},
		{"a bracket that ended", nil, func(x *told) {
			x.add(&events.Intent{Bracket: events.BracketID{1}, Scope: events.Scope{Keys: []string{key}}, Deadline: time.Now()})
			x.add(put(t, key))
			x.add(&events.End{Bracket: events.BracketID{1}})
			x.add(&events.End{Bracket: events.BracketID{2}, Scope: events.Scope{Keys: []string{"other"}}})
		}, "1 epoch by all \n2 bracket by key user:1:name\n3 put by key user:1:name\n4 end by key user:1:name *\n" +
			"put of 3: dead: fenced at 4 by key \"user:1:name\"\nalive from 4\n"},
		{"row versions", nil, func(x *told) {
			x.add(versioned(put(t, key), 9))
			x.add(versioned(put(t, key), 8))
		}, "1 epoch by all \n2 put by key user:1:name *\n3 outrun by key user:1:name\nput of 2: alive: \nalive from 2\n"},
		{"an epoch", nil, func(x *told) {
			x.add(put(t, key))
			x.add(&events.EpochChange{Epoch: 4, Why: "restored"})
		}, "1 epoch by all \n2 put by key user:1:name\n3 epoch by all \nalive from 3\n"},
		{"unreadable", nil, func(x *told) {
			x.add(put(t, key))
			x.raw([]byte("?"))
		}, "1 epoch by all \n2 put by key user:1:name\n3 unreadable by all "},
	} {
		x := tell(t, 0, c.tags...)
		c.log(x)
		if got := lines(x.Story()); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// The last events are kept, and the rest is counted.
func TestMost(t *testing.T) {
	x := tell(t, 3)
	for range 20 {
		x.add(put(t, key))
	}
	s := x.Story()
	if len(s.Events) != 3 || s.Left != 18 || s.Events[2].At != 21 || s.Events[0].At != 19 {
		t.Errorf("%d left, %+v", s.Left, s.Events)
	}
}

// A copy that somebody holds is judged by its own birth, tags and epoch.
func TestJudge(t *testing.T) {
	x := tell(t, 0)
	x.add(put(t, "a"))
	x.add(fence("db#1", events.Scope{Tags: []string{"red"}}))
	e := x.Story().Epoch
	if v := x.Judge(e, 2, nil); v.Life != "alive" {
		t.Errorf("without the tag: %+v", v)
	}
	if v := x.Judge(e, 2, []string{"red"}); v.Life != "dead" || v.Position != 3 {
		t.Errorf("with the tag: %+v", v)
	}
	x.add(put(t, key))
	if v := x.Judge(e, 3, nil); v.Life != "dead" || v.Why != "replaced by the put at 4" {
		t.Errorf("replaced: %+v", v)
	}
	if v := x.Judge(e, 4, []string{"red"}); v.Life != "alive" {
		t.Errorf("born at the fence: %+v", v)
	}
	if v := x.Judge(e+1, 9, nil); v.Life != "dead" || v.Why != "born in another epoch" {
		t.Errorf("another epoch: %+v", v)
	}
}
