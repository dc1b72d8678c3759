package offer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers"
)

// ErrNoBase reports a log that was trimmed and holds no pulse or epoch from
// which its digest could be computed: nobody can vouch for what it holds.
var ErrNoBase = errors.New("nothing in the log vouches for its digest")

// Config says what to offer, and to whom.
type Config struct {
	Partition int
	Source    replay.Source
	To        events.NodeID
	Replicas  node.Replicas
	Filter    replay.Filter
	// Rate bounds the copies that are offered in a second; 0: nothing does.
	Rate float64
	// Now is the time by which copies expire; default [time.Now].
	Now func() time.Time
	// Progress, if set, is told how many records were read, of how many in all.
	Progress func(read, of uint64)
}

// Result is what became of an offer. Whether the node kept a copy is for it to
// say; see [Held].
type Result struct {
	// Offered are the copies sent.
	Offered uint64 `json:"offered"`
	// Dead are the puts that a fence, a later put or an epoch has killed since,
	// Expired those past their end; NotInline those whose value is not in the log.
	Dead      uint64 `json:"dead"`
	Expired   uint64 `json:"expired"`
	NotInline uint64 `json:"not_inline"`
	// Outrun are those that lost to a higher row version; Unsure those that may
	// have, in a part of the log that was trimmed.
	Outrun uint64 `json:"outrun"`
	Unsure uint64 `json:"unsure"`
	// Keys are some of the keys offered, to ask the node about.
	Keys []string `json:"-"`
}

const (
	// shipment bounds what travels at once, in bytes of entries.
	shipment = 512 << 10
	// fresh is how old a voucher may be: nodes remember the digests of the last
	// 65,536 positions.
	fresh = 2 * time.Second
	// sampled is how many keys a Result names.
	sampled = 64
)

// Run reads the partition twice: first for what is alive at its end, then for
// the values. Errors are those of the source and of Replicas, and [ErrNoBase].
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	o := offering{Config: c, alive: newLiving(c.Filter), pace: rate.NewLimiter(rate.Inf, 0)}
	if c.Rate > 0 {
		o.pace = rate.NewLimiter(rate.Limit(c.Rate), max(1, int(c.Rate/10)))
	}
	first, last, err := c.Source.Bounds(ctx)
	if err != nil || last.Position == 0 {
		return o.result, err
	}
	o.total = 2 * (uint64(last.Position-first.Position) + 1)
	if err := o.advance(ctx, first.Position); err != nil {
		return o.result, err
	}
	if _, known := o.alive.world.Digest(); !known {
		return o.result, fmt.Errorf("offer partition %d: %w", c.Partition, ErrNoBase)
	}
	if o.alive.oldest() == 0 {
		return o.tally(), nil
	}
	err = c.Source.Read(ctx, o.alive.oldest(), last.Position, func(batch []events.Delivery) error {
		for _, d := range batch {
			if err := o.consider(ctx, d); err != nil {
				return err
			}
		}
		return o.told(len(batch))
	})
	if err == nil {
		err = o.send(ctx)
	}
	return o.tally(), err
}

// offering is one Run.
type offering struct {
	Config
	alive   *living
	pace    *rate.Limiter
	result  Result
	entries []tiers.Entry
	bytes   int
	vouched time.Time // when alive last was at the log's end
	read    uint64
	total   uint64
}

func (o *offering) told(n int) error {
	o.read += uint64(n)
	if o.Progress != nil {
		o.Progress(min(o.read, o.total), o.total)
	}
	return nil
}

func (o *offering) tally() Result {
	r := o.result
	r.Dead, r.NotInline, r.Outrun, r.Unsure = o.alive.dead, o.alive.notInline, o.alive.outrun, o.alive.unsure
	return r
}

// advance learns what the log says from a position to its end.
func (o *offering) advance(ctx context.Context, from events.Position) error {
	o.vouched = o.Now()
	_, last, err := o.Source.Bounds(ctx)
	if err != nil || last.Position < from {
		return err
	}
	return o.Source.Read(ctx, from, last.Position, func(batch []events.Delivery) error {
		for _, d := range batch {
			o.alive.apply(d)
		}
		if o.result.Offered == 0 && len(o.entries) == 0 {
			return o.told(len(batch))
		}
		return ctx.Err()
	})
}

// consider takes the puts of a record that are alive.
func (o *offering) consider(ctx context.Context, d events.Delivery) error {
	r, err := events.DecodeRecord(d.Data)
	if err != nil {
		return nil
	}
	for _, change := range r.Changes {
		c, ok := change.(*events.Put)
		if !ok || o.alive.puts[c.Key] != d.Position {
			continue
		}
		e, err := tiers.Parse(c.Entry)
		if err != nil || e.Key() != c.Key {
			continue
		}
		if e.Expired(o.Now().UnixMilli()) {
			o.result.Expired++
			continue
		}
		e = slices.Clone(e) // the record's bytes are not ours to change
		e.Stamp(o.alive.world.Epoch(), d.Position)
		if !o.alive.judge(e) {
			o.alive.dead++
			continue
		}
		if o.bytes+len(e) > shipment && len(o.entries) > 0 {
			if err := o.send(ctx); err != nil {
				return err
			}
		}
		o.entries, o.bytes = append(o.entries, e), o.bytes+len(e)
		if o.pace.Limit() != rate.Inf {
			if err := o.pace.Wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// send ships what has gathered, and is alive still.
func (o *offering) send(ctx context.Context) error {
	if len(o.entries) == 0 {
		return nil
	}
	if o.Now().Sub(o.vouched) > fresh {
		if err := o.advance(ctx, o.alive.world.Applied()+1); err != nil {
			return err
		}
	}
	kept := o.entries[:0]
	for _, e := range o.entries {
		switch {
		case o.alive.puts[e.Key()] != e.Birth(): // counted when it died
		case o.alive.judge(e):
			kept = append(kept, e)
		default:
			o.alive.dead++
		}
	}
	if len(kept) > 0 {
		digest, _ := o.alive.world.Digest()
		if err := o.Replicas.Send(ctx, o.To, node.Shipment{
			Partition: o.Partition, Epoch: o.alive.world.Epoch(), At: o.alive.world.Applied(), Digest: digest, Entries: kept,
		}); err != nil {
			return err
		}
	}
	for _, e := range kept {
		if len(o.result.Keys) < sampled || o.result.Offered%97 == 0 {
			if len(o.result.Keys) == sampled {
				o.result.Keys = o.result.Keys[1:]
			}
			o.result.Keys = append(o.result.Keys, strings.Clone(e.Key()))
		}
		o.result.Offered++
	}
	o.entries, o.bytes = nil, 0
	return nil
}

// Held asks a node which of keys, all of one partition, it has live copies of.
func Held(ctx context.Context, r node.Replicas, of events.NodeID, partition int, keys []string) (int, error) {
	s, err := r.Fetch(ctx, of, partition, keys)
	return len(s.Entries), err
}
