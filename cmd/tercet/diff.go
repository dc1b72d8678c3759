package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
	"github.com/raptorflow/tercet/internal/replay"
)

// errDiffer reports nodes of which one would serve what is dead, or that have
// applied different histories.
var errDiffer = errors.New("the nodes contradict each other")

func (a *app) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff NODE-A NODE-B", Short: "Compare what two nodes have applied and what they hold",
		Long: `diff compares two members of a domain, named by their names or by addresses that
they announced: epoch, applied position and digest in each partition, and for keys
that the log named last (--sample), or that are given (--key), what each holds. It
prints differences only.

That one holds a copy and the other does not is no fault. That one would serve what
the other, as of the same position, holds dead is one, and so is another digest at
the same position: then the exit code is 1.`,
		Example: `  tercet diff node-a node-b
  tercet diff http://10.0.0.1:8080 http://10.0.0.2:8080 --key product:1:price --json`,
		Args: args(cobra.ExactArgs(2)),
	}
	x := differ{app: a, rolled: map[stand]rolled{}}
	cmd.Flags().StringArrayVar(&x.keys, "key", nil, "compare this key; may stand several times")
	cmd.Flags().IntVar(&x.sample, "sample", 100, "compare so many of the keys that the log named last")
	cmd.RunE = a.runUnbounded([]string{"domain", "nats.url"}, func(ctx context.Context, c *config.Config, args []string) error {
		for _, k := range x.keys {
			if err := events.ValidateKey(k); err != nil {
				return usagef("%v", err)
			}
		}
		return a.withDomain(ctx, c, func(nc *nats.Conn, d *jslog.Domain) error { return x.run(ctx, c, nc, d, args[0], args[1]) })
	})
	return cmd
}

// differ is one call of the command.
type differ struct {
	app    *app
	keys   []string
	sample int

	config  *config.Config
	domain  *jslog.Domain
	auditor *peers.Auditor
	// rolled are the digests last asked for.
	rolled map[stand]rolled
}

// stand is a member in one partition.
type stand struct {
	who       events.Incarnation
	partition int
}

// difference is what two nodes differ in.
type difference struct {
	A          string          `json:"a"`
	B          string          `json:"b"`
	Partitions []partitionDiff `json:"partitions,omitempty"`
	Keys       []keyDiff       `json:"keys,omitempty"`
	// Compared are the keys that were looked at, Unasked those of them for which a
	// node could not be asked, and Problem why.
	Compared int    `json:"keys_compared"`
	Unasked  int    `json:"keys_unasked,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Faults   int    `json:"faults"`
}

// partitionDiff is a partition in which the nodes stand at different places.
type partitionDiff struct {
	Partition int             `json:"partition"`
	EpochA    string          `json:"epoch_a"`
	EpochB    string          `json:"epoch_b"`
	AppliedA  events.Position `json:"applied_a"`
	AppliedB  events.Position `json:"applied_b"`
	// What is said of it; Fault: it must not be.
	What  string `json:"what"`
	Fault bool   `json:"fault,omitempty"`
}

// keyDiff is a key of which the nodes hold different copies.
type keyDiff struct {
	Key string `json:"key"`
	// BirthA and BirthB are the births of the copies that the nodes would serve; 0:
	// none.
	BirthA uint64 `json:"birth_a"`
	BirthB uint64 `json:"birth_b"`
	What   string `json:"what"`
	Fault  bool   `json:"fault,omitempty"`
}

func (x *differ) run(ctx context.Context, c *config.Config, nc *nats.Conn, d *jslog.Domain, wordA, wordB string) (err error) {
	x.config, x.domain = c, d
	if x.auditor, err = peers.NewAuditor(nc, d.Name()); err != nil {
		return err
	}
	var v difference
	var a, b []pulsed // by partition
	for p := range d.Settings().Partitions {
		members, err := membersOf(ctx, d, p)
		if err != nil {
			return err
		}
		ma, err := find(members, wordA)
		if err != nil {
			return err
		}
		mb, err := find(members, wordB)
		if err != nil {
			return err
		}
		if ma.Incarnation == mb.Incarnation {
			return usagef("%s and %s are the same node", wordA, wordB)
		}
		a, b = append(a, ma), append(b, mb)
		diff, err := x.partition(ctx, p, ma, mb)
		if err != nil {
			return err
		}
		if diff != nil {
			v.Partitions = append(v.Partitions, *diff)
		}
	}
	v.A, v.B = string(a[0].Node), string(b[0].Node)
	if err := x.compareKeys(ctx, &v, a, b); err != nil {
		return err
	}
	v.count()
	if err := x.app.print(v, v.describe); err != nil {
		return err
	}
	if v.Faults > 0 {
		return fmt.Errorf("%w: %d faults", errDiffer, v.Faults)
	}
	return nil
}

func (v *difference) count() {
	for _, p := range v.Partitions {
		if p.Fault {
			v.Faults++
		}
	}
	for _, k := range v.Keys {
		if k.Fault {
			v.Faults++
		}
	}
}

// partition compares where the nodes were at their last pulses; nil: at the same
// place of the same history.
func (x *differ) partition(ctx context.Context, p int, a, b pulsed) (*partitionDiff, error) {
	d := &partitionDiff{Partition: p, EpochA: a.Epoch.String(), EpochB: b.Epoch.String(), AppliedA: a.Applied, AppliedB: b.Applied}
	none := events.Digest{}
	switch {
	case a.Epoch != b.Epoch:
		d.What = "they count in different epochs"
		return d, nil // one of them may just not have heard of the later one
	case a.Digest == none || b.Digest == none:
		d.What = "one of them began in a trimmed log and has no digest yet"
		return d, nil
	}
	low, high := a.Pulse, b.Pulse
	if low.Applied > high.Applied {
		low, high = high, low
	}
	digest, err := x.roll(ctx, p, low, high.Applied)
	if err != nil {
		return nil, err
	}
	if digest != high.Digest {
		d.What, d.Fault = fmt.Sprintf("they have applied different histories up to %d", high.Applied), true
		return d, nil
	}
	return nil, nil
}

// roll carries a member's digest on to a later position, by the log.
func (x *differ) roll(ctx context.Context, p int, from *events.Pulse, to events.Position) (events.Digest, error) {
	digest := from.Digest
	if to < from.Applied {
		return digest, fmt.Errorf("%w: %s has applied %d, asked about %d", events.ErrInvalid, from.Node, from.Applied, to)
	}
	if to == from.Applied {
		return digest, nil
	}
	err := x.domain.Retained(p).Read(ctx, from.Applied+1, to, func(batch []events.Delivery) error {
		for _, d := range batch {
			if opensEpoch(d) {
				digest = events.Digest{} // it begins anew there
			}
			digest = digest.Next(d.ID)
		}
		return nil
	})
	return digest, err
}

func opensEpoch(d events.Delivery) bool {
	r, err := events.DecodeRecord(d.Data)
	return errors.Is(err, events.ErrUnknown) || slices.ContainsFunc(r.Changes, func(c events.Change) bool {
		_, ok := c.(*events.EpochChange)
		return ok
	})
}

// compareKeys asks both nodes what they hold of each key.
func (x *differ) compareKeys(ctx context.Context, v *difference, a, b []pulsed) error {
	keys, err := x.named(ctx)
	if err != nil {
		return err
	}
	bar := newProgress(x.app.err, "keys")
	defer bar.end()
	for i, key := range keys {
		p := node.Partition(key, len(a))
		ha, hb := holding{Node: v.A, Address: a[p].http()}, holding{Node: v.B, Address: b[p].http()}
		if err := errors.Join(ha.ask(ctx, x.config, key), hb.ask(ctx, x.config, key)); err != nil {
			return err
		}
		v.Compared++
		for _, h := range []holding{ha, hb} {
			if h.Problem != "" {
				v.Problem = h.Node + ": " + h.Problem
			}
		}
		if ha.Problem != "" || hb.Problem != "" {
			v.Unasked++
			continue
		}
		if d := x.key(ctx, key, p, a[p], b[p], ha, hb); d != nil {
			v.Keys = append(v.Keys, *d)
		}
		bar.at(uint64(i+1), uint64(len(keys)))
	}
	return nil
}

// key compares what two nodes hold of a key; nil: the same.
func (x *differ) key(ctx context.Context, key string, p int, a, b pulsed, ha, hb holding) *keyDiff {
	ca, cb := ha.serves(), hb.serves()
	d := &keyDiff{Key: key}
	if ca != nil {
		d.BirthA = ca.Birth
	}
	if cb != nil {
		d.BirthB = cb.Birth
	}
	for _, of := range []struct {
		holder, judge pulsed
		h             holding
		c             *heldCopy
	}{{a, b, ha, ca}, {b, a, hb, cb}} {
		if of.c != nil && x.objects(ctx, of.holder, of.judge, p, key, of.h, of.c) {
			d.Fault = true
			d.What = fmt.Sprintf("%s would serve the copy born at %d, which %s holds dead", of.holder.Node, of.c.Birth, of.judge.Node)
			return d
		}
	}
	switch {
	case d.BirthA == d.BirthB:
		return nil
	case cb == nil:
		d.What = "only " + string(a.Node) + " holds it"
	case ca == nil:
		d.What = "only " + string(b.Node) + " holds it"
	default:
		d.What = "both hold copies that are alive"
	}
	return d
}

// serves is the copy that the node would serve; nil: none.
func (h holding) serves() *heldCopy {
	for i, t := range h.Tiers {
		if t.Found && t.Verdict == "alive" && t.Tier != node.FromShared.String() { // Redis is both's
			return &h.Tiers[i]
		}
	}
	return nil
}

// objects asks a member whether a copy that another would serve was dead where
// that one stood, in the history that it has told of in its pulses.
func (x *differ) objects(ctx context.Context, holder, judge pulsed, p int, key string, h holding, c *heldCopy) bool {
	epoch, err := events.ParseEpoch(c.Epoch)
	if err != nil {
		return false
	}
	digest, err := x.digestOf(ctx, p, holder, events.Position(h.Applied))
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	opinion, err := x.auditor.Consult(ctx, judge.Incarnation, node.Sighting{
		Partition: p, Epoch: epoch, Key: key, Birth: events.Position(c.Birth), Tags: c.Tags,
		Claim: events.Position(h.Applied), Digest: digest,
	})
	return err == nil && opinion == node.Objects
}

// rolled is a digest that was carried on.
type rolled struct {
	at     events.Position
	digest events.Digest
}

// digestOf is the digest that a member has at a position behind its last pulse.
func (x *differ) digestOf(ctx context.Context, p int, m pulsed, at events.Position) (events.Digest, error) {
	last, ok := x.rolled[stand{m.Incarnation, p}]
	if ok && last.at == at {
		return last.digest, nil
	}
	d, err := x.roll(ctx, p, m.Pulse, at)
	if err == nil {
		x.rolled[stand{m.Incarnation, p}] = rolled{at, d}
	}
	return d, err
}

// named are the keys to compare: those given, and the last that the log named.
func (x *differ) named(ctx context.Context) ([]string, error) {
	keys := slices.Clone(x.keys)
	n := x.domain.Settings().Partitions
	for p := range n {
		s := x.domain.Retained(p)
		_, last, err := s.Bounds(ctx)
		if err != nil {
			return nil, err
		}
		const enough = 5000 // records that are looked at
		r, err := replay.Resolve(ctx, p, s, replay.At(max(last.Position, enough)-enough+1), replay.Last())
		if err != nil {
			return nil, err
		}
		if r.Len() == 0 || x.sample <= 0 {
			continue
		}
		var found []string
		if err := s.Read(ctx, r.First, r.Last, func(batch []events.Delivery) error {
			for _, d := range batch {
				found = append(found, keysOf(d)...)
			}
			return nil
		}); err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, k := range slices.Backward(found) {
			if len(seen) >= (x.sample+n-1)/n {
				break
			}
			seen[k] = true
		}
		for k := range seen {
			if !slices.Contains(x.keys, k) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// keysOf are the keys that a record names.
func keysOf(d events.Delivery) (keys []string) {
	r, err := events.DecodeRecord(d.Data)
	if err != nil {
		return nil
	}
	for _, c := range r.Changes {
		switch c := c.(type) {
		case *events.Put:
			keys = append(keys, c.Key)
		case *events.Invalidate:
			keys = append(keys, c.Scope.Keys...)
		}
	}
	return keys
}
