package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/tiers"
)

var _ tiers.ManyGetter = (*Tier)(nil)

// GetMany implements [tiers.ManyGetter] with pipelines: as many gets as keys,
// spread over a cluster's servers by the client, in one trip to each.
func (t *Tier) GetMany(ctx context.Context, keys []string) ([]tiers.Entry, error) {
	entries := make([]tiers.Entry, len(keys))
	var failed error
	for from := 0; from < len(keys); from += maxBatch {
		batch := keys[from:min(from+maxBatch, len(keys))]
		cmds := make([]goredis.Cmder, len(batch))
		for i, key := range batch {
			cmds[i] = goredis.NewStringCmd(ctx, "get", t.name(t.epoch(key), key))
		}
		// Its error is that of a command, which has it too; but for one that
		// never set out.
		out := t.direct(ctx, cmds)
		for i, key := range batch {
			epoch, cmd := t.epoch(key), cmds[i].(*goredis.StringCmd)
			err := cmd.Err()
			switch {
			case epoch == 0:
				err = errNoEpoch
			case errors.Is(out, errBulkhead):
				err = out
			}
			e, err := t.found(ctx, epoch, t.name(epoch, key), key, cmd, err, nil)
			switch {
			case err == nil:
				entries[from+i] = e
			case !errors.Is(err, tiers.ErrMiss):
				failed = err
			}
		}
	}
	return entries, failed
}
