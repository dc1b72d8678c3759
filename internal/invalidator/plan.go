package invalidator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// plan gathers the fences of a message, so that what dies together is handed
// over together.
type plan struct {
	groups   []*group
	warm     []rules.Fence
	verdicts []verdict
	// held are the rules for which the message is to be parked, each once.
	held []string
	paid []payment
}

// group are fences that land in one domain in one way.
type group struct {
	domain     string
	coalesce   time.Duration
	everywhere bool
	fences     []*events.Invalidate
	// settle holds the fences that follow once more, by when.
	settle map[time.Duration][]*events.Invalidate
}

// verdict is what the rules said of one event.
type verdict struct {
	rules []string // that matched
	err   error
}

// payment is what was paid of a rule's budget.
type payment struct {
	rule string
	of   demand
}

func (p *plan) add(fences []rules.Fence) {
	for _, f := range fences {
		g := p.group(f)
		g.fences = append(g.fences, f.Invalidate)
		if f.Settle > 0 {
			if g.settle == nil {
				g.settle = map[time.Duration][]*events.Invalidate{}
			}
			g.settle[f.Settle] = append(g.settle[f.Settle], f.Invalidate)
		}
		if f.Warm {
			p.warm = append(p.warm, f)
		}
	}
}

func (p *plan) group(f rules.Fence) *group {
	for _, g := range p.groups {
		if g.domain == f.Domain && g.coalesce == f.Coalesce && g.everywhere == f.Everywhere {
			return g
		}
	}
	g := &group{domain: f.Domain, coalesce: f.Coalesce, everywhere: f.Everywhere}
	p.groups = append(p.groups, g)
	return g
}

// waits reports whether landing the plan is mostly waiting.
func (p *plan) waits() bool {
	return slices.ContainsFunc(p.groups, func(g *group) bool { return g.coalesce > 0 || len(g.settle) > 0 })
}

// land lands all groups. One that fails does not keep the others from theirs.
func (i *Invalidator) landAll(ctx context.Context, groups []*group) error {
	if len(groups) == 1 {
		return i.landGroup(ctx, groups[0])
	}
	results := make(chan error, len(groups))
	for _, g := range groups {
		go func() { results <- i.landGroup(ctx, g) }()
	}
	var faults []error
	for range groups {
		if err := <-results; err != nil {
			faults = append(faults, err)
		}
	}
	if err := mendable(faults); err != nil {
		return err
	}
	return errors.Join(faults...)
}

func (i *Invalidator) landGroup(ctx context.Context, g *group) (err error) {
	defer func() {
		if cause := recover(); cause != nil { // in whichever goroutine: as in handle
			err = panicked(&i.stats, cause)
		}
	}()
	if g.coalesce > 0 {
		err = i.windows.land(ctx, g)
	} else {
		err = i.land(ctx, g, g.fences)
	}
	if err != nil {
		i.stats.failures.Add(1)
		return fmt.Errorf("fence domain %q: %w", g.domain, err)
	}
	i.stats.fences.Add(uint64(len(g.fences)))
	return nil
}

// land puts fences into a domain's log, together if one record holds them. What
// a large batch of events means may not fit; then it goes in halves.
func (i *Invalidator) land(ctx context.Context, g *group, fences []*events.Invalidate) error {
	fencer := i.deps.Fencer
	if g.everywhere {
		if fencer = i.deps.Everywhere; fencer == nil {
			return errNoEverywhere
		}
	}
	err := fencer.Fence(ctx, g.domain, fences...)
	if len(fences) < 2 || !errors.Is(err, events.ErrTooLarge) {
		return err
	}
	half := len(fences) / 2
	faults := []error{i.land(ctx, g, fences[:half]), i.land(ctx, g, fences[half:])}
	if err := mendable(faults); err != nil {
		return err
	}
	return errors.Join(faults...)
}

var errNoEverywhere = errors.New("a rule asks for `everywhere`, and there is nobody to confirm it")

// mendable returns the faults that a retry may mend, without the others: one
// domain's refusal must not make a dead letter while another's log is away.
func mendable(faults []error) error {
	var some []error
	for _, err := range faults {
		if err != nil && !isPoison(err) && !errors.Is(err, events.ErrInvalid) && !errors.Is(err, events.ErrTooLarge) {
			some = append(some, err)
		}
	}
	return errors.Join(some...)
}
