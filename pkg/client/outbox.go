package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/outbox"
)

var (
	// ErrOutboxFull: so much waits for delivery already that nothing more is
	// accepted. What was refused has not happened.
	ErrOutboxFull = outbox.ErrFull
	// ErrQueued: the invalidation is not in the log yet; the outbox keeps it and
	// delivers it as soon as that is possible.
	ErrQueued = errors.New("not in the log yet; the outbox delivers it")
)

// OutboxStats are the numbers of this process's outbox.
type OutboxStats = outbox.Stats

// OutboxStats returns what waits in the outbox and what became of the rest; ok
// is false without an outbox.
func (c *Client) OutboxStats() (s OutboxStats, ok bool) {
	if c.outbox.box == nil {
		return s, false
	}
	return c.outbox.box.Stats(), true
}

// relaying is this process's outbox and what empties it.
type relaying struct {
	box  *outbox.Outbox // nil: there is none
	stop context.CancelFunc
	all  sync.WaitGroup
}

// What the outbox holds, by kind: the numbers are on disks and never reused.
const (
	keptEvent        = 1 // a CloudEvent, structured JSON
	keptInvalidation = 2 // a record of the log
)

// attempt is how long one delivery from the outbox may take.
const attempt = 10 * time.Second

func (c *Client) buildOutbox() (err error) {
	if c.cfg.Outbox == "" {
		return nil
	}
	c.outbox.box, err = outbox.Open(outbox.Config{
		Dir: c.cfg.Outbox, MaxBytes: c.cfg.OutboxBytes, Logger: c.cfg.Logger.With("domain", c.cfg.Domain),
	})
	return err
}

func (r *relaying) start(c *Client) {
	if r.box == nil {
		return
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.all.Go(func() {
		if err := r.box.Run(ctx, c.deliver); err != nil {
			c.cfg.Logger.Error("the outbox delivers nothing more in this process", "domain", c.cfg.Domain, "error", err)
		}
	})
}

// halt ends the relay and waits for it.
func (r *relaying) halt() {
	if r.stop != nil {
		r.stop()
		r.all.Wait()
	}
}

func (r *relaying) keepEvent(body []byte) error {
	if err := r.box.Append(outbox.Item{Kind: keptEvent, Body: body}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// lasting puts invalidations into the outbox, if there is one, before write
// puts them into the log.
func (r *relaying) lasting(invs []events.Invalidate, write func() (Token, error)) (Token, error) {
	if r.box == nil {
		return write()
	}
	changes := make([]events.Change, len(invs))
	for i := range invs {
		changes[i] = &invs[i]
	}
	body, err := events.AppendRecord(nil, events.Record{Changes: changes})
	if err != nil {
		return Token{}, err
	}
	held, err := r.box.Hold(outbox.Item{Kind: keptInvalidation, Body: body})
	if err != nil {
		return Token{}, fmt.Errorf("invalidate: %w", err)
	}
	token, err := write()
	switch {
	// The write returns nil once the record is applied here and the witness
	// covers it: nothing that may still be lost.
	case err == nil, refused(err):
		held.Delivered()
		return token, err
	}
	held.Leave()
	return token, fmt.Errorf("%w: %w", ErrQueued, err)
}

// refused reports an error that no repetition mends.
func refused(err error) bool {
	return errors.Is(err, events.ErrInvalid) || errors.Is(err, events.ErrTooLarge) || errors.Is(err, nats.ErrMaxPayload)
}

// deliver hands over what the outbox holds.
func (c *Client) deliver(ctx context.Context, item outbox.Item) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	var err error
	switch item.Kind {
	case keptEvent:
		err = c.deliverEvent(ctx, item.Body)
	case keptInvalidation:
		err = c.deliverInvalidation(ctx, item.Body)
	default:
		err = fmt.Errorf("%w: an item of kind %d, which this build does not know", events.ErrInvalid, item.Kind)
	}
	if err != nil && refused(err) {
		return fmt.Errorf("%w: %w", outbox.ErrRefused, err)
	}
	return err
}

func (c *Client) deliverEvent(ctx context.Context, body []byte) error {
	var e struct{ Type, Source, ID string }
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("%w: %w", events.ErrInvalid, err)
	}
	subject, err := eventSubject(e.Type)
	if err != nil {
		return err
	}
	return c.publishEvent(ctx, subject, e.Source, e.ID, body)
}

func (c *Client) deliverInvalidation(ctx context.Context, body []byte) error {
	record, err := events.DecodeRecord(body)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrInvalid, err)
	}
	var invs []events.Invalidate
	for _, change := range record.Changes {
		inv, ok := change.(*events.Invalidate)
		if !ok {
			return fmt.Errorf("%w: %T in the outbox", events.ErrInvalid, change)
		}
		invs = append(invs, *inv)
	}
	_, err = c.node.InvalidateMany(ctx, invs, node.InvalidateOptions{})
	return err
}
