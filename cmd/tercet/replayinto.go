package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/replay/offer"
	"github.com/raptorflow/tercet/internal/replay/scratch"
	"github.com/raptorflow/tercet/internal/server/resp"
)

var (
	errNoMember = errors.New("no such node")
	// errFiltered reports an archive that can't stand for a log.
	errFiltered = errors.New("the archive was filtered: what would have killed other copies may be missing")
)

// offered is what an offer to a node came to.
type offered struct {
	Node events.NodeID `json:"node"`
	offer.Result
	// Asked are the keys that the node was asked about afterwards, Held those of
	// them that it has.
	Asked int `json:"asked"`
	Held  int `json:"held"`
}

func (v offered) describe(w io.Writer) {
	fmt.Fprintf(w, "%d values offered to %s", v.Offered, v.Node)
	if v.Asked > 0 {
		fmt.Fprintf(w, "; asked about %d of them, it holds %d", v.Asked, v.Held)
	}
	fmt.Fprintln(w)
	for _, left := range []struct {
		n   uint64
		why string
	}{
		{v.Dead, "dead: fenced or put again since"},
		{v.Expired, "expired"},
		{v.NotInline, "not in the log: larger than the domain's inline_max"},
		{v.Outrun, "lost to a higher row version"},
		{v.Unsure, "with a row version, in a log that was trimmed: a higher one may have been"},
	} {
		if left.n > 0 {
			fmt.Fprintf(w, "  left out: %d %s\n", left.n, left.why)
		}
	}
}

// intoNode offers a running node what the log holds.
func (r *replayer) intoNode(ctx context.Context, c *config.Config, o *origin, word string) error {
	members, err := membersOf(ctx, o.log, 0)
	if err != nil {
		return err
	}
	to, err := find(members, word)
	if err != nil {
		return err
	}
	carrier, err := link.Replicas(o.nc, c)
	if err != nil {
		return err
	}
	parts, err := r.partitions(o.settings.Partitions)
	if err != nil {
		return err
	}
	v := offered{Node: to.Node}
	for _, p := range parts {
		bar := newProgress(r.app.err, "records")
		x := offer.Config{
			Partition: p, Source: o.sources[p], To: to.Node, Replicas: carrier,
			Filter: r.filter, Rate: r.rate, Progress: bar.at,
		}
		if r.dry {
			x.Replicas = nowhere{}
		}
		result, err := offer.Run(ctx, x)
		bar.end()
		v.add(result)
		if err != nil {
			return err
		}
		if r.dry || len(result.Keys) == 0 {
			continue
		}
		held, err := r.held(ctx, carrier, to.Node, p, result.Keys)
		if err != nil {
			return err
		}
		v.Asked += len(result.Keys)
		v.Held += held
	}
	return r.app.print(v, v.describe)
}

// settle is how long a node may take until it has what was sent to it last.
const settle = 5 * time.Second

// held asks until the node has all of keys, or does not get any more of them.
func (r *replayer) held(ctx context.Context, carrier node.Replicas, of events.NodeID, p int, keys []string) (int, error) {
	for until := time.Now().Add(settle); ; {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		n, err := offer.Held(ask, carrier, of, p, keys)
		cancel()
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if n == len(keys) || time.Now().After(until) {
			return n, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (v *offered) add(r offer.Result) {
	v.Offered += r.Offered
	v.Dead += r.Dead
	v.Expired += r.Expired
	v.NotInline += r.NotInline
	v.Outrun += r.Outrun
	v.Unsure += r.Unsure
}

// nowhere takes copies that are not to go anywhere.
type nowhere struct{ node.Replicas }

func (nowhere) Send(context.Context, events.NodeID, node.Shipment) error { return nil }

// intoScratch runs a node on the past and lets people ask it.
func (r *replayer) intoScratch(ctx context.Context, o *origin, b *beginning, ranges []replay.Range, addr string) error {
	if o.filtered {
		return errFiltered
	}
	if r.from != "first" || len(ranges) != o.settings.Partitions {
		return usagef("a scratch node needs all of its log up to --to: leave out --from and --partition")
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := onLoopback(addr); err != nil {
		return err
	}
	c := scratch.Config{Settings: o.settings, Sources: o.sources}
	all, applied := uint64(0), make([]uint64, len(ranges))
	for i, x := range ranges {
		if b == nil && x.Len() == 0 {
			return fmt.Errorf("%w: nothing in partition %d up to %s", node.ErrNotFound, i, r.to)
		}
		c.To = append(c.To, x.Last)
		all += x.Len()
	}
	bar := newProgress(r.app.err, "records")
	if o.settings.Partitions == 1 { // several are applied at once
		c.OnApply = func(p int, _ events.Mark, _ []events.Change) { applied[p]++; bar.at(applied[p], all) }
	}
	if b != nil {
		var err error
		if c.Fill, err = b.fill(ctx); err != nil {
			return err
		}
	}
	s, err := scratch.Open(ctx, c)
	bar.end()
	if err != nil {
		return err
	}
	if r.get != "" {
		return errors.Join(r.answer(ctx, s), s.Close())
	}
	return errors.Join(r.serve(ctx, o, s, addr), s.Close())
}

// onLoopback refuses an address that others can reach: what it serves was true
// once.
func onLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--into scratch:%s: want host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("--into scratch:%s: a scratch node is served on loopback alone, as 127.0.0.1:6400", addr)
	}
	return nil
}

func (r *replayer) answer(ctx context.Context, s *scratch.Scratch) error {
	got, err := s.Node().Get(ctx, r.get, nil, node.ReadOptions{})
	if err != nil {
		return err
	}
	v := valueView{Key: r.get, Source: got.Source.String()}
	for t := range got.Entry.Tags() {
		v.Tags = append(v.Tags, t)
	}
	v.hold(got.Entry.Payload())
	return r.app.print(v, func(w io.Writer) { _, _ = w.Write(v.bytes) }) // a pipe that closed has read enough
}

// serve answers Redis clients until ctx ends.
func (r *replayer) serve(ctx context.Context, o *origin, s *scratch.Scratch, addr string) error {
	door, err := resp.New(resp.Deps{Cache: s.Node()}, resp.Config{Addr: addr})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- door.Run(serving) }()
	select {
	case <-door.Listening():
	case err := <-ended:
		return err
	}
	view := struct {
		Domain string    `json:"domain"`
		At     time.Time `json:"at"`
		URL    string    `json:"url"`
	}{o.domain, s.At().UTC(), "redis://" + door.Addr().String()}
	if err := r.app.print(view, func(w io.Writer) {
		fmt.Fprintf(w, "%s as it was at %s is served at %s until you press Ctrl-C\n",
			view.Domain, view.At.Local().Format("2006-01-02 15:04:05.000"), view.URL)
	}); err != nil {
		return err
	}
	return <-ended
}
