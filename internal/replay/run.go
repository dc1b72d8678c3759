package replay

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/internal/events"
)

// Item is a record that is replayed, decoded.
type Item struct {
	events.Delivery
	Record events.Record
	// Err is why it could not be decoded.
	Err error
}

// Target takes what is replayed: the records of one partition after the other,
// in order. It keeps neither the slice nor the items.
type Target interface {
	Take(ctx context.Context, partition int, items []Item) error
}

// Options change what a replay does. The zero value: everything, as fast as it
// goes, and nobody is told.
type Options struct {
	Filter Filter
	// Pulses takes records that hold nothing but pulses too, where Filter is
	// empty. A filter leaves them out.
	Pulses bool
	// Rate bounds the records that are read in a second; 0: nothing does.
	Rate float64
	// Progress, if set, is told after every batch how many records were read.
	Progress func(read uint64)
}

// Counts are what a replay saw, by kind: records, and changes within them that
// the filter let through.
type Counts struct {
	Read    uint64 `json:"read"`    // records
	Matched uint64 `json:"matched"` // of them, what the filter let through
	Bytes   uint64 `json:"bytes"`   // of the matched
	// What the matched records say.
	Puts        uint64 `json:"puts"`
	Values      uint64 `json:"values"` // puts whose value rode inline
	Invalidates uint64 `json:"invalidates"`
	Soft        uint64 `json:"soft"` // invalidates that are soft
	Intents     uint64 `json:"intents"`
	Ends        uint64 `json:"ends"`
	Pulses      uint64 `json:"pulses"`
	Epochs      uint64 `json:"epochs"`
	Unreadable  uint64 `json:"unreadable"` // records that could not be decoded
}

// Run reads the ranges, one after the other, and hands what the options let
// through to the target, which may be nil to count only. sources holds one for
// each partition that a range names. An error of the target's comes back as it
// is.
func Run(ctx context.Context, sources []Source, ranges []Range, o Options, target Target) (Counts, error) {
	var c Counts
	pace := rate.NewLimiter(rate.Inf, 0)
	if o.Rate > 0 {
		pace = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate/10)))
	}
	for _, r := range ranges {
		if r.Len() == 0 {
			continue
		}
		w := walk{ctx: ctx, counts: &c, options: o, pace: pace, matcher: NewMatcher(o.Filter), partition: r.Partition, target: target}
		if err := sources[r.Partition].Read(ctx, r.First, r.Last, w.take); err != nil {
			return c, fmt.Errorf("replay partition %d from %d to %d: %w", r.Partition, r.First, r.Last, err)
		}
	}
	return c, nil
}

// walk is one range on its way.
type walk struct {
	ctx       context.Context
	counts    *Counts
	options   Options
	pace      *rate.Limiter
	matcher   *Matcher
	partition int
	target    Target
	items     []Item
}

func (w *walk) take(batch []events.Delivery) error {
	for len(batch) > 0 {
		n := len(batch)
		if w.pace.Limit() != rate.Inf {
			n = min(n, w.pace.Burst())
			if err := w.pace.WaitN(w.ctx, n); err != nil {
				return err
			}
		}
		if err := w.pass(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return w.ctx.Err()
}

func (w *walk) pass(batch []events.Delivery) error {
	clear(w.items)
	w.items = w.items[:0]
	for _, d := range batch {
		w.counts.Read++
		r, err := events.DecodeRecord(d.Data)
		if !w.matcher.Matches(r, err) || !w.options.Pulses && onlyPulses(r, err) {
			continue
		}
		w.counts.add(d, r, err)
		w.items = append(w.items, Item{Delivery: d, Record: r, Err: err})
	}
	if w.options.Progress != nil {
		w.options.Progress(w.counts.Read)
	}
	if w.target == nil || len(w.items) == 0 {
		return nil
	}
	return w.target.Take(w.ctx, w.partition, w.items)
}

func onlyPulses(r events.Record, err error) bool {
	for _, c := range r.Changes {
		if _, ok := c.(*events.Pulse); !ok {
			return false
		}
	}
	return err == nil
}

func (c *Counts) add(d events.Delivery, r events.Record, err error) {
	c.Matched++
	c.Bytes += uint64(len(d.Data))
	if err != nil {
		c.Unreadable++
		return
	}
	for _, x := range r.Changes {
		switch x := x.(type) {
		case *events.Put:
			c.Puts++
			if len(x.Entry) > 0 {
				c.Values++
			}
		case *events.Invalidate:
			c.Invalidates++
			if x.Soft {
				c.Soft++
			}
		case *events.Intent:
			c.Intents++
		case *events.End:
			c.Ends++
		case *events.Pulse:
			c.Pulses++
		case *events.EpochChange:
			c.Epochs++
		}
	}
}
