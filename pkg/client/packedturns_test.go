package client

import (
	"bytes"
	"context"
	"testing"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/turn"
)

// lyingBeside answers every request with a copy.
type lyingBeside struct {
	node.Turns
	copy []byte
}

func (l lyingBeside) Take(context.Context, turn.Request) (turn.Answer, error) {
	return turn.Answer{Copy: l.copy}, nil
}

func (l lyingBeside) TakeMany(_ context.Context, rs []turn.Request) []turn.Taken {
	out := make([]turn.Taken, len(rs))
	for i := range out {
		out[i].Copy = bytes.Clone(l.copy)
	}
	return out
}

// The copy that lies beside a turn is opened whichever way the turn was asked
// for: what a batch finds there is what it was, and not what Redis holds.
func TestCopiesBesideTurnsAreOpened(t *testing.T) {
	p, err := pack.New(pack.Config{Domain: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("a value that is worth packing. "), 100)
	e, err := tiers.Append(nil, &tiers.Header{Key: "k", Epoch: 1, Birth: 1}, value)
	if err != nil {
		t.Fatal(err)
	}
	packed := p.Pack(e)
	if len(packed) >= len(e) {
		t.Fatal("the entry was not packed: the test proves nothing")
	}
	turns := packedTurns{lyingBeside{copy: packed}, p}
	one, err := turns.Take(t.Context(), turn.Request{})
	if err != nil {
		t.Fatal(err)
	}
	copies := [][]byte{one.Copy}
	for _, a := range turns.TakeMany(t.Context(), make([]turn.Request, 2)) {
		copies = append(copies, a.Copy)
	}
	for i, c := range copies {
		got, err := tiers.Parse(c)
		if err != nil || !bytes.Equal(got.Payload(), value) {
			t.Errorf("copy %d holds %.40q (%v)", i, c, err)
		}
	}
	small, err := pack.New(pack.Config{Domain: "shop", MaxPayload: 100})
	if err != nil {
		t.Fatal(err)
	}
	turns = packedTurns{lyingBeside{copy: packed}, small}
	for _, a := range turns.TakeMany(t.Context(), make([]turn.Request, 1)) {
		if a.Copy != nil {
			t.Errorf("what does not open is handed over: %.40q", a.Copy)
		}
	}
}
