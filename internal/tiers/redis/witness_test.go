package redis

import (
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/test/process"
)

func TestWitness(t *testing.T) {
	server := process.Redis(t)
	for name, url := range map[string]string{"redis-server": server.URL(), "miniredis": "redis://" + miniredis.RunT(t).Addr()} {
		t.Run(name, func(t *testing.T) {
			tier := open(t, Config{Client: client(t, url)})
			w := func(epoch events.Epoch, p events.Position, d byte) Witness {
				return Witness{Epoch: epoch, Position: p, Digest: events.Digest{d, 0xff}}
			}
			const high = 1 << 53
			none := Witness{}
			for i, step := range []struct{ from, to, want Witness }{
				{none, w(1, 10, 1), w(1, 10, 1)},                  // the first
				{none, w(1, 10, 1), w(1, 10, 1)},                  // again
				{none, w(1, 10, 2), w(1, 10, 1)},                  // a diverged history at the same place
				{none, w(1, 9, 3), w(1, 10, 1)},                   // late
				{none, w(1, 16, 4), w(1, 10, 1)},                  // not compared
				{w(1, 10, 2), w(1, 16, 4), w(1, 10, 1)},           // compared with another history
				{w(1, 9, 1), w(1, 16, 4), w(1, 10, 1)},            // not compared that far
				{w(1, 10, 1), w(1, 16, 4), w(1, 16, 4)},           // 10 < 16 in hexadecimal, too
				{w(1, 17, 9), w(1, high, 5), w(1, high, 5)},       // it fell behind what was compared
				{w(1, high, 5), w(1, high+1, 6), w(1, high+1, 6)}, // doubles can't tell
				{w(1, high, 5), w(1, high, 5), w(1, high+1, 6)},   // these two
				{none, w(2, 1, 7), w(1, high+1, 6)},               // another epoch, from nowhere
				{w(1, high, 5), w(2, 1, 7), w(1, high+1, 6)},      // from an older witness
				{w(1, high+1, 9), w(2, 1, 7), w(1, high+1, 6)},    // from a diverged one
				{w(1, high+1, 6), w(2, 1, 7), w(2, 1, 7)},         // from what is stored
				{w(1, high+1, 6), w(2, 1, 7), w(2, 1, 7)},         // again
				{w(1, high+2, 6), w(1, 1<<60, 8), w(2, 1, 7)},     // a straggler of the old epoch
				{w(2, 1, 7), w(2, 5, 8), w(2, 5, 8)},
				{none, w(1<<63+5, 1, 7), w(2, 5, 8)}, // epochs have no order
				{w(2, 5, 8), w(1<<63+5, 1<<63+1, 7), w(1<<63+5, 1<<63+1, 7)},
			} {
				got, err := tier.RaiseWitness(t.Context(), 3, step.from, step.to)
				if err != nil {
					t.Fatal(err)
				}
				if got != step.want {
					t.Fatalf("step %d: raise from %v to %v: %v stored, want %v", i, step.from, step.to, got, step.want)
				}
				if read, err := tier.ReadWitness(t.Context(), 3); err != nil || read != step.want {
					t.Fatalf("step %d: read %v, %v, want %v", i, read, err, step.want)
				}
			}
			if got, err := tier.ReadWitness(t.Context(), 4); err != nil || got != none {
				t.Fatalf("another partition's: %v, %v, want none", got, err)
			}
			// Rubbish in its place is no witness, and gives way.
			for _, rubbish := range []any{"", "hello", w(1, 2, 3).encode() + "0", w(1, 2, 3).encode()[:63] + "g"} {
				if err := tier.client.Set(t.Context(), tier.witnessName(4), rubbish, 0).Err(); err != nil {
					t.Fatal(err)
				}
				if got, err := tier.ReadWitness(t.Context(), 4); err != nil || got != none {
					t.Fatalf("witness %q: %v, %v, want none", rubbish, got, err)
				}
				if got, err := tier.RaiseWitness(t.Context(), 4, none, w(1, 1, 1)); err != nil || got != w(1, 1, 1) {
					t.Fatalf("raise over %q: %v, %v", rubbish, got, err)
				}
			}
			if err := tier.client.Del(t.Context(), tier.witnessName(4)).Err(); err != nil {
				t.Fatal(err)
			}
			if err := tier.client.LPush(t.Context(), tier.witnessName(4), "x").Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := tier.ReadWitness(t.Context(), 4); err != nil || got != none {
				t.Fatalf("a list as witness: %v, %v, want none", got, err)
			}
			if got, err := tier.RaiseWitness(t.Context(), 4, none, w(1, 1, 1)); err != nil || got != w(1, 1, 1) {
				t.Fatalf("raise over a list: %v, %v", got, err)
			}
		})
	}
}
