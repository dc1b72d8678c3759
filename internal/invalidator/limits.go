package invalidator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/mutant"
)

// demand is what fences would clear: named copies, and what covers any number
// of them.
type demand struct{ names, broad int }

func (d *demand) add(s *events.Scope) {
	d.names += len(s.Keys) + len(s.Tags)
	d.broad += len(s.Prefixes) + len(s.Globs)
	if s.All {
		d.broad++
	}
}

// limiter holds rules to what they may clear in a minute. All invalidators of a
// fleet spend one budget: each draws a share of it and spends that without
// asking. So a rule never clears more than its limit in a minute, and one that
// is shared by n processes may be parked when all but n-1 shares are spent.
type limiter struct {
	parking *parking
	now     func() time.Time

	mu     sync.Mutex
	purses map[string]*purse // by rule
}

// shares is into how many a minute's budget is cut.
const shares = 16

// purse is what this process may still spend of a minute's budget.
type purse struct {
	mu     sync.Mutex
	minute int64
	left   demand
	// drawing is held by who draws a share, so that the others wait for it
	// and do not race it.
	drawing chan struct{}
}

func newLimiter(p *parking, now func() time.Time) *limiter {
	return &limiter{parking: p, now: now, purses: map[string]*purse{}}
}

// verdictOn says what becomes of a limited rule's fences.
type verdictOn int

const (
	land    verdictOn = iota
	park              // keep the event until the rule is released
	coarsen           // fence the rule's reach
)

// admit decides about what a rule wants to clear for one event, and pays for it.
func (l *limiter) admit(ctx context.Context, r rules.Rule, d demand) (verdictOn, error) {
	beyond := park
	if r.Limit.Coarse {
		beyond = coarsen
	}
	if most := r.Limit.NamesPerEvent; most > 0 && d.names+d.broad > most {
		return beyond, nil
	}
	parked, err := l.parking.parked(ctx, r.Name)
	if err != nil {
		return land, err
	}
	if parked && beyond == park && !mutant.On(mutant.ParkedRuleLands) {
		return park, nil
	}
	paid, err := l.pay(ctx, r, d)
	if err != nil || paid {
		return land, err
	}
	if beyond == park {
		why := fmt.Sprintf("one event more would clear %d names and %d broad ones; the limit for a minute is %s", d.names, d.broad, limitText(r.Limit))
		if err := l.parking.setParked(ctx, r.Name, why); err != nil {
			return land, err
		}
	}
	return beyond, nil
}

func limitText(l rules.Limit) string {
	switch {
	case l.Broad == 0:
		return fmt.Sprintf("%d names", l.Names)
	case l.Names == 0:
		return fmt.Sprintf("%d broad ones", l.Broad)
	}
	return fmt.Sprintf("%d names and %d broad ones", l.Names, l.Broad)
}

func (l *limiter) purse(rule string) *purse {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.purses[rule]
	if p == nil {
		p = &purse{drawing: make(chan struct{}, 1)}
		l.purses[rule] = p
	}
	return p
}

// pay takes d from the purse, which is filled from the shared budget as long
// as that has something left.
func (l *limiter) pay(ctx context.Context, r rules.Rule, d demand) (bool, error) {
	// What is not limited costs nothing.
	if r.Limit.Names == 0 {
		d.names = 0
	}
	if r.Limit.Broad == 0 {
		d.broad = 0
	}
	if d == (demand{}) {
		return true, nil
	}
	p := l.purse(r.Name)
	if p.spend(l.minute(), d) {
		return true, nil
	}
	select {
	case p.drawing <- struct{}{}:
		defer func() { <-p.drawing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if p.spend(l.minute(), d) { // somebody has drawn meanwhile
		return true, nil
	}
	minute := l.minute()
	drawn, err := l.parking.draw(ctx, r, minute, p.missing(minute, d))
	if errors.Is(err, errSpent) {
		return mutant.On(mutant.LimitNotShared), nil
	}
	if err != nil {
		return false, err
	}
	p.fill(minute, drawn)
	return p.spend(minute, d), nil
}

// refund gives back what was paid for fences that did not land and come again.
func (l *limiter) refund(rule string, d demand) {
	p := l.purse(rule)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.minute == l.minute() {
		p.left.names += d.names
		p.left.broad += d.broad
	}
}

func (l *limiter) minute() int64 { return l.now().Unix() / 60 }

func (p *purse) spend(minute int64, d demand) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.minute != minute || p.left.names < d.names || p.left.broad < d.broad {
		return false
	}
	p.left.names -= d.names
	p.left.broad -= d.broad
	return true
}

// missing returns what the purse lacks to pay d.
func (p *purse) missing(minute int64, d demand) demand {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.minute != minute {
		return d
	}
	return demand{max(d.names-p.left.names, 0), max(d.broad-p.left.broad, 0)}
}

func (p *purse) fill(minute int64, d demand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.minute != minute {
		p.minute, p.left = minute, demand{}
	}
	p.left.names += d.names
	p.left.broad += d.broad
}

// share returns how much to draw of a budget of limit, of which spent is gone:
// a share, or what is missing if that is more; false if that is not there.
func share(limit, spent, missing int) (int, bool) {
	if limit == 0 || missing == 0 {
		return 0, true
	}
	left := limit - spent
	if left < missing {
		return 0, false
	}
	return min(left, max(missing, (limit+shares-1)/shares)), true
}
