package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

func (a *app) snapshotRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore [ID]", Short: "Put a snapshot in the place of a stopped node's disk tier",
		Long: `restore writes the newest snapshot of use, or the one that is named, into --data-dir.
The node must not run. It is done wholly or not at all: until the last moment the
directory stays as it was.

Only what the log vouches for is restored: it must hold the snapshot's place, in the
same epoch, and lead to a digest that a member has reported. The node then applies
what has happened since, before it serves. Names and values in Redis are left alone.

What the directory holds is lost. If it may be the only evidence that the log's
history changed, start the node instead: it decides by itself.`,
		Example: `  tercet snapshot restore --data-dir /var/lib/tercet --snapshot-dir /backup`,
		Args:    args(cobra.MaximumNArgs(1)),
	}
	cmd.RunE = a.runUnbounded(append([]string{"nats.url", "data_dir"}, snapshotNeeds...), func(ctx context.Context, c *config.Config, ids []string) error {
		return a.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) error {
			return a.withDomain(ctx, c, func(_ *nats.Conn, d *jslog.Domain) error { return a.restore(ctx, c, cat, d, ids) })
		})
	})
	return cmd
}

func (a *app) restore(ctx context.Context, c *config.Config, cat *snapshot.Catalogue, d *jslog.Domain, ids []string) error {
	var all []snapshot.Manifest
	var refused []*snapshot.Refusal
	var err error
	if len(ids) == 0 {
		all, refused, err = cat.List(ctx)
	} else {
		var m snapshot.Manifest
		m, err = cat.Get(ctx, ids[0])
		all = append(all, m)
	}
	if err != nil {
		return err
	}
	for _, m := range all {
		if len(ids) == 0 && m.Kind != snapshot.Full {
			continue
		}
		if err := restoreOne(ctx, c, cat, d, m); err != nil {
			if errors.Is(err, disk.ErrLocked) || ctx.Err() != nil {
				return err
			}
			refused = append(refused, &snapshot.Refusal{ID: m.ID, Err: err})
			continue
		}
		for _, r := range refused {
			fmt.Fprintln(a.err, "refused:", r)
		}
		return a.print(m, func(w io.Writer) { fmt.Fprintf(w, "restored %s: %s\n", m.ID, contents(m)) })
	}
	err = fmt.Errorf("%w that is of use", snapshot.ErrNotFound)
	for _, r := range refused {
		err = errors.Join(err, r)
	}
	return err
}

func restoreOne(ctx context.Context, c *config.Config, cat *snapshot.Catalogue, d *jslog.Domain, m snapshot.Manifest) error {
	n := d.Settings().Partitions
	if len(m.Partitions) != n {
		return fmt.Errorf("%w: it has %d partitions, the domain %d", snapshot.ErrForeign, len(m.Partitions), n)
	}
	for p, place := range m.Partitions {
		last, err := d.Last(ctx, p)
		if err == nil {
			err = snapshot.Prove(ctx, d.Log(p), last.Position, place)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	cfg := disk.Config{Dir: c.DataDir, Budget: c.L3Size, Partitions: n, Partition: func(key string) int { return node.Partition(key, n) }}
	return disk.Restore(cfg, func(add func(int, disk.Row) error) error {
		return cat.Read(ctx, m, func(r snapshot.Row) error {
			return add(r.Partition, disk.Row{Kind: disk.RowKind(r.Kind), Name: r.Name, Fence: r.Fence, Held: r.Held})
		})
	})
}

func (a *app) snapshotDiff() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff ID ID", Short: "Compare two snapshots, key by key", Args: args(cobra.ExactArgs(2)),
		Long: "diff reads both whole and tells what only one has and what differs: fences, values,\nrow versions, state. Two nodes' snapshots of one moment may differ in which values\nthey keep, and in nothing that a fence says of them.",
	}
	names := cmd.Flags().Bool("names", false, "list what differs, not only how much: - only in the first, + only in the second, ~ in both")
	cmd.RunE = a.runUnbounded(snapshotNeeds, func(ctx context.Context, c *config.Config, ids []string) error {
		return a.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) error { return a.diff(ctx, cat, ids, *names) })
	})
	return cmd
}

func (a *app) diff(ctx context.Context, cat *snapshot.Catalogue, ids []string, names bool) error {
	var of [2]snapshot.Manifest
	for i := range of {
		var err error
		if of[i], err = cat.Get(ctx, ids[i]); err != nil {
			return err
		}
	}
	count := map[string]map[string]int{"-": {}, "+": {}, "~": {}}
	lines := json.NewEncoder(a.out)
	err := cat.Diff(ctx, of[0], of[1], func(l, r *snapshot.Row) error {
		sign, row := "~", l
		switch {
		case l == nil:
			sign, row = "+", r
		case r == nil:
			sign = "-"
		}
		kind := rowWord(row.Kind)
		count[sign][kind]++
		switch {
		case !names:
		case a.json:
			return lines.Encode(map[string]any{"change": sign, "kind": kind, "partition": row.Partition, "name": row.Name})
		default:
			fmt.Fprintf(a.out, "%s %s %q of partition %d\n", sign, kind, row.Name, row.Partition)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.print(map[string]any{"only_first": count["-"], "only_second": count["+"], "differ": count["~"]}, func(w io.Writer) {
		for _, x := range []struct{ sign, says string }{{"-", "only in the first"}, {"+", "only in the second"}, {"~", "in both, and different"}} {
			for _, kind := range []snapshot.RowKind{snapshot.Broad, snapshot.Key, snapshot.RowVersion, snapshot.Floor, snapshot.State} {
				if n := count[x.sign][rowWord(kind)]; n > 0 {
					fmt.Fprintf(w, "%d of kind %s %s\n", n, rowWord(kind), x.says)
				}
			}
		}
	})
}

// rowWord names a kind of row for people.
func rowWord(k snapshot.RowKind) string {
	switch k {
	case snapshot.Broad:
		return "fence"
	case snapshot.Key:
		return "key"
	case snapshot.RowVersion:
		return "version"
	case snapshot.Floor:
		return "floor"
	default:
		return "state"
	}
}
