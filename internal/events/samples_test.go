package events_test

import (
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// sample is a record that stands for its kind, with every field set.
type sample struct {
	name   string
	record events.Record
}

func samples() []sample {
	full := events.Scope{
		Keys:     []string{"user:1", "user:2:profile"},
		Tags:     []string{"user", "späť"},
		Prefixes: []string{"user:1:", "cart:"},
		Globs:    []string{"user:*:profile", `lit\*eral`},
	}
	one := func(name string, c ...events.Change) sample { return sample{name, events.Record{Changes: c}} }
	return []sample{
		one("put", &events.Put{Key: "user:1", Version: events.Version{N: 42, Known: true}, Entry: []byte("entry\x00\xff")}),
		one("put-confirm", &events.Put{Key: "user:1", Entry: []byte("entry"), Confirm: true}),
		one("put-fence-only", &events.Put{Key: "user:1"}),
		one("invalidate", &events.Invalidate{
			Scope: full, Soft: true, Source: "0/16B3748",
			Cause: events.Cause{Event: "shop/orders#17", Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		}),
		one("invalidate-confirm", &events.Invalidate{Scope: full, Confirm: true}),
		one("invalidate-all", &events.Invalidate{Scope: events.Scope{All: true}}),
		one("intent", &events.Intent{Bracket: events.BracketID{1, 2, 3, 15: 16}, Scope: full, Deadline: time.UnixMilli(1_700_000_000_123)}),
		one("end", &events.End{Bracket: events.BracketID{1, 2, 3, 15: 16}}),
		one("intent-of-a-writer", &events.Intent{Bracket: events.BracketID{1, 2, 3, 15: 16}, Scope: full, Deadline: time.UnixMilli(1_700_000_000_123), Writer: "node-a", Decider: "orders"}),
		one("end-with-scope", &events.End{Bracket: events.BracketID{1, 2, 3, 15: 16}, Scope: full}),
		one("pulse", &events.Pulse{
			Node: "node-a", Incarnation: events.Incarnation{9, 15: 1}, Number: 7, Epoch: 0xfedcba9876543210, Applied: 1 << 40,
			Digest: events.Digest{0xaa, 15: 0xbb}, Addresses: []string{"http://10.0.0.1:8080", "redis://10.0.0.1:6379"}, Weight: 3, Leave: true,
		}),
		one("pulse-with-base", &events.Pulse{
			Node: "node-a", Incarnation: events.Incarnation{9, 15: 1}, Number: 7, Epoch: 0xfedcba9876543210, Applied: 1 << 40,
			Digest: events.Digest{0xaa, 15: 0xbb}, Before: events.Digest{0xcc, 15: 0xdd}, Settled: true,
		}),
		one("epoch", &events.EpochChange{Epoch: 0xfedcba9876543210, Why: "restored from a backup"}),
		one("many",
			&events.Invalidate{Scope: events.Scope{Tags: []string{"t"}}},
			&events.Put{Key: "a", Entry: []byte("1")},
			&events.Put{Key: "b"},
			&events.Invalidate{Scope: events.Scope{Keys: []string{"c"}}},
			&events.Pulse{Node: "n", Incarnation: events.Incarnation{1}},
		),
	}
}
