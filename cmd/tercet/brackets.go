package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/pkg/client"
)

func (a *app) bracketsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "brackets", Short: "List and resolve bracketed writes that have not ended",
		Long: `A bracketed write whose process died stays open: reads of what it covers go to the
origin, which is safe and slow, until somebody ends it in the writer's stead.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.bracketsList(), a.bracketsResolve())
	return cmd
}

const bracketNodeHelp = "ask this node's HTTP interface, as http://host:8080; with http.token, if it wants one (TERCET_HTTP_TOKEN)"

func (a *app) bracketsList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List open brackets: what they cover, whose they are, and since when",
		Long: `list asks a running node (--node), or joins the domain for a moment. A bracket is
OVERDUE once its deadline has passed: its writer has probably died.`,
		Example: `  tercet brackets list
  tercet brackets list --node http://127.0.0.1:8080 --json`,
		Args: args(cobra.NoArgs),
	}
	address := cmd.Flags().String("node", "", bracketNodeHelp)
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, _ []string) error {
		var list bracketList
		var err error
		if *address != "" {
			err = callNode(ctx, c, *address, http.MethodGet, "/brackets", nil, &list)
		} else {
			err = withNode(ctx, c, func(n *client.Client) error {
				list = listOf(n.Brackets())
				return nil
			})
		}
		if err != nil {
			return err
		}
		return a.print(list, list.describe)
	})
	return cmd
}

func (a *app) bracketsResolve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resolve ID", Short: "End a bracket whose writer can't commit any more",
		Long: `resolve ends a bracket in its writer's stead. If the writer can still commit, that
leaves a stale copy until the next fence, and nothing here can tell: a process may
have been stopped for an hour and go on. First make the commit impossible, then say
so with --commit-is-impossible:

- A bracket with a DECIDER was written through pkg/sqlbracket. Resolve it with
  sqlbracket.Resolve, against that database: the marker that it inserts decides,
  and needs nobody's word.
- Otherwise end the writer's database session (in PostgreSQL, pg_terminate_backend),
  see that its process is gone, and that nothing retries its transaction.`,
		Example: `  tercet brackets resolve 0f1e2d3c4b5a69788796a5b4c3d2e1f0 --commit-is-impossible`,
		Args:    args(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	address := f.String("node", "", bracketNodeHelp)
	sure := f.Bool("commit-is-impossible", false, "the writer can't commit any more: I have seen to it")
	cmd.RunE = a.run([]string{"domain"}, func(ctx context.Context, c *config.Config, args []string) error {
		id, err := client.ParseBracketID(args[0])
		if err != nil {
			return err
		}
		if !*sure {
			return usagef("a bracket that ends while its writer can still commit leaves a stale copy; make the commit impossible first, then add --commit-is-impossible")
		}
		if *address != "" {
			err = callNode(ctx, c, *address, http.MethodPost, "/brackets/"+id.String()+"/resolve", map[string]bool{"commit_is_impossible": true}, nil)
		} else {
			err = withNode(ctx, c, func(n *client.Client) error {
				_, err := n.EndBracket(ctx, id)
				return err
			})
		}
		if err != nil {
			return err
		}
		return a.print(map[string]string{"resolved": id.String()}, func(w io.Writer) { fmt.Fprintf(w, "bracket %s has ended\n", id) })
	})
	return cmd
}

// withNode gives f a node of its own in the configured domain.
func withNode(ctx context.Context, c *config.Config, f func(*client.Client) error) error {
	if err := c.Need("nats.url"); err != nil {
		return err
	}
	n, err := join(ctx, c)
	if err != nil {
		return err
	}
	defer leave(ctx, n)
	return f(n)
}

// bracketList is what list prints, in the words of a node's HTTP interface.
type bracketList struct {
	Brackets []bracketView `json:"brackets"`
}

type bracketView struct {
	ID        string    `json:"id"`
	Keys      []string  `json:"keys,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
	Prefixes  []string  `json:"prefixes,omitempty"`
	Globs     []string  `json:"globs,omitempty"`
	All       bool      `json:"all,omitempty"`
	Deadline  time.Time `json:"deadline"`
	AgeMillis int64     `json:"age_ms"`
	Overdue   bool      `json:"overdue"`
	Writer    string    `json:"writer,omitempty"`
	Decider   string    `json:"decider,omitempty"`
}

func listOf(open []client.OpenBracket) bracketList {
	list := bracketList{Brackets: []bracketView{}}
	for _, b := range open {
		list.Brackets = append(list.Brackets, bracketView{
			ID: b.ID.String(), Keys: b.Covers.Keys, Tags: b.Covers.Tags, Prefixes: b.Covers.Prefixes, Globs: b.Covers.Globs, All: b.Covers.All,
			Deadline: b.Deadline.UTC(), AgeMillis: b.Age.Milliseconds(), Overdue: b.Overdue, Writer: b.Writer, Decider: b.Decider,
		})
	}
	return list
}

func (l bracketList) describe(w io.Writer) {
	if len(l.Brackets) == 0 {
		fmt.Fprintln(w, "no bracket is open")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "ID\tAGE\tSTATE\tWRITER\tDECIDER\tCOVERS")
	for _, b := range l.Brackets {
		state := "open"
		if b.Overdue {
			state = "OVERDUE"
		}
		age := (time.Duration(b.AgeMillis) * time.Millisecond).Round(time.Second)
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\t%s\t%s\n", b.ID, age, state, orDash(b.Writer), orDash(b.Decider), b.covers())
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// covers is the bracket's scope on one line, cut where it is long.
func (b bracketView) covers() string {
	var parts []string
	for _, of := range []struct {
		what  string
		names []string
	}{{"key", b.Keys}, {"tag", b.Tags}, {"prefix", b.Prefixes}, {"glob", b.Globs}} {
		for i, name := range of.names {
			if i == 3 {
				parts = append(parts, fmt.Sprintf("and %d more", len(of.names)-i))
				break
			}
			parts = append(parts, fmt.Sprintf("%s %q", of.what, name))
		}
	}
	if b.All {
		parts = append(parts, "everything")
	}
	return strings.Join(parts, ", ")
}

// callNode asks a node's HTTP interface, in the configured domain. in and out
// are JSON and may be nil.
func callNode(ctx context.Context, c *config.Config, address, method, path string, in, out any) error {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return usagef("--node %q: want a URL, as in http://127.0.0.1:8080", address)
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(address, "/")+"/v1/"+url.PathEscape(c.Domain)+path, body)
	if err != nil {
		return usagef("--node %q: %v", address, err)
	}
	if c.HTTP.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.HTTP.Token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return refused(strings.ToLower(method)+" "+path, res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
