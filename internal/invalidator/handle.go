package invalidator

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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

// panicked turns a panic into poison: it is a defect of ours, and a message
// that kills its process kills the next one too.
func panicked(c *counters, cause any) error {
	c.panics.Add(1)
	return &poison{err: fmt.Errorf("panic: %v\n%s", cause, debug.Stack())}
}

// handle processes one message: nil once its fences landed, a *poison if they
// did and something about it can't be mended, any other error if it is to be
// tried again.
func (i *Invalidator) handle(m *message.Message) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked(&i.stats, cause)
		}
	}()
	ctx, d := m.Context(), deliveryOf(m)
	happened, err := domainevent.Decode(domainevent.Message{
		ID: m.UUID, Channel: d.subject, Headers: m.Metadata, Body: m.Payload,
	}, i.config.Decode)
	faults := []error{err}
	unreadable := err != nil
	var p plan
	active := i.rules.Load()
	again, released := askedAgain(m)
	fresh := make([]identity, 0, len(happened))
	var traced spans
	defer func() { traced.end(err) }()
	for n, e := range happened {
		id, known := active.recent.identify(m, n, e)
		if known && !again {
			i.stats.duplicates.Add(1)
			continue
		}
		out, err := active.set.Evaluate(e)
		traced.begin(ctx, i.tracer, d, e, out)
		p.verdicts = append(p.verdicts, verdict{out.Rules, err})
		if err == nil {
			fresh = append(fresh, id)
		}
		faults = append(faults, err)
		fences, err := i.sift(ctx, active, out.Fences, released, &p)
		faults = append(faults, err)
		p.add(fences)
	}
	// Fences first: an error about one rule must not hold back what the
	// others say, and a dead letter without its fence is a lost invalidation.
	if err := i.perform(ctx, m, d, &p); err != nil && !mutant.On(mutant.EventAckedUnfenced) {
		faults = append(faults, err)
	}
	if err := unfinished(faults); err != nil {
		for _, paid := range p.paid { // it will be paid for again
			i.limits.refund(paid.rule, paid.of)
		}
		return err
	}
	// Counted once the fences landed, so that a retry counts nothing twice.
	if unreadable {
		i.stats.undecodable.Add(1)
	}
	lag := max(0, time.Since(d.time)) // the stream's clock may be ahead
	for _, v := range p.verdicts {
		active.count(&i.stats, v, lag)
	}
	if err := errors.Join(besides(faults, p.held)...); err != nil {
		letter := &poison{err: err}
		if len(happened) > 0 {
			letter.event = happened[0]
		}
		return letter
	}
	if len(p.held) == 0 {
		active.recent.remember(fresh)
	}
	return nil
}

// unfinished returns those faults after which the message is to be tried again.
// What is wrong with the message itself, or refused by the log for good, is not
// among them.
func unfinished(faults []error) error {
	var some []error
	for _, err := range faults {
		var decode *domainevent.DecodeError
		if err == nil || errors.As(err, &decode) || len(evalErrors(err)) > 0 {
			continue
		}
		some = append(some, err)
	}
	return mendable(some)
}

// besides returns the faults without those of rules for which the message was
// parked: they come again when the rule is released, with what it fences then.
func besides(faults []error, held []string) []error {
	if len(held) == 0 {
		return faults
	}
	var others []error
	for _, err := range faults {
		of := evalErrors(err)
		if len(of) == 0 {
			others = append(others, err)
		}
		for _, fault := range of {
			if !slices.Contains(held, fault.Rule) {
				others = append(others, fault)
			}
		}
	}
	return others
}

// perform lands the plan's fences, parks the message for the rules that are
// held, and waits for what is to settle.
func (i *Invalidator) perform(ctx context.Context, m *message.Message, d delivery, p *plan) error {
	if p.waits() {
		defer i.stepAside(d)()
	}
	faults := []error{i.landAll(ctx, p.groups), i.parkFor(ctx, m, p.held)}
	if err := mendable(faults); err != nil {
		return err
	}
	i.requestWarm(ctx, p)
	faults = append(faults, i.settle(ctx, p.groups))
	if err := mendable(faults); err != nil {
		return err
	}
	return errors.Join(faults...)
}

func (i *Invalidator) requestWarm(ctx context.Context, p *plan) {
	if i.deps.Warmer == nil {
		return
	}
	for _, f := range p.warm {
		if err := i.deps.Warmer.Warm(ctx, f.Domain, f.Invalidate.Scope); err != nil {
			i.stats.warmFailures.Add(1)
		}
	}
}

// sift takes out what limited rules may not clear now: it is held, or the
// rule's reach stands in its place. On an error everything that is sure is
// returned.
func (i *Invalidator) sift(ctx context.Context, active *activeRules, fences []rules.Fence, released []string, p *plan) ([]rules.Fence, error) {
	limited := func(f rules.Fence) bool { return f.Rule != "" && !slices.Contains(released, f.Rule) }
	if !slices.ContainsFunc(fences, limited) {
		return fences, nil
	}
	demands := map[string]demand{}
	var names []string
	for _, f := range fences {
		if !limited(f) {
			continue
		}
		d, known := demands[f.Rule]
		if !known {
			names = append(names, f.Rule)
		}
		d.add(&f.Invalidate.Scope)
		demands[f.Rule] = d
	}
	verdicts := map[string]verdictOn{}
	var faults []error
	for _, name := range names {
		v, err := i.limits.admit(ctx, active.limited[name], demands[name])
		if err != nil {
			faults = append(faults, err)
			v = park // left out; the message comes again
		}
		verdicts[name] = v
		switch {
		case err != nil:
		case v == land:
			p.paid = append(p.paid, payment{name, demands[name]})
		case v == coarsen:
			i.stats.coarsened.Add(1)
		case !slices.Contains(p.held, name):
			p.held = append(p.held, name)
		}
	}
	sure := make([]rules.Fence, 0, len(fences))
	coarse := map[string]bool{} // by rule and domain
	for _, f := range fences {
		switch v := verdicts[f.Rule]; {
		case !limited(f) || v == land:
			sure = append(sure, f)
		case v == coarsen && !coarse[f.Rule+"\x00"+f.Domain]:
			coarse[f.Rule+"\x00"+f.Domain] = true
			whole := *f.Invalidate
			whole.Scope = active.limited[f.Rule].Reach
			f.Invalidate, f.Warm = &whole, false
			sure = append(sure, f)
		}
	}
	return sure, errors.Join(faults...)
}

// parkFor stores a copy of the message for each of the rules.
func (i *Invalidator) parkFor(ctx context.Context, m *message.Message, held []string) error {
	for _, rule := range held {
		copy := putAside(m, "parked-"+token(rule), "rule "+rule+" is parked, or this event is beyond its limit")
		setHeader(copy, HeaderRule, rule)
		copy.Header.Set(HeaderReached, "false")
		if mutant.On(mutant.ParkedEventDropped) {
			continue
		}
		if err := i.parking.keep(ctx, rule, copy); err != nil {
			return err
		}
		i.stats.parked.Add(1)
	}
	return nil
}

// HeaderAgain marks an event that was put aside and is sent through the rules
// again on somebody's order: it holds the names of rules that were released for
// it, percent-encoded and separated by commas; "-" if there are none.
const HeaderAgain = "Tercet-Again"

// askedAgain reports whether somebody sent the message through the rules again,
// and which rules' limits do not hold for it.
func askedAgain(m *message.Message) (again bool, released []string) {
	text := m.Metadata[HeaderAgain]
	if text == "" {
		return false, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if name, err := url.PathUnescape(part); err == nil {
			released = append(released, name)
		}
	}
	return true, released
}
