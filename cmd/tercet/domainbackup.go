package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/backup"
	"github.com/raptorflow/tercet/internal/config"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup DIR", Short: "Back a domain's logs up",
		Long: `backup writes what the domain's logs hold, as JetStream packs it, into a directory
that holds no backup yet, and a backup.json that names every file with its sum. The
domain goes on meanwhile.

The files hold cached values; keep them as you keep those.`,
		Example: "  tercet domain backup /backups/shop-$(date +%F) --domain shop",
		Args:    args(cobra.ExactArgs(1)),
		RunE: a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
			nc, err := link.Dial(c.NATS, "tercet cli")
			if err != nil {
				return err
			}
			defer nc.Close()
			bar := newProgress(a.err, "bytes")
			m, err := backup.Take(ctx, nc, c.Domain, args[0], func(n uint64) { bar.at(n, 0) })
			bar.end()
			if err != nil {
				return err
			}
			v := backedUp{Domain: m.Domain, Made: m.Made, Directory: args[0]}
			for _, l := range m.Logs {
				v.Logs = append(v.Logs, backedUpLog{Partition: l.Partition, First: uint64(l.First), Last: uint64(l.Last), Bytes: l.Bytes})
			}
			return a.print(v, v.describe)
		}),
	}
}

// backedUp is what a backup holds.
type backedUp struct {
	Domain    string        `json:"domain"`
	Directory string        `json:"directory"`
	Made      time.Time     `json:"made"`
	Logs      []backedUpLog `json:"logs"`
}

type backedUpLog struct {
	Partition int    `json:"partition"`
	First     uint64 `json:"first"`
	Last      uint64 `json:"last"`
	Bytes     int64  `json:"bytes"`
}

func (v backedUp) describe(w io.Writer) {
	fmt.Fprintf(w, "domain %s is backed up in %s\n", v.Domain, v.Directory)
	for _, l := range v.Logs {
		fmt.Fprintf(w, "  log %d  positions %d to %d, %d bytes\n", l.Partition, l.First, l.Last, l.Bytes)
	}
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Make a domain of a backup",
		Long: `restore checks a backup and makes its domain of it. Each log comes back with a new
epoch behind its last record, from the first instant that anybody can see it: fences
from after the backup are lost, so every value from before it is void. Nodes may run
meanwhile; they notice, drop what they had and go on.

Before it touches the server it works in a temporary directory, which needs twice
the backup's room. An interrupted restore is run again with --replace.`,
		Example: `  tercet domain restore /backups/shop-2026-03-01
  tercet domain restore /backups/shop-2026-03-01 --replace --yes`,
		Args: args(cobra.ExactArgs(1)),
	}
	replace := cmd.Flags().Bool("replace", false, "delete the domain's streams first, with all that they hold")
	yes := cmd.Flags().Bool("yes", false, "really delete them")
	cmd.RunE = a.runUnbounded([]string{"nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		if *replace && !*yes {
			return usagef("replacing a domain's logs can't be undone; if that is meant, add --yes")
		}
		nc, err := link.Dial(c.NATS, "tercet cli")
		if err != nil {
			return err
		}
		defer nc.Close()
		began := time.Now()
		m, logs, err := backup.Restore(ctx, nc, args[0], *replace)
		if err != nil {
			return err
		}
		v := restoredDomain{Domain: m.Domain, Made: m.Made, Seconds: time.Since(began).Seconds(), Logs: logs}
		return a.print(v, v.describe)
	})
	return cmd
}

// restoredDomain is what a restore came to.
type restoredDomain struct {
	Domain  string            `json:"domain"`
	Made    time.Time         `json:"backup_made"`
	Seconds float64           `json:"seconds"`
	Logs    []backup.Restored `json:"logs"`
}

func (v restoredDomain) describe(w io.Writer) {
	fmt.Fprintf(w, "domain %s is back as it was at %s, in %.1f s\n", v.Domain, v.Made.Local().Format(time.DateTime), v.Seconds)
	for _, l := range v.Logs {
		fmt.Fprintf(w, "  log %d  up to position %d, a new epoch at %d\n", l.Partition, l.Last, l.Epoch)
	}
	fmt.Fprintln(w, "values from before are void and are loaded again")
}
