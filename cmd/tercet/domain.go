package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

func (a *app) domainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "domain", Short: "Create, list, show, back up, restore and delete domains",
		Long: "A domain is a named cache: its own keys, log, settings and members. It is made\nonce; nodes only look it up.",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.createCommand(), a.listCommand(), a.showCommand(), a.deleteCommand(), a.backupCommand(), a.restoreCommand())
	return cmd
}

func (a *app) createCommand() *cobra.Command {
	d := events.DefaultSettings()
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a domain",
		Long: `create makes a domain's streams and opens its first epoch. The settings are
constants of the domain: all members compute with the same numbers, so they
can't be changed later. Creating a domain that exists with the same settings
completes what an interrupted create left out.

The log keeps records for 2 x (max-ttl + outage): a copy that outlived the fence
which killed it would need to be older than that.

Settings beside the flags below, which stand in file and environment too:
  --partitions  number of the domain's logs, 1 to 64 (default 1)
  --lease       how long a node may serve after its last pulse (default 15s)
  --max-ttl     longest life of any copy (default 24h)
  --policy      what a cut off node does, fence or serve (default fence)
  --replicas    how many NATS servers keep the log, 1, 3 or 5 (default 1)`,
		Example: `  tercet domain create shop
  tercet domain create shop --replicas 3 --lease 15s --max-ttl 24h --outage 48h
  tercet domain create sessions --partitions 4 --policy serve`,
		Args: args(cobra.ExactArgs(1)),
	}
	drift := cmd.Flags().Int("drift-ppm", d.DriftPPM, "greatest difference between the rates of two members' clocks, in parts per million")
	outage := cmd.Flags().Duration("outage", d.Outage, "longest time that a node may be away and still come back by replay")
	inline := cmd.Flags().Int("inline-max", d.InlineMax, "bytes up to which a value rides in the log")
	cmd.RunE = a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		s := c.Settings()
		s.DriftPPM, s.Outage, s.InlineMax = *drift, *outage, *inline
		nc, err := link.Dial(c.NATS, "tercet cli")
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := jslog.Create(ctx, nc, args[0], s); err != nil {
			return err
		}
		view := describe(args[0], s)
		return a.print(view, func(w io.Writer) {
			fmt.Fprintf(w, "domain %s is there\n", args[0])
			view.write(w)
		})
	})
	return cmd
}

// domainView is a domain as people and programs read it.
type domainView struct {
	Name         string          `json:"name"`
	Partitions   int             `json:"partitions"`
	Lease        string          `json:"lease"`
	DriftPPM     int             `json:"drift_ppm"`
	MaxTTL       string          `json:"max_ttl"`
	Outage       string          `json:"outage"`
	InlineMax    int             `json:"inline_max"`
	Policy       events.Policy   `json:"policy"`
	Replicas     int             `json:"replicas"`
	Retention    string          `json:"retention"`
	PulseEvery   string          `json:"pulse_interval"`
	LeaseWait    string          `json:"lease_wait"`
	Logs         []partitionView `json:"logs,omitempty"`
	retentionSum string
}

// partitionView is one log as it is.
type partitionView struct {
	Partition int       `json:"partition"`
	First     uint64    `json:"first"`
	Last      uint64    `json:"last"`
	Records   uint64    `json:"records"`
	Bytes     uint64    `json:"bytes"`
	LastTime  time.Time `json:"last_time"`
}

func describe(name string, s events.Settings) domainView {
	return domainView{
		Name: name, Partitions: s.Partitions, Lease: s.Lease.String(), DriftPPM: s.DriftPPM,
		MaxTTL: s.MaxTTL.String(), Outage: s.Outage.String(), InlineMax: s.InlineMax, Policy: s.Policy, Replicas: s.Replicas,
		Retention: s.Retention().String(), PulseEvery: s.PulseInterval().String(), LeaseWait: s.LeaseWait().Round(time.Millisecond).String(),
		retentionSum: fmt.Sprintf("2 x (%v max ttl + %v outage)", s.MaxTTL, s.Outage),
	}
}

func (v domainView) write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any, why string) { fmt.Fprintf(t, "  %s\t%v\t%s\n", name, value, why) }
	row("partitions", v.Partitions, "logs")
	row("replicas", v.Replicas, "servers keep each log")
	row("policy", v.Policy, "when a node is cut off from the log")
	row("lease", v.Lease, fmt.Sprintf("a pulse every %s", v.PulseEvery))
	row("drift", fmt.Sprintf("%d ppm", v.DriftPPM), fmt.Sprintf("a writer waits %s for a member that fell silent", v.LeaseWait))
	row("max ttl", v.MaxTTL, "longest life of a copy")
	row("outage", v.Outage, "longest absence that replay mends")
	row("inline max", fmt.Sprintf("%d bytes", v.InlineMax), "larger values travel through Redis")
	row("retention", v.Retention, "= "+v.retentionSum)
	for _, l := range v.Logs {
		row(fmt.Sprintf("log %d", l.Partition), fmt.Sprintf("%d to %d", l.First, l.Last),
			fmt.Sprintf("%d records, %d bytes, newest of %s", l.Records, l.Bytes, l.LastTime.Local().Format(time.DateTime)))
	}
	_ = t.Flush() // a terminal that is gone shows nothing anyway
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a domain's settings and logs",
		Example: "  tercet domain show shop --json",
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
			c.Domain = args[0]
			return a.withDomain(ctx, c, func(nc *nats.Conn, d *jslog.Domain) error {
				view, err := inspect(ctx, nc, d)
				if err != nil {
					return err
				}
				return a.print(view, func(w io.Writer) {
					fmt.Fprintf(w, "domain %s\n", view.Name)
					view.write(w)
				})
			})
		}),
	}
}

func inspect(ctx context.Context, nc *nats.Conn, d *jslog.Domain) (domainView, error) {
	view := describe(d.Name(), d.Settings())
	js, err := jetstream.New(nc)
	if err != nil {
		return view, err
	}
	for p := range d.Settings().Partitions {
		s, err := js.Stream(ctx, jslog.LogStream(d.Name(), p))
		if err != nil {
			return view, fmt.Errorf("look at partition %d: %w", p, err)
		}
		state := s.CachedInfo().State
		view.Logs = append(view.Logs, partitionView{
			Partition: p, First: state.FirstSeq, Last: state.LastSeq, Records: state.Msgs, Bytes: state.Bytes, LastTime: state.LastTime,
		})
	}
	return view, nil
}

// listed is one line of list.
type listed struct {
	Name string `json:"name"`
	// Problem is why the domain can't be used; empty: it can.
	Problem string      `json:"problem,omitempty"`
	Domain  *domainView `json:"domain,omitempty"`
}

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the domains", Aliases: []string{"ls"},
		Args: args(cobra.NoArgs),
		RunE: a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, _ []string) error {
			nc, err := link.Dial(c.NATS, "tercet cli")
			if err != nil {
				return err
			}
			defer nc.Close()
			names, err := domains(ctx, nc)
			if err != nil {
				return err
			}
			all := make([]listed, 0, len(names))
			for _, name := range names {
				d, err := jslog.Open(ctx, nc, name)
				if err != nil {
					all = append(all, listed{Name: name, Problem: err.Error()})
					continue
				}
				view, err := inspect(ctx, nc, d)
				d.Close()
				if err != nil {
					return err
				}
				all = append(all, listed{Name: name, Domain: &view})
			}
			return a.print(all, func(w io.Writer) { writeList(w, all) })
		}),
	}
}

func writeList(w io.Writer, all []listed) {
	if len(all) == 0 {
		fmt.Fprintln(w, "there is no domain; create one with: tercet domain create NAME")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DOMAIN\tPARTITIONS\tREPLICAS\tPOLICY\tLEASE\tRECORDS\tBYTES")
	for _, l := range all {
		if l.Domain == nil {
			fmt.Fprintf(t, "%s\t%s\n", l.Name, l.Problem)
			continue
		}
		var records, bytes uint64
		for _, p := range l.Domain.Logs {
			records += p.Records
			bytes += p.Bytes
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%d\t%d\n", l.Name, l.Domain.Partitions, l.Domain.Replicas, l.Domain.Policy, l.Domain.Lease, records, bytes)
	}
	_ = t.Flush() // a terminal that is gone shows nothing anyway
}

// domains returns the names of all domains, those half made included.
func domains(ctx context.Context, nc *nats.Conn) ([]string, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	var names []string
	streams := js.StreamNames(ctx, jetstream.WithStreamListSubject("tercet.*.log.0"))
	for s := range streams.Name() {
		name, ok := strings.CutPrefix(s, "TERCET_")
		if name, ok2 := strings.CutSuffix(name, "_LOG_0"); ok && ok2 {
			names = append(names, name)
		}
	}
	if err := streams.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	slices.SortFunc(names, cmp.Compare)
	return names, nil
}

func (a *app) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a domain with its log, for good",
		Long: `delete removes a domain's streams. Its nodes stop serving. What lies in Redis and
on the nodes' disks stays until it expires, and is never served again: a domain
of the same name begins with another epoch.`,
		Example: "  tercet domain delete shop --yes",
		Args:    args(cobra.ExactArgs(1)),
	}
	yes := cmd.Flags().Bool("yes", false, "really delete")
	cmd.RunE = a.run([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		if !*yes {
			return usagef("deleting domain %q can't be undone; if that is meant, add --yes", args[0])
		}
		nc, err := link.Dial(c.NATS, "tercet cli")
		if err != nil {
			return err
		}
		defer nc.Close()
		if err := jslog.Delete(ctx, nc, args[0]); err != nil {
			return err
		}
		return a.print(map[string]string{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "domain %s is deleted\n", args[0]) })
	})
	return cmd
}
