package peers

import (
	"context"
	"errors"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// awayable is a witness that can be out of reach.
type awayable struct {
	kept node.Testimony
	away bool
}

var errAway = errors.New("away")

func (k *awayable) Read(context.Context, int) (node.Testimony, error) {
	if k.away {
		return node.Testimony{}, errAway
	}
	return k.kept, nil
}

func (k *awayable) Raise(_ context.Context, _ int, from, to node.Testimony) (node.Testimony, error) {
	if k.away {
		return node.Testimony{}, errAway
	}
	if k.kept.Yields(from, to) {
		k.kept = to
	}
	return k.kept, nil
}

func (k *awayable) Keeps(int) []node.Testimony {
	if k.kept == (node.Testimony{}) {
		return nil
	}
	return []node.Testimony{k.kept}
}

// While Redis is away the members are the witness, and what they were told is
// not forgotten when Redis comes back with less.
func TestMembersStandInForRedis(t *testing.T) {
	at := func(p events.Position) node.Testimony {
		return node.Testimony{Epoch: 1, Position: p, Digest: events.Digest{byte(p)}}
	}
	first, second := &awayable{}, &awayable{}
	w := WithReserve(first, second, 1)
	raise := func(from, to, want events.Position) {
		t.Helper()
		if got, err := w.Raise(t.Context(), 0, at(from), at(to)); err != nil || got != at(want) {
			t.Fatalf("raise to %d: %v, %v, want %d", to, got, err, want)
		}
	}
	reads := func(want events.Position) {
		t.Helper()
		if got, err := w.Read(t.Context(), 0); err != nil || got != at(want) {
			t.Fatalf("read %v, %v, want %d", got, err, want)
		}
	}
	raise(0, 1, 1)
	reads(1)
	if second.kept != (node.Testimony{}) {
		t.Fatal("the members were told though Redis was there")
	}
	first.away = true
	second.away = true
	if _, err := w.Read(t.Context(), 0); !errors.Is(err, errAway) {
		t.Fatalf("read without any: %v", err)
	}
	if _, err := w.Raise(t.Context(), 0, at(1), at(2)); !errors.Is(err, errAway) {
		t.Fatalf("raise without any: %v", err)
	}
	second.away = false
	raise(1, 2, 2)
	reads(2)
	first.away = false
	reads(2) // Redis keeps 1
	raise(2, 3, 3)
	second.away = true
	reads(3) // Redis has caught up, nobody asks the members
	second.kept = at(9)
	reads(9) // another node, out of whose reach Redis was, has told them
	raise(9, 10, 10)
	reads(10)
	second.kept = node.Testimony{Epoch: 7, Position: 99}
	reads(10) // of an epoch that was left
	first.away, second.away, second.kept = true, false, at(10)
	next := node.Testimony{Epoch: 2, Position: 12}
	if got, err := w.Raise(t.Context(), 0, at(10), next); err != nil || got != next {
		t.Fatalf("raise to the next epoch: %v, %v", got, err)
	}
	first.away = false
	if got, err := w.Read(t.Context(), 0); err != nil || got != next {
		t.Fatalf("read %v, %v, want the epoch that began while Redis was away", got, err)
	}
	if got, err := w.Raise(t.Context(), 0, at(10), next); err != nil || got != next {
		t.Fatalf("raise Redis to the next epoch: %v, %v", got, err)
	}
	first.kept, second.kept = node.Testimony{}, at(10)
	reads(10) // Redis has lost what it kept
}
