package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/snapshot"
)

func (a *app) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Make, list, verify, restore, compare and prune snapshots of nodes",
		Long: `A snapshot is an image of a node at one place of each log. A node that has lost its
disk begins with the newest that is of use, by itself, if it has --snapshot-dir; and
applies the log's tail before it serves.

--snapshot-dir names the store: a directory, nats://BUCKET or s3://BUCKET/PREFIX.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.snapshotCreate(), a.snapshotList(), a.snapshotVerify(), a.snapshotRestore(), a.snapshotPrune(), a.snapshotDiff())
	return cmd
}

// withCatalogue gives f the configured domain's snapshots.
func (a *app) withCatalogue(ctx context.Context, c *config.Config, f func(*snapshot.Catalogue) error) error {
	store, closeIt, err := link.Snapshots(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closeIt()
	catalogue, err := link.Catalogue(c, store)
	if err != nil {
		return err
	}
	return f(catalogue)
}

var snapshotNeeds = []string{"domain", "snapshot_dir"}

func (a *app) snapshotCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Have a running node make a snapshot of itself",
		Example: `  tercet snapshot create --node http://127.0.0.1:8080
  tercet snapshot create --node http://127.0.0.1:8080 --kind fences`,
		Args: args(cobra.NoArgs),
	}
	address := cmd.Flags().String("node", "http://127.0.0.1:8080", bracketNodeHelp)
	kind := cmd.Flags().String("kind", string(snapshot.Full), "full, or fences: without values")
	increment := cmd.Flags().Bool("increment", false, "write only what has changed since the newest of its kind")
	cmd.RunE = a.runUnbounded([]string{"domain"}, func(ctx context.Context, c *config.Config, _ []string) error {
		var m snapshot.Manifest
		in := map[string]any{"kind": *kind, "increment": *increment}
		if err := callNode(ctx, c, *address, http.MethodPost, "/snapshots", in, &m); err != nil {
			return err
		}
		return a.print(m, func(w io.Writer) { fmt.Fprintf(w, "snapshot %s is there: %s\n", m.ID, contents(m)) })
	})
	return cmd
}

// contents says what an image holds, in a few words.
func contents(m snapshot.Manifest) string {
	return fmt.Sprintf("%d rows, %d of them values, in %d bytes", m.Rows, m.Copies, m.Size)
}

// snapshotList is what list prints, in the words of a node's HTTP interface.
type snapshotList struct {
	Snapshots []snapshot.Manifest `json:"snapshots"`
	Refused   []snapshotRefused   `json:"refused"`
}

type snapshotRefused struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (l snapshotList) describe(w io.Writer) {
	if len(l.Snapshots)+len(l.Refused) == 0 {
		fmt.Fprintln(w, "there is no snapshot")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "ID\tAGE\tKIND\tBASE\tNODE\tROWS\tVALUES\tBYTES\tPOSITIONS")
	for _, m := range l.Snapshots {
		at := ""
		for i, p := range m.Partitions {
			if i > 0 {
				at += " "
			}
			at += fmt.Sprint(p.Mark.Position)
		}
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", m.ID, time.Since(m.Created).Round(time.Second), m.Kind, orDash(m.Base), m.Node, m.Rows, m.Copies, m.Size, at)
	}
	for _, r := range l.Refused {
		fmt.Fprintf(t, "%s\t-\tREFUSED: %s\n", r.ID, r.Reason)
	}
}

func (a *app) snapshotList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the domain's snapshots, newest first", Args: args(cobra.NoArgs),
		RunE: a.run(snapshotNeeds, func(ctx context.Context, c *config.Config, _ []string) error {
			return a.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) error {
				all, refused, err := cat.List(ctx)
				if err != nil {
					return err
				}
				l := snapshotList{Snapshots: append([]snapshot.Manifest{}, all...), Refused: []snapshotRefused{}}
				for _, r := range refused {
					l.Refused = append(l.Refused, snapshotRefused{r.ID, r.Err.Error()})
				}
				return a.print(l, l.describe)
			})
		}),
	}
}

func (a *app) snapshotVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify [ID ...]", Short: "Read snapshots whole; all of them, if none is named",
		Long: "verify reads every byte, with those of the bases, and compares every checksum. It\nends with status 1 if one can't be read, or is missing.",
		RunE: a.runUnbounded(snapshotNeeds, func(ctx context.Context, c *config.Config, ids []string) error {
			return a.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) error { return a.verify(ctx, cat, ids) })
		}),
	}
}

func (a *app) verify(ctx context.Context, cat *snapshot.Catalogue, ids []string) error {
	var bad []error
	if len(ids) == 0 {
		all, refused, err := cat.List(ctx)
		if err != nil {
			return err
		}
		for _, r := range refused {
			bad = append(bad, r)
		}
		for _, m := range all {
			ids = append(ids, m.ID)
		}
	}
	verified := []string{}
	for _, id := range ids {
		m, err := cat.Get(ctx, id)
		if err == nil {
			err = cat.Verify(ctx, m)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad = append(bad, &snapshot.Refusal{ID: id, Err: err})
			continue
		}
		verified = append(verified, id)
	}
	err := a.print(map[string]any{"verified": verified, "refused": len(bad)}, func(w io.Writer) {
		for _, id := range verified {
			fmt.Fprintf(w, "%s is whole\n", id)
		}
	})
	return errors.Join(append(bad, err)...)
}

func (a *app) snapshotPrune() *cobra.Command {
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove the snapshots that retention does not keep, and what was left half written",
		Long: `prune keeps what --snapshots-last, --snapshots-daily and --snapshots-max-age keep, the
bases of those, and always the newest of each kind.`,
		Args: args(cobra.NoArgs),
	}
	dry := cmd.Flags().Bool("dry-run", false, "say what would go, and remove nothing")
	cmd.RunE = a.runUnbounded(snapshotNeeds, func(ctx context.Context, c *config.Config, _ []string) error {
		return a.withCatalogue(ctx, c, func(cat *snapshot.Catalogue) (err error) {
			gone := []string{}
			if *dry {
				all, _, err := cat.List(ctx)
				if err != nil {
					return err
				}
				for _, m := range link.Retention(c).Plan(time.Now(), all) {
					gone = append(gone, m.ID)
				}
			} else {
				var pruned []string
				pruned, err = cat.Prune(ctx, link.Retention(c))
				gone = append(gone, pruned...)
			}
			return errors.Join(err, a.print(map[string]any{"pruned": gone, "dry_run": *dry}, func(w io.Writer) {
				for _, id := range gone {
					fmt.Fprintln(w, id)
				}
			}))
		})
	})
	return cmd
}
