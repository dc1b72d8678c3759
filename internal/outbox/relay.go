package outbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/mutant"
)

// round is how many messages are looked up at a time.
const round = 256

// Run delivers messages in their order until ctx ends; then it returns nil. It
// returns an error only if the disk fails. One Run at a time.
func (o *Outbox) Run(ctx context.Context, deliver Deliver) error {
	for {
		numbers := o.due()
		for _, n := range numbers {
			item, err := o.read(n)
			if err != nil {
				return fmt.Errorf("outbox: %w", err)
			}
			if !o.deliver(ctx, n, item, deliver) {
				return nil
			}
		}
		if len(numbers) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.life.dead:
			return fmt.Errorf("outbox: %w", o.life.why)
		case <-o.wake:
		}
	}
}

// due returns the first messages that are the relay's, in order.
func (o *Outbox) due() []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var numbers []uint64
	for n, w := range o.waiting {
		if !w.held {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers[:min(len(numbers), round)]
}

func (o *Outbox) read(n uint64) (Item, error) {
	var item Item
	err := o.life.guarded(func() error {
		value, closer, err := o.db.Get(key(queued, n))
		if err != nil {
			return err
		}
		defer closer.Close()
		item = Item{Kind: value[0], Body: slices.Clone(value[head:])}
		return nil
	})
	return item, err
}

// deliver tries until the message is delivered or refused; false means that ctx
// ended.
func (o *Outbox) deliver(ctx context.Context, n uint64, item Item, deliver Deliver) bool {
	for wait := o.cfg.MinBackoff; ; wait = min(2*wait, o.cfg.MaxBackoff) {
		if mutant.On(mutant.OutboxForgetsEarly) {
			o.remove(n)
		}
		err := deliver(ctx, item)
		switch {
		case err == nil:
			o.remove(n)
			return true
		case errors.Is(err, ErrRefused):
			return o.setAside(n, item, err)
		case ctx.Err() != nil:
			return false
		}
		o.failures.Add(1)
		o.cfg.Logger.Warn("a message of the outbox can't be delivered at the moment", "waiting", o.Stats().Waiting, "again in", wait, "error", err)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// setAside moves a message out of the way of those behind it, and keeps it.
func (o *Outbox) setAside(n uint64, item Item, why error) bool {
	o.cfg.Logger.Error("a message of the outbox was refused for good, and is set aside", "number", n, "error", why)
	value := append([]byte{item.Kind}, binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))...)
	value = append(value, item.Body...)
	err := o.life.guarded(func() error {
		b := o.db.NewBatch()
		defer b.Close()
		if err := b.Set(key(aside, n), value, nil); err != nil {
			return err
		}
		if err := b.Delete(key(queued, n), nil); err != nil {
			return err
		}
		return b.Commit(pebble.Sync)
	})
	if err != nil {
		return false // Run finds the disk dead
	}
	o.refused.Add(1)
	o.forget(n)
	return true
}
