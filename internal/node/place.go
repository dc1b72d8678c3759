package node

import (
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
)

// CheckpointName is the name under which a node keeps, in its [Disk], what it
// knows of a partition but for broad fences. A store that was made from another
// node's rows, the checkpoint among them, is as good as that node's own would
// be after a crash: what it holds is judged by the log from there on.
const CheckpointName = metaState

// ErrNoPlace reports a checkpoint that proves nothing to others.
var ErrNoPlace = errors.New("checkpoint has no place in a history that can be proved")

// Place is where a checkpoint stands in its partition's log.
type Place struct {
	Epoch   events.Epoch
	Mark    events.Mark // of the last record applied
	Digest  events.Digest
	Horizon events.Position
	// Members and Brackets count those that are in it.
	Members, Brackets int
}

// PlaceOf reads a checkpoint. It fails with [coherence.ErrState] on one that
// can't be read, and with [ErrNoPlace] on one that nobody else could prove to
// be of the log's history: of no known epoch, with a digest that has no base, or
// with unsettled evidence that the history changed.
func PlaceOf(checkpoint []byte) (Place, error) {
	w, err := coherence.Restore(checkpoint, func(func(coherence.BroadFence) bool) {})
	if err != nil {
		return Place{}, err
	}
	digest, based := w.Digest()
	p := Place{Epoch: w.Epoch(), Mark: w.Mark(), Digest: digest, Horizon: w.Horizon()}
	for range w.Members() {
		p.Members++
	}
	for range w.Brackets() {
		p.Brackets++
	}
	switch {
	case p.Epoch == 0 || p.Mark.Position == 0:
		return p, fmt.Errorf("%w: its epoch is not known", ErrNoPlace)
	case !based:
		return p, fmt.Errorf("%w: its digest has no base", ErrNoPlace)
	case w.Diverged() != nil:
		return p, fmt.Errorf("%w: %w", ErrNoPlace, w.Diverged())
	}
	return p, nil
}
