package snapshot

import (
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Own is what a node has to begin with but an image.
type Own struct {
	// Proof is what [Prove] says of its disk's places: nil, or the error of the
	// first that has one; [ErrNotFound] if it has no disk that knows a place.
	Proof error
	// Tail is how many records it has to apply.
	Tail uint64
}

// rowsPerRecord is how many rows of an image are restored in the time that one
// record takes to be applied: a record is decoded, hashed and judged, a row is
// copied.
const rowsPerRecord = 4

// ErrEvidence reports that a node's own disk must not be replaced, because it
// may be the only evidence that the log's history changed (G8).
var ErrEvidence = errors.New("the disk contradicts the log, and is what proves it")

// Worth says whether a node begins with m, behind whose places the logs have
// tail records: nil if so, else [ErrSlower] or [ErrEvidence].
func Worth(m Manifest, own Own, tail uint64) error {
	cost := tail + m.Rows/rowsPerRecord
	switch {
	case own.Proof == nil && own.Tail <= cost:
		return fmt.Errorf("%w: by its own disk it has %d records to apply, by this one %d and %d rows to read", ErrSlower, own.Tail, tail, m.Rows)
	case own.Proof == nil, errors.Is(own.Proof, ErrTrimmed), errors.Is(own.Proof, ErrOldEpoch):
		return nil
	case !errors.Is(own.Proof, ErrNotFound):
		if mutant.On(mutant.EvidenceReplaced) {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrEvidence, own.Proof)
	case m.Copies == 0 && own.Tail <= cost:
		return fmt.Errorf("%w: the whole log is %d records, behind this one are %d and %d rows to read", ErrSlower, own.Tail, tail, m.Rows)
	}
	return nil
}
