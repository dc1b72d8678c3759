package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/origin/http"
)

// errStale reports copies that differ from the origin and stay so.
var errStale = errors.New("copies differ from the origin")

// auditDelays are how long a difference may last before a key is blamed. A
// change needs a moment from its commit to its fence, and the time in between
// is nobody's fault.
var auditDelays = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond}

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit KEY...", Short: "Compare what a node serves with the origin",
		Long: `audit reads each key from a running node and from the origin, and compares the
bytes. Where they differ it looks again after 0.1, 0.4 and 1.6 seconds; a key is
blamed only if the node serves the same bytes all the time and the origin never
had them. A key that the node does not hold can't be wrong. Exit code 1 if a key is
blamed.

Nodes audit themselves against the log and against each other all the time: see
the metrics tercet_audit_checked_total and tercet_audit_violations_total.`,
		Example: `  tercet audit product:1 product:2 --node http://127.0.0.1:8080 --origin 'http://127.0.0.1:9000/products/{key}'`,
		Args:    args(cobra.MinimumNArgs(1)),
	}
	address := cmd.Flags().String("node", "http://127.0.0.1:8080", "the node's HTTP interface; with http.token, if it wants one (TERCET_HTTP_TOKEN)")
	template := cmd.Flags().String("origin", "", "URL with {key} in it, where a key's value is fetched")
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, keys []string) error {
		if *template == "" {
			return usagef("--origin is not set: where does the truth live?")
		}
		origin, err := http.New(http.Config{Routes: []http.Route{{URL: *template}}})
		if err != nil {
			return usagef("--origin: %v", err)
		}
		defer origin.Close()
		report := auditView{Asked: len(keys)}
		for _, key := range keys {
			v, err := auditKey(ctx, func() ([]byte, bool, error) {
				v, err := fromNode(*address)(ctx, c, key, "")
				if errors.Is(err, node.ErrNotFound) {
					return nil, false, nil
				}
				return v.bytes, err == nil, err
			}, func() ([]byte, bool, error) {
				r, err := origin.Fetch(ctx, key)
				return r.Body, err == nil && !r.NotFound, err
			})
			if err != nil {
				return fmt.Errorf("audit %q: %w", key, err)
			}
			report.count(key, v)
		}
		if err := a.print(report, func(w io.Writer) {
			for _, key := range report.Stale {
				fmt.Fprintf(w, "%s differs from the origin and stays so\n", key)
			}
			fmt.Fprintf(w, "%d keys: %d checked, %d stale, %d not held, %d changing\n",
				report.Asked, report.Checked, len(report.Stale), report.NotHeld, report.Unsettled)
		}); err != nil {
			return err
		}
		if len(report.Stale) > 0 {
			return fmt.Errorf("%w: %d of %d", errStale, len(report.Stale), report.Checked)
		}
		return nil
	})
	return cmd
}

// auditView is the result as programs read it.
type auditView struct {
	Asked   int `json:"asked"`
	Checked int `json:"checked"`
	NotHeld int `json:"not_held"`
	// Unsettled keys changed too often to be judged.
	Unsettled int      `json:"unsettled"`
	Stale     []string `json:"stale"`
}

func (r *auditView) count(key string, v auditVerdict) {
	switch v {
	case notHeld:
		r.NotHeld++
		return
	case unsettled:
		r.Unsettled++
		return
	case stale:
		r.Stale = append(r.Stale, key)
	}
	r.Checked++
}

type auditVerdict int

const (
	same auditVerdict = iota
	stale
	notHeld
	unsettled
)

// auditKey compares until both sides agree, or have differed for long enough.
// The origin is asked behind the node: what the node serves may be older than
// the first answer, but must have been replaced by the last.
func auditKey(ctx context.Context, cached, truth func() (value []byte, there bool, err error)) (auditVerdict, error) {
	var first []byte
	verdict := stale
	for i := 0; ; i++ {
		have, held, err := cached()
		if err != nil {
			return 0, err
		}
		if !held {
			return notHeld, nil
		}
		want, there, err := truth()
		if err != nil {
			return 0, err
		}
		if there && bytes.Equal(have, want) {
			return same, nil
		}
		if i == 0 {
			first = have
		} else if !bytes.Equal(first, have) {
			verdict = unsettled
		}
		if i == len(auditDelays) {
			return verdict, nil
		}
		select {
		case <-time.After(auditDelays[i]):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
