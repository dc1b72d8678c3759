package fleet

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/invalidator"
)

// fencer puts the invalidator's fences into the log of the fleet's only
// partition.
type fencer struct {
	domain *jslog.Domain
	commit *groupcommit.Committer
}

var _ invalidator.Fencer = (*fencer)(nil)

func newFencer(d *jslog.Domain) (*fencer, error) {
	incarnation, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return nil, err
	}
	commit, err := groupcommit.New(d.Log(0), groupcommit.Config{Publisher: incarnation})
	if err != nil {
		return nil, err
	}
	return &fencer{domain: d, commit: commit}, nil
}

// Fence implements [invalidator.Fencer].
func (f *fencer) Fence(ctx context.Context, domain string, fences ...*events.Invalidate) error {
	if domain != f.domain.Name() {
		return fmt.Errorf("%w domain %q: this fleet has only %q", events.ErrInvalid, domain, f.domain.Name())
	}
	changes := make([]events.Change, len(fences))
	for i, inv := range fences {
		changes[i] = inv
	}
	_, _, err := f.commit.Append(ctx, changes...)
	return err
}
