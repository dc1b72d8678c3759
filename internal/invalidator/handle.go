package invalidator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
	"github.com/raptorflow/tercet/internal/mutant"
)

// poison is why a message becomes a dead letter: no retry would mend it. Its
// fences have landed.
type poison struct {
	// event is the first event of the message, if one could be read.
	event *domainevent.Event
	err   error
}

func (p *poison) Error() string { return p.err.Error() }
func (p *poison) Unwrap() error { return p.err }

func isPoison(err error) bool {
	var p *poison
	return errors.As(err, &p)
}

// handle processes one message: nil once its fences landed, a *poison if they
// did and something about it can't be mended, any other error if it is to be
// tried again.
func (i *Invalidator) handle(m *message.Message) (err error) {
	defer func() {
		// A panic is a defect of ours, and a message that kills its process
		// kills the next one too.
		if cause := recover(); cause != nil {
			i.stats.panics.Add(1)
			err = &poison{err: fmt.Errorf("panic: %v\n%s", cause, debug.Stack())}
		}
	}()
	d := deliveryOf(m)
	happened, err := domainevent.Decode(domainevent.Message{
		ID: m.UUID, Channel: d.subject, Headers: m.Metadata, Body: m.Payload,
	}, i.config.Decode)
	faults := []error{err}
	unreadable := err != nil
	var p plan
	active := i.rules.Load()
	for _, e := range happened {
		out, err := active.set.Evaluate(e)
		faults = append(faults, err)
		p.add(out, err)
	}
	// Fences first: an error about one rule must not hold back what the
	// others say, and a dead letter without its fence is a lost invalidation.
	if err := i.fence(m, p); err != nil && !mutant.On(mutant.EventAckedUnfenced) {
		if !errors.Is(err, events.ErrInvalid) && !errors.Is(err, events.ErrTooLarge) {
			return err
		}
		faults = append(faults, err)
	}
	// Counted once the fences landed, so that a retry counts nothing twice.
	if unreadable {
		i.stats.undecodable.Add(1)
	}
	for _, v := range p.verdicts {
		active.count(&i.stats, v)
	}
	if err := errors.Join(faults...); err != nil {
		letter := &poison{err: err}
		if len(happened) > 0 {
			letter.event = happened[0]
		}
		return letter
	}
	return nil
}

// plan gathers the fences of a message by domain, so that what dies together
// is handed over together.
type plan struct {
	domains  []string
	fences   map[string][]*events.Invalidate
	warm     []rules.Fence
	verdicts []verdict
}

// verdict is what the rules said of one event.
type verdict struct {
	rules []string // that matched
	err   error
}

func (p *plan) add(out rules.Outcome, err error) {
	p.verdicts = append(p.verdicts, verdict{out.Rules, err})
	for _, f := range out.Fences {
		if p.fences == nil {
			p.fences = make(map[string][]*events.Invalidate, 1)
		}
		if _, known := p.fences[f.Domain]; !known {
			p.domains = append(p.domains, f.Domain)
		}
		p.fences[f.Domain] = append(p.fences[f.Domain], f.Invalidate)
		if f.Warm {
			p.warm = append(p.warm, f)
		}
	}
}

// fence lands the plan in all its domains. A domain that fails does not keep
// the others from their fences.
func (i *Invalidator) fence(m *message.Message, p plan) error {
	var faults []error
	for _, domain := range p.domains {
		fences := p.fences[domain]
		if err := i.land(m.Context(), domain, fences); err != nil {
			i.stats.failures.Add(1)
			faults = append(faults, fmt.Errorf("fence domain %q: %w", domain, err))
			continue
		}
		i.stats.fences.Add(uint64(len(fences)))
	}
	if err := mendable(faults); err != nil {
		return err
	}
	if i.deps.Warmer != nil {
		for _, f := range p.warm {
			if err := i.deps.Warmer.Warm(m.Context(), f.Domain, f.Invalidate.Scope); err != nil {
				i.stats.warmFailures.Add(1)
			}
		}
	}
	return errors.Join(faults...)
}

// land puts fences into a domain's log, together if one record holds them. What
// a large batch of events means may not fit; then it goes in halves.
func (i *Invalidator) land(ctx context.Context, domain string, fences []*events.Invalidate) error {
	err := i.deps.Fencer.Fence(ctx, domain, fences...)
	if len(fences) < 2 || !errors.Is(err, events.ErrTooLarge) {
		return err
	}
	half := len(fences) / 2
	faults := []error{i.land(ctx, domain, fences[:half]), i.land(ctx, domain, fences[half:])}
	if err := mendable(faults); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// mendable returns the faults that a retry may mend, without the others: one
// domain's refusal must not make a dead letter while another's log is away.
func mendable(faults []error) error {
	var some []error
	for _, err := range faults {
		if err != nil && !errors.Is(err, events.ErrInvalid) && !errors.Is(err, events.ErrTooLarge) {
			some = append(some, err)
		}
	}
	return errors.Join(some...)
}
