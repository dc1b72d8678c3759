package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/trial/drill"
)

func (a *app) drillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drill " + strings.Join(drill.Names(), "|"), Short: "Rehearse a disaster on a scratch fleet and report what it cost",
		Long: `drill starts a fleet of three nodes with everything they need in this process and a
temporary directory, writes values, plays a disaster, recovers, and judges every
answer. No other fleet is touched.

  rebuild     Redis and all disks are lost; the log brings everything back
  restore     a node's disk is lost; a snapshot and the log's tail bring it back
  backup      the log is lost; the domain is restored from a backup, as it was
  regression  the log is rolled back and nobody says so; the nodes notice

The exit code is 0 if nothing dead was served and nothing promised is missing.`,
		Example: "  tercet drill rebuild\n  tercet drill regression --keys 20000 --json",
		Args:    args(cobra.ExactArgs(1)),
	}
	keys := cmd.Flags().Int("keys", 2000, "how many values to write")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *keys < 40 {
			return usagef("--keys %d: want 40 or more", *keys)
		}
		o := drill.Options{Keys: *keys}
		if !a.json {
			o.Out = a.out
			fmt.Fprintf(a.out, "drill %s: three nodes in this process\n", args[0])
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Minute)
		defer cancel()
		r, err := drill.Run(ctx, args[0], o)
		if err != nil && !errors.Is(err, drill.ErrFailed) {
			return err
		}
		return errors.Join(a.print(r, func(w io.Writer) { describeDrill(w, r) }), err)
	}
	return cmd
}

func describeDrill(w io.Writer, r drill.Report) {
	fmt.Fprintf(w, "recovered in %.2f s\n", r.Recovery)
	if r.Reads > 0 {
		fmt.Fprintf(w, "%d reads were made meanwhile\n", r.Reads)
	}
	switch {
	case r.Promised:
		fmt.Fprintf(w, "values back: %d of %d read\n", r.Back, r.Back+r.Missing)
	default:
		fmt.Fprintf(w, "values to load again: %d of %d read; across a lost history none is promised\n", r.Missing, r.Back+r.Missing)
	}
	fmt.Fprintf(w, "dead values served: %d\n", r.Dead)
	if r.First != "" {
		fmt.Fprintf(w, "  the first: %s\n", r.First)
	}
	if r.Passed() {
		fmt.Fprintln(w, "passed: nothing that was promised was lost")
	}
}
