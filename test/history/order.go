package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Order is the truth about writes: where the log has each, by key and value.
// It speaks of one partition and one epoch.
type Order map[string]map[int64]events.Position

// Note records that the log has a write.
func (o Order) Note(key string, value int64, at events.Position) {
	if o[key] == nil {
		o[key] = map[int64]events.Position{}
	}
	if o[key][value] == 0 {
		o[key][value] = at
	}
}

// at returns where a value of key stands; 0 for what was there before.
func (o Order) at(key string, value int64) (events.Position, bool) {
	if value == 0 {
		return 0, true
	}
	p, ok := o[key][value]
	return p, ok
}

// newest returns the last write of key at or below p; 0: none.
func (o Order) newest(key string, p events.Position) (at events.Position) {
	for _, q := range o[key] {
		if q <= p {
			at = max(at, q)
		}
	}
	return at
}

// Sessions judges reads at level session: each sees the newest write of its key
// up to where its token stood, or a later one (read your writes), and nothing
// older than what the session saw of the key before (monotonic).
func Sessions(ops []Op, order Order) error {
	var errs []error
	saw := map[int]map[string]events.Position{}
	judged := 0
	for _, o := range byCall(ops) {
		if o.Kind != Read || o.Level != "session" || o.Outcome != Done {
			continue
		}
		judged++
		at, known := order.at(o.Key, o.Value)
		mine := saw[o.Client]
		if mine == nil {
			mine = map[string]events.Position{}
			saw[o.Client] = mine
		}
		switch want := order.newest(o.Key, o.Seen); {
		case !known:
			errs = append(errs, fmt.Errorf("session: a value that nobody wrote: %v", o))
		case at < want:
			errs = append(errs, fmt.Errorf("session: its token stood at %d, behind the write at %d; it read that at %d: %v", o.Seen, want, at, o))
		case at < mine[o.Key]:
			errs = append(errs, fmt.Errorf("session: it had seen the write at %d before it read that at %d: %v", mine[o.Key], at, o))
		}
		mine[o.Key] = max(mine[o.Key], at)
	}
	if judged == 0 {
		return errors.New("session: no read was answered")
	}
	return first(errs)
}

// Bounded judges reads at level bounded: each sees every write that had returned
// Bound before the read began, or a later one.
func Bounded(ops []Op, order Order) error {
	type write struct {
		done int64
		at   events.Position
	}
	writes := map[string][]write{}
	for _, o := range ops {
		if o.Kind != Write && o.Kind != Invalidate || o.Outcome != Done {
			continue
		}
		if at, ok := order.at(o.Key, o.Value); ok {
			writes[o.Key] = append(writes[o.Key], write{o.Return, at})
		}
	}
	var errs []error
	judged := 0
	for _, o := range ops {
		if o.Kind != Read || o.Level != "bounded" || o.Outcome != Done {
			continue
		}
		judged++
		at, known := order.at(o.Key, o.Value)
		if !known {
			errs = append(errs, fmt.Errorf("bounded: a value that nobody wrote: %v", o))
			continue
		}
		for _, w := range writes[o.Key] {
			if w.done < o.Call-int64(o.Bound) && at < w.at {
				errs = append(errs, fmt.Errorf("bounded: the write at %d had returned %v before it read that at %d: %v",
					w.at, time.Duration(o.Call-w.done), at, o))
				break
			}
		}
	}
	if judged == 0 {
		return errors.New("bounded: no read was answered")
	}
	return first(errs)
}

func byCall(ops []Op) []Op {
	return slices.SortedFunc(slices.Values(ops), func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
}

// first keeps a report short: the first few faults and how many there are.
func first(errs []error) error {
	const most = 5
	if len(errs) > most {
		errs = append(errs[:most:most], fmt.Errorf("and %d more", len(errs)-most))
	}
	return errors.Join(errs...)
}
