package sim

import (
	"context"
	"errors"
	"math"

	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/snapshot"
)

// image returns what another machine's backup would be as a snapshot, if the
// machine of own could begin with it now; else nil.
func (w *World) image(backup, own *content) *content {
	ctx, cancel := context.WithTimeout(w.ctx, lease)
	defer cancel()
	has := snapshot.Own{Proof: w.proof(ctx, own), Tail: math.MaxInt64}
	if w.proof(ctx, backup) != nil || snapshot.Worth(snapshot.Manifest{Copies: 1}, has, 0) != nil {
		return nil
	}
	image := backup.clone()
	for p := range image.parts {
		place, err := node.PlaceOf(image.parts[p].meta[node.CheckpointName])
		if err != nil {
			return nil
		}
		for key, r := range image.parts[p].rows {
			if r.entry != nil && r.entry.Birth() > place.Mark.Position {
				r.entry = nil
				image.parts[p].rows[key] = r
			}
		}
	}
	return image
}

// proof is what forbids a machine to begin with c, nil if nothing does, by the
// logs as they are.
func (w *World) proof(ctx context.Context, c *content) (worst error) {
	for p, s := range w.streams {
		checkpoint := c.parts[p].meta[node.CheckpointName]
		if checkpoint == nil {
			worst = errors.Join(worst, snapshot.ErrNotFound)
			continue
		}
		place, err := node.PlaceOf(checkpoint)
		if err == nil {
			_, last := s.Bounds()
			err = snapshot.Prove(ctx, s.Connect(memlog.Faults{}), last, snapshot.Place{Epoch: place.Epoch, Mark: place.Mark, Digest: place.Digest})
		}
		if err != nil && !errors.Is(err, snapshot.ErrTrimmed) && !errors.Is(err, snapshot.ErrOldEpoch) {
			return err // it may be evidence
		}
		worst = errors.Join(worst, err)
	}
	return worst
}
