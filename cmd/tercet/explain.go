package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/replay/chronicle"
)

func (a *app) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain KEY", Short: "Tell a key's history: what was put, what fenced it and why, and who holds what",
		Long: `explain reads the log of the key's partition and tells what happened to the key:
puts, fences that cover it, brackets and epochs, each with the domain event and the
trace behind it where they are known. It marks what decides, and says whether a copy
of a given birth (--birth) would be alive, and why not.

Then it asks the running nodes what each holds (those that announce an HTTP address,
and --node), and judges that by the log too. Tags of their copies count as the key's;
those of copies that nobody holds any more can be given (--tag).`,
		Example: `  tercet explain product:1:price
  tercet explain product:1:price --at "2026-03-01 12:00" --tag category:tea
  tercet explain product:1:price --birth 1200 --json`,
		Args: args(cobra.ExactArgs(1)),
	}
	x := historian{app: a}
	f := cmd.Flags()
	f.StringVar(&x.at, "at", "last", "as of this position or time; no node is asked then")
	f.StringArrayVar(&x.tags, "tag", nil, "a tag that copies of the key carry; may stand several times")
	f.Uint64Var(&x.birth, "birth", 0, "judge a copy born at this position, with the tags")
	f.StringArrayVar(&x.nodes, "node", nil, "ask this node's HTTP interface, too, as http://host:8080")
	f.BoolVar(&x.offline, "log-only", false, "ask no node")
	f.IntVar(&x.count, "count", 40, "show this many events, the last; 0: all")
	cmd.RunE = a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		x.key = args[0]
		return x.run(ctx, c)
	})
	return cmd
}

// historian is one call of the command.
type historian struct {
	app     *app
	key, at string
	tags    []string
	birth   uint64
	nodes   []string
	offline bool
	count   int
}

// explained is a key's history and who holds what.
type explained struct {
	chronicle.Story
	Domain    string          `json:"domain"`
	Partition int             `json:"partition"`
	Epoch     string          `json:"epoch"`
	First     events.Position `json:"first"`
	// Asked is the copy of --birth.
	Asked *chronicle.Verdict `json:"asked,omitempty"`
	Nodes []holding          `json:"nodes,omitempty"`
}

// holding is what a node says that it holds.
type holding struct {
	Node    string `json:"node"`
	Address string `json:"address,omitempty"`
	// Problem is why it could not be asked.
	Problem  string     `json:"problem,omitempty"`
	Epoch    string     `json:"epoch,omitempty"`
	Applied  uint64     `json:"applied,omitempty"`
	FreshFor int64      `json:"fresh_for_ms,omitempty"`
	Tiers    []heldCopy `json:"tiers,omitempty"`
	// Served are answers that it gave lately, and sampled.
	Served []servedCopy `json:"served,omitempty"`
	member *pulsed      // nil: it was named by its address alone
}

// heldCopy is what lies in one of a node's tiers.
type heldCopy struct {
	Tier    string     `json:"tier"`
	Found   bool       `json:"found"`
	Verdict string     `json:"verdict"`
	Epoch   string     `json:"epoch,omitempty"`
	Birth   uint64     `json:"birth,omitempty"`
	Size    int        `json:"size,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Expiry  *time.Time `json:"expiry,omitempty"`
	Tags    []string   `json:"tags,omitempty"`
	// Log is what the log makes of the copy, where that is another verdict than
	// the node's: it may be behind.
	Log *chronicle.Verdict `json:"log,omitempty"`
}

// servedCopy is an answer that a node gave, and sampled.
type servedCopy struct {
	At      time.Time `json:"at"`
	Epoch   string    `json:"epoch"`
	Birth   uint64    `json:"birth"`
	Applied uint64    `json:"applied"`
}

func (x *historian) run(ctx context.Context, c *config.Config) error {
	if err := events.ValidateKey(x.key); err != nil {
		return usagef("%v", err)
	}
	to, err := parsePlace("at", x.at)
	if err != nil {
		return err
	}
	return x.app.withDomain(ctx, c, func(_ *nats.Conn, d *jslog.Domain) error {
		v := explained{Domain: d.Name(), Partition: node.Partition(x.key, d.Settings().Partitions)}
		if !x.offline && to == replay.Last() {
			if v.Nodes, err = x.ask(ctx, c, d, v.Partition); err != nil {
				return err
			}
		}
		story, first, err := x.read(ctx, d, v.Partition, to, x.known(v.Nodes))
		if err != nil {
			return err
		}
		v.Story, v.First = story.Story(), first
		v.Epoch = v.Story.Epoch.String()
		if x.birth > 0 {
			verdict := story.Judge(v.Story.Epoch, events.Position(x.birth), v.Tags)
			v.Asked = &verdict
		}
		for i := range v.Nodes {
			v.Nodes[i].judge(story)
		}
		return x.app.print(v, v.describe)
	})
}

// known are the tags that somebody knows.
func (x *historian) known(nodes []holding) []string {
	tags := slices.Clone(x.tags)
	for _, n := range nodes {
		for _, t := range n.Tiers {
			tags = append(tags, t.Tags...)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// read tells a chronicle all that the log holds up to a place.
func (x *historian) read(ctx context.Context, d *jslog.Domain, partition int, to replay.Place, tags []string) (*chronicle.Chronicle, events.Position, error) {
	s := d.Retained(partition)
	r, err := replay.Resolve(ctx, partition, s, replay.First(), to)
	if err != nil {
		return nil, 0, err
	}
	story := chronicle.New(x.key, x.count, tags...)
	if r.Len() == 0 {
		return story, r.First, nil
	}
	bar := newProgress(x.app.err, "records")
	defer bar.end()
	read := uint64(0)
	return story, r.First, s.Read(ctx, r.First, r.Last, func(batch []events.Delivery) error {
		for _, d := range batch {
			story.Tell(d)
		}
		read += uint64(len(batch))
		bar.at(read, r.Len())
		return ctx.Err()
	})
}

// askTimeout bounds what one node may take to answer.
const askTimeout = 3 * time.Second

// ask asks the members that announce where, and the nodes that were named.
func (x *historian) ask(ctx context.Context, c *config.Config, d *jslog.Domain, partition int) ([]holding, error) {
	members, err := membersOf(ctx, d, partition)
	if err != nil {
		return nil, err
	}
	var all []holding
	for i, m := range members {
		all = append(all, holding{Node: string(m.Node), Address: m.http(), member: &members[i]})
	}
	for _, address := range x.nodes {
		if !slices.ContainsFunc(all, func(h holding) bool { return h.Address == address }) {
			all = append(all, holding{Address: address})
		}
	}
	for i := range all {
		if err := all[i].ask(ctx, c, x.key); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ask asks one node what it holds of a key; that it can't be asked is part of the
// answer.
func (h *holding) ask(ctx context.Context, c *config.Config, key string) error {
	if h.Address == "" {
		h.Problem = "announces no HTTP address; name one with --node"
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := callNode(ask, c, h.Address, http.MethodGet, "/explain/"+url.PathEscape(key), nil, h)
	if err != nil && (ctx.Err() != nil || errors.Is(err, errUsage)) {
		return err
	}
	if err != nil {
		h.Problem = err.Error()
	}
	return nil
}

// judge compares what a node says of its copies with what the log makes of them.
func (h *holding) judge(story *chronicle.Chronicle) {
	for i := range h.Tiers {
		t := &h.Tiers[i]
		epoch, err := events.ParseEpoch(t.Epoch)
		if !t.Found || err != nil {
			continue
		}
		v := story.Judge(epoch, events.Position(t.Birth), t.Tags)
		if (v.Life == "alive") != (t.Verdict == "alive") && t.Verdict != "expired" {
			t.Log = &v
		}
	}
}
