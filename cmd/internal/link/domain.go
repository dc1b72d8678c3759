package link

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
)

// Writer appends to a domain's logs without running a node. It is safe for
// concurrent use.
type Writer struct {
	*jslog.Domain
	commits []*groupcommit.Committer
}

// NewWriter takes over domain.
func NewWriter(domain *jslog.Domain) (*Writer, error) {
	w := &Writer{Domain: domain}
	publisher, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return nil, err
	}
	for p := range domain.Settings().Partitions {
		c, err := groupcommit.New(domain.Log(p), groupcommit.Config{Publisher: publisher})
		if err != nil {
			return nil, err
		}
		w.commits = append(w.commits, c)
	}
	return w, nil
}

// Landing is where a record landed.
type Landing struct {
	Partition int             `json:"partition"`
	Position  events.Position `json:"position"`
}

// Append puts changes of one partition into its log as one record.
func (w *Writer) Append(ctx context.Context, partition int, changes ...events.Change) (Landing, error) {
	at, _, err := w.commits[partition].Append(ctx, changes...)
	return Landing{partition, at}, err
}

// Fence puts fences that belong together into the logs of all partitions that
// they concern: one record each. If some failed, those that landed are
// returned beside the error; fencing again is harmless.
func (w *Writer) Fence(ctx context.Context, fences ...*events.Invalidate) ([]Landing, error) {
	n := len(w.commits)
	parts := make([][]events.Change, n)
	for _, f := range fences {
		for p, c := range node.SplitScope(*f, n) {
			if c != nil {
				parts[p] = append(parts[p], c)
			}
		}
	}
	type result struct {
		Landing
		err error
	}
	results := make(chan result, n)
	running := 0
	for p, changes := range parts {
		if len(changes) == 0 {
			continue
		}
		running++
		go func() {
			l, err := w.Append(ctx, p, changes...)
			results <- result{l, err}
		}()
	}
	var landed []Landing
	var errs []error
	for range running {
		if r := <-results; r.err != nil {
			errs = append(errs, r.err)
		} else {
			landed = append(landed, r.Landing)
		}
	}
	return landed, errors.Join(errs...)
}
