package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/trial"
)

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err io.Writer

	loader  *config.Loader
	json    bool
	timeout time.Duration
}

func newApp(in io.Reader, out, err io.Writer) *app { return &app{in: in, out: out, err: err} }

const rootLong = `tercet makes and inspects domains, reads and writes cached values, publishes
domain events and follows a domain's log.

` + exitHelp

const rootExample = `  export TERCET_NATS_URL=nats://127.0.0.1:4222 TERCET_DOMAIN=shop
  tercet domain create shop
  tercet set product:1:price 12.50 --ttl 10m --tag category:tea
  tercet get product:1:price --json
  tercet invalidate --prefix product:1: --tag category:tea
  tercet publish --type shop.product.updated --data '{"id":1,"category":"tea"}'
  tercet tail`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "tercet", Short: "Make, inspect and use Tercet's domains", Long: rootLong, Example: rootExample,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return usagef("unknown command %q; did you mean %s?", args[0], strings.Join(near, " or "))
			}
			return usagef("unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.loader.PrintRequested() {
				_, err := a.load()
				return err
			}
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(config.FlagError)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.BoolVar(&a.json, "json", false, "write JSON")
	flags.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait for servers, in all")
	a.loader = config.NewLoader(config.ForCLI, flags)
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(),
		`{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}`,
		"  --json, --timeout, --domain, --nats-url and the other settings: see tercet --help", 1))
	root.AddCommand(a.domainCommand(), a.getCommand(), a.setCommand(), a.invalidateCommand(),
		a.publishCommand(), a.rulesCommand(), a.tailCommand(), a.replayCommand(), a.explainCommand(), a.diffCommand(),
		a.auditCommand(), a.bracketsCommand(), a.deadCommand(), a.snapshotCommand(), a.tierCommand(), a.drillCommand(), a.chaosCommand(), trial.Command())
	// Each command is a file, and adds itself here.
	for _, c := range root.Commands() {
		c.Flags().SortFlags = false
	}
	return root
}

// load reads the configuration and reports those of needs that are not set.
func (a *app) load(needs ...string) (*config.Config, error) {
	c, err := a.loader.Load()
	if a.loader.PrintRequested() {
		return c, errors.Join(c.Print(a.out, config.ForCLI), err)
	}
	if err != nil {
		return nil, err
	}
	return c, c.Need(needs...)
}

// run returns a command's RunE that gives f a configuration with needs, and a
// context that ends with --timeout.
func (a *app) run(needs []string, f func(ctx context.Context, c *config.Config, args []string) error) func(*cobra.Command, []string) error {
	return a.runUnbounded(needs, func(ctx context.Context, c *config.Config, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return f(ctx, c, args)
	})
}

// runUnbounded is run for commands that take as long as they take.
func (a *app) runUnbounded(needs []string, f func(ctx context.Context, c *config.Config, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.load(needs...)
		if err != nil || a.loader.PrintRequested() {
			return err
		}
		return f(cmd.Context(), c, args)
	}
}

// patience returns ctx with the time that a write may take: --timeout, and for
// one that must be everywhere a lease's length more, because a process that has
// just joined can't know who else may still serve.
func (a *app) patience(ctx context.Context, c *config.Config, everywhere bool) (context.Context, context.CancelFunc, error) {
	limit := a.timeout
	if everywhere {
		err := a.withDomain(ctx, c, func(_ *nats.Conn, d *jslog.Domain) error {
			limit += d.Settings().LeaseWait()
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, cancel, nil
}

// withDomain gives f a connection and the configured domain, open.
func (a *app) withDomain(ctx context.Context, c *config.Config, f func(*nats.Conn, *jslog.Domain) error) error {
	nc, err := link.Dial(c.NATS, "tercet cli")
	if err != nil {
		return err
	}
	defer nc.Close()
	opening, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	d, err := jslog.Open(opening, nc, c.Domain)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(nc, d)
}

// withWriter gives f the configured domain for writing.
func (a *app) withWriter(ctx context.Context, c *config.Config, f func(*link.Writer) error) error {
	return a.withDomain(ctx, c, func(_ *nats.Conn, d *jslog.Domain) error {
		w, err := link.NewWriter(d)
		if err != nil {
			return err
		}
		return f(w)
	})
}

// print writes v as JSON, or what human writes.
func (a *app) print(v any, human func(io.Writer)) error {
	if !a.json {
		human(a.out)
		return nil
	}
	return json.NewEncoder(a.out).Encode(v)
}

// args makes cobra's complaints about arguments wrong use.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil
	}
}
