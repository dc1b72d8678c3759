package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

func (a *app) invalidateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "invalidate [KEY...]", Short: "Kill copies by key, tag, prefix or glob",
		Long: `invalidate puts one fence into the log: every copy that it covers dies, in every
tier on every machine. It costs one record, whatever the number of copies.

It returns once the record is in the log; --everywhere waits until no node serves
what is fenced, which takes up to the domain's lease. Repeating it is harmless.`,
		Example: `  tercet invalidate product:1:price product:1:page
  tercet invalidate --prefix product:1: --tag category:tea
  tercet invalidate --glob 'product:*:page' --soft
  tercet invalidate --all --everywhere`,
	}
	var s events.Scope
	f := cmd.Flags()
	f.StringArrayVar(&s.Tags, "tag", nil, "copies that carry this tag; may stand several times")
	f.StringArrayVar(&s.Prefixes, "prefix", nil, "keys under these leading segments, as in product:1:; may stand several times")
	f.StringArrayVar(&s.Globs, "glob", nil, `keys that match; * any run, ? one character, \ escapes; may stand several times`)
	f.BoolVar(&s.All, "all", false, "everything in the domain")
	soft := f.Bool("soft", false, "leave the dead as a marked fallback")
	source := f.String("source-position", "", "the origin's position of the change (LSN, GTID), for loaders that read a replica")
	everywhere := f.Bool("everywhere", false, "wait until no node serves what is fenced")
	cmd.RunE = a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		s.Keys = args
		if err := s.Validate(); err != nil {
			return err
		}
		inv := &events.Invalidate{Scope: s, Soft: *soft, Source: *source, Cause: events.Cause{Event: "tercet invalidate"}}
		ctx, cancel, err := a.patience(ctx, c, *everywhere)
		if err != nil {
			return err
		}
		defer cancel()
		var result written
		if *everywhere {
			result, err = a.invalidateEverywhere(ctx, c, inv)
		} else {
			err = a.withWriter(ctx, c, func(w *link.Writer) (err error) {
				result.Records, err = w.Fence(ctx, inv)
				return err
			})
		}
		if err != nil {
			return err
		}
		return a.print(result, result.describe)
	})
	return cmd
}

func (a *app) invalidateEverywhere(ctx context.Context, c *config.Config, inv *events.Invalidate) (written, error) {
	n, err := join(ctx, c)
	if err != nil {
		return written{}, err
	}
	defer leave(ctx, n)
	token, err := n.Invalidate(ctx, client.Invalidation{
		Keys: inv.Scope.Keys, Tags: inv.Scope.Tags, Prefixes: inv.Scope.Prefixes, Globs: inv.Scope.Globs, All: inv.Scope.All,
		Soft: inv.Soft, Source: inv.Source,
	}, client.Everywhere())
	return written{Token: token.String(), Everywhere: true}, err
}
