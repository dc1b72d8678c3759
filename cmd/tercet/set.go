package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/pkg/client"
)

// written is what a write came to.
type written struct {
	Records []link.Landing `json:"records,omitempty"`
	// Token is what a session that should see the write passes on; only a
	// write that joined the domain knows it.
	Token      string `json:"token,omitempty"`
	Everywhere bool   `json:"everywhere,omitempty"`
}

func (w written) describe(out io.Writer) {
	switch {
	case w.Everywhere:
		fmt.Fprintln(out, "applied everywhere; session token "+w.Token)
	case w.Token != "":
		fmt.Fprintln(out, "in the log; session token "+w.Token)
	}
	for _, r := range w.Records {
		fmt.Fprintf(out, "in the log: partition %d, position %d\n", r.Partition, r.Position)
	}
}

func (a *app) setCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set KEY VALUE|@FILE|-", Short: "Write a value",
		Long: `set puts a value into the domain's log, from where every node takes it. VALUE is
the value itself, @FILE a file's content, - standard input.

It returns once the record is in the log; --everywhere waits until no node serves
an older value, which takes up to the domain's lease. A value beyond the domain's inline_max travels through Redis
(--redis-url). To make a cache forget, use invalidate: a set after a database
commit can lose a race that invalidate plus a load can't.`,
		Example: `  tercet set product:1:price 12.50 --ttl 10m --tag category:tea
  tercet set product:1:page @page.html --row-version 7
  date | tercet set clock - --everywhere`,
		Args: args(cobra.ExactArgs(2)),
	}
	ttl := cmd.Flags().Duration("ttl", 0, "how long it may live (default: the setting default_ttl); cut to the domain's max_ttl")
	tags := cmd.Flags().StringArray("tag", nil, "name of what would make the value wrong; may stand several times")
	version := cmd.Flags().Uint64("row-version", 0, "the origin's version of the row: of two sets that carry one, the higher wins")
	everywhere := cmd.Flags().Bool("everywhere", false, "wait until no node serves an older value")
	cmd.RunE = a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		value, err := a.value(args[1])
		if err != nil {
			return err
		}
		if *ttl < 0 {
			return usagef("--ttl %v: want more than 0", *ttl)
		}
		o := node.PutOptions{TTL: *ttl, Tags: *tags, Version: events.Version{N: *version, Known: cmd.Flags().Changed("row-version")}}
		ctx, cancel, err := a.patience(ctx, c, *everywhere)
		if err != nil {
			return err
		}
		defer cancel()
		result, err := a.set(ctx, c, args[0], value, o, *everywhere)
		if err != nil {
			return err
		}
		return a.print(result, result.describe)
	})
	return cmd
}

// value returns what an argument means: itself, a file's content, or that of
// standard input.
func (a *app) value(arg string) ([]byte, error) {
	if arg == "-" {
		return io.ReadAll(a.in)
	}
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("%v", err)
		}
		return b, err
	}
	return []byte(arg), nil
}

func (a *app) set(ctx context.Context, c *config.Config, key string, value []byte, o node.PutOptions, everywhere bool) (written, error) {
	if everywhere {
		return a.setJoined(ctx, c, key, value, o, client.Everywhere())
	}
	var result written
	large := false
	err := a.withWriter(ctx, c, func(w *link.Writer) error {
		s := w.Settings()
		if o.TTL == 0 {
			o.TTL = c.DefaultTTL
		}
		now := time.Now()
		e, err := tiers.Append(nil, &tiers.Header{
			Key: key, Created: now, Expiry: now.Add(min(o.TTL, s.MaxTTL)), Version: o.Version, Tags: o.Tags,
		}, value)
		if err != nil {
			return err
		}
		if large = len(e) > s.InlineMax; large {
			if c.Redis.URL == "" {
				return usagef("a value of %d bytes does not ride in the log (inline_max is %d); name the domain's Redis with --redis-url", len(value), s.InlineMax)
			}
			return nil
		}
		landed, err := w.Append(ctx, node.Partition(key, s.Partitions), &events.Put{Key: key, Version: o.Version, Entry: e})
		if err == nil {
			result.Records = []link.Landing{landed}
		}
		return err
	})
	if err != nil || !large {
		return result, err
	}
	return a.setJoined(ctx, c, key, value, o)
}

// setJoined writes as a member of the domain.
func (a *app) setJoined(ctx context.Context, c *config.Config, key string, value []byte, o node.PutOptions, more ...client.WriteOption) (written, error) {
	n, err := join(ctx, c)
	if err != nil {
		return written{}, err
	}
	defer leave(ctx, n)
	opts := append(more, client.TTL(o.TTL), client.Tags(o.Tags...))
	if o.Version.Known {
		opts = append(opts, client.RowVersion(o.Version.N))
	}
	token, err := n.Set(ctx, key, value, opts...)
	return written{Token: token.String(), Everywhere: len(more) > 0}, err
}
