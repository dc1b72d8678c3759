package coherence_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// H3: who begins anew because the witness named an epoch still knows it after
// reading a log again that many epochs stand in. Else it meets the same name with
// its next pulse, and opens epochs for ever.
func TestNamedEpochOutlivesTheLogsOwn(t *testing.T) {
	const epochs = 300
	read := func(w *coherence.World, last events.Position) {
		for p := events.Position(1); p <= last; p++ {
			w.Apply(coherence.Step{
				Mark:   events.Mark{Position: p, ID: events.ID{Counter: uint64(p)}},
				Record: events.Record{Changes: []events.Change{&events.EpochChange{Epoch: events.Epoch(p)}}},
			})
		}
	}
	w := coherence.New()
	read(w, epochs)
	const named = events.Epoch(1 << 40)
	again := coherence.Successor(w, named)
	read(again, epochs+1) // its own epoch is the log's last
	if !again.WasEpoch(named) {
		t.Errorf("%d epochs later it does not know the one that the witness named", epochs)
	}
}
