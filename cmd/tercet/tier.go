package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/node"
)

func (a *app) tierCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tier", Short: "List a node's tiers, and switch them off and on",
		Long: `A tier that is switched off is neither asked for copies nor given any, until it is
switched on or the node starts again. The node goes on with the others, and none of
its guarantees depends on it: fences are kept, and the witness in Redis too.

A switch is one node's. Ask each node for which it is meant.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.tierList(), a.tierSwitch("on", true), a.tierSwitch("off", false))
	return cmd
}

// tierNode is the node that answers; there is no other way to its switches.
func tierNode(cmd *cobra.Command) *string {
	return cmd.Flags().String("node", "http://127.0.0.1:8080", bracketNodeHelp)
}

func (a *app) tierList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tiers that a node has and uses",
		Example: `  tercet tier list --node http://10.0.0.7:8080`,
		Args:    args(cobra.NoArgs),
	}
	address := tierNode(cmd)
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, _ []string) error {
		var list tierList
		if err := callNode(ctx, c, *address, http.MethodGet, "/tiers", nil, &list); err != nil {
			return err
		}
		return a.print(list, list.describe)
	})
	return cmd
}

func (a *app) tierSwitch(word string, on bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: word + " TIER", Short: "Switch a node's tier " + word + ": memory, disk, redis or owner",
		Example: fmt.Sprintf(`  tercet tier %s redis --node http://10.0.0.7:8080`, word),
		Args:    args(cobra.ExactArgs(1)),
	}
	address := tierNode(cmd)
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, args []string) error {
		tier, err := node.ParseSource(args[0])
		if err != nil {
			return usagef("%v", err)
		}
		if err := callNode(ctx, c, *address, http.MethodPut, "/tiers/"+tier.String(), map[string]bool{"on": on}, nil); err != nil {
			return err
		}
		return a.print(map[string]any{"tier": tier.String(), "on": on}, func(w io.Writer) { fmt.Fprintf(w, "tier %s is %s\n", tier, word) })
	})
	return cmd
}

// tierList is what list prints, in the words of a node's HTTP interface.
type tierList struct {
	Tiers []struct {
		Tier    string   `json:"tier"`
		Present bool     `json:"present"`
		On      bool     `json:"on"`
		Advice  []string `json:"advice,omitempty"`
	} `json:"tiers"`
}

func (l tierList) describe(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TIER\tSTATE")
	for _, x := range l.Tiers {
		state := "on"
		switch {
		case !x.Present:
			state = "none"
		case !x.On:
			state = "OFF"
		}
		fmt.Fprintf(t, "%s\t%s\n", x.Tier, state)
	}
	t.Flush()
	for _, x := range l.Tiers {
		for _, line := range x.Advice {
			fmt.Fprintf(w, "%s: %s\n", x.Tier, line)
		}
	}
}
