package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/intake"
)

const (
	// inFlight is how many events wait for their acknowledgement at a time.
	inFlight = 512
	// shownProblems is how many problems are shown one by one.
	shownProblems = 10
	// hopeless is how many events in a row may remain unacknowledged before the
	// rest is left alone.
	hopeless = 2 * inFlight
)

// errHopeless reports a stream that takes nothing any more.
var errHopeless = fmt.Errorf("%d events in a row were not acknowledged", hopeless)

// publisher sends events and gathers their acknowledgements, in order.
type publisher struct {
	store    *link.EventStore
	decode   domainevent.Options
	subject  string        // of all events; empty: of each its type's
	limit    *rate.Limiter // nil: none
	progress io.Writer

	result   published
	problems int
	row      int       // failures since the last success
	last     error     // the last failure, as the cause of a partial one
	waiting  []pending // oldest first, at most inFlight
	shown    time.Time
	before   int // stored when progress was last shown
}

// pending is an event that was sent, or with no future one that was refused.
type pending struct {
	at     int // line or number
	input  int // how many inputs there were, this one included
	future jetstream.PubAckFuture
}

// all publishes what is left of f after the first skip of its events.
func (p *publisher) all(ctx context.Context, f *eventFile, skip int) (published, error) {
	p.shown = time.Now()
	var ended error
	for n := 1; ctx.Err() == nil && p.row < hopeless; n++ {
		body, err := f.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errUnreadable) {
			ended = fmt.Errorf("%s %d: %w", f.unit, f.at, err)
			break
		}
		if n <= skip {
			continue
		}
		p.result.Read++
		p.one(ctx, f, n, body, err)
		p.report(f)
	}
	for len(p.waiting) > 0 {
		p.settle(ctx, f)
		p.report(f)
	}
	p.result.Resume = max(p.result.Resume, skip)
	return p.result, p.verdict(ctx, ended)
}

// one publishes the events of one line.
func (p *publisher) one(ctx context.Context, f *eventFile, n int, body []byte, err error) {
	var letters []intake.Letter
	if err == nil {
		letters, err = intake.Open(domainevent.Message{Body: body}, p.subject, p.decode)
	}
	if err == nil && len(letters) == 0 {
		err = errNoEvent
	}
	if err != nil {
		p.result.Refused++
		p.problem(f, f.at, err)
		p.wait(ctx, f, pending{f.at, n, nil})
		return
	}
	for _, l := range letters {
		if p.limit != nil && p.limit.Wait(ctx) != nil {
			return // ctx ended
		}
		future, err := p.store.Send(l)
		switch {
		case errors.Is(err, intake.ErrTooLarge):
			p.result.Refused++
			p.problem(f, f.at, err)
			p.wait(ctx, f, pending{f.at, n, nil})
		case err != nil:
			p.fail(f, f.at, err)
		default:
			p.wait(ctx, f, pending{f.at, n, future})
		}
	}
}

var errNoEvent = errors.New("an empty batch")

// wait puts an event behind those that wait, and makes room first.
func (p *publisher) wait(ctx context.Context, f *eventFile, e pending) {
	if len(p.waiting) == inFlight {
		p.settle(ctx, f)
	}
	p.waiting = append(p.waiting, e)
}

// settle waits for the oldest acknowledgement.
func (p *publisher) settle(ctx context.Context, f *eventFile) {
	oldest := p.waiting[0]
	p.waiting = p.waiting[1:]
	if oldest.future == nil {
		p.done(oldest)
		return
	}
	select {
	case ack := <-oldest.future.Ok():
		p.result.Stored++
		p.row = 0
		if ack.Duplicate {
			p.result.Repeated++
		}
		p.done(oldest)
	case err := <-oldest.future.Err():
		p.fail(f, oldest.at, err)
	case <-ctx.Done():
		p.result.Failed++
	}
}

// done moves the place to resume at, until the first event that failed.
func (p *publisher) done(e pending) {
	if p.result.Failed == 0 {
		// Of a line that makes several events, the last one counts.
		if len(p.waiting) == 0 || p.waiting[0].input > e.input {
			p.result.Resume = e.input
		}
	}
}

func (p *publisher) fail(f *eventFile, at int, err error) {
	p.result.Failed++
	p.row++
	p.last = err
	p.problem(f, at, err)
}

func (p *publisher) problem(f *eventFile, at int, err error) {
	p.problems++
	switch {
	case p.problems <= shownProblems:
		fmt.Fprintf(p.progress, "%s %d: %v\n", f.unit, at, err)
	case p.problems == shownProblems+1:
		fmt.Fprintln(p.progress, "further problems are only counted")
	}
}

// report tells of the progress once a second.
func (p *publisher) report(f *eventFile) {
	passed := time.Since(p.shown)
	if passed < time.Second {
		return
	}
	line := fmt.Sprintf("%d read, %d stored, %.0f/s", p.result.Read, p.result.Stored, float64(p.result.Stored-p.before)/passed.Seconds())
	if share := f.share(); share > 0 {
		line += fmt.Sprintf(", %.0f%%", math.Floor(100*share))
	}
	fmt.Fprintln(p.progress, line)
	p.shown, p.before = time.Now(), p.result.Stored
}

// verdict is what went wrong in all.
func (p *publisher) verdict(ctx context.Context, ended error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var errs []error
	if p.row >= hopeless {
		errs = append(errs, errHopeless)
	}
	if p.result.Refused+p.result.Failed > 0 {
		err := fmt.Errorf("%w: %d refused, %d not acknowledged", errPartly, p.result.Refused, p.result.Failed)
		if p.last != nil {
			err = fmt.Errorf("%w, the last because: %w", err, p.last)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, ended)...)
}
