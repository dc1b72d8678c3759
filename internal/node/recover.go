package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// follow keeps the partition on its log until ctx is done.
func (p *partition) follow(ctx context.Context) error {
	var pause time.Duration
	for {
		p.mu.RLock()
		from := p.world.Mark()
		p.mu.RUnlock()
		following, abort := context.WithCancelCause(ctx)
		p.aborts.set(abort)
		err := p.log.Follow(following, from, p.sink)
		if following.Err() != nil && ctx.Err() == nil {
			err = context.Cause(following)
		}
		abort(nil)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, events.ErrGap):
			p.n.stats.gaps.Add(1)
			p.n.logger.Warn("log was trimmed past this node; it drops its copies and joins again", "partition", p.index, "error", err)
			p.restart()
		case errors.Is(err, events.ErrHistoryChanged):
			p.n.stats.regressions.Add(1)
			p.n.logger.Warn("history of the log changed; the node drops its copies and opens a new epoch", "partition", p.index, "error", err)
			var proof *contradiction
			if errors.As(err, &proof) {
				p.restart(proof.epoch)
			} else {
				p.restart()
			}
			if err := p.announceEpoch(ctx, err.Error()); err != nil {
				return err
			}
		default:
			return fmt.Errorf("follow partition %d: %w", p.index, err)
		}
		// A history that changes again and again is no reason to spin.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(pause*2+10*time.Millisecond, 5*time.Second)
	}
}

// aborts lets other goroutines end the following of the log with a cause.
type aborts struct {
	mu sync.Mutex
	f  context.CancelCauseFunc
}

func (a *aborts) set(f context.CancelCauseFunc) {
	a.mu.Lock()
	a.f = f
	a.mu.Unlock()
}

// abort ends the following of the log because of err; the follow loop takes it
// from there.
func (p *partition) abort(err error) {
	p.aborts.mu.Lock()
	defer p.aborts.mu.Unlock()
	if p.aborts.f != nil {
		p.aborts.f(err)
	}
}

// restart forgets everything that was learnt from the log and every copy. The
// epochs that it knew, and as later ones those of the arguments, it remembers.
func (p *partition) restart(later ...events.Epoch) {
	// First nothing is served, then nothing is there to be served. Reads that
	// noted the old lease find it gone when they look again.
	p.fresh.Store(never)
	p.pulses.forget()
	p.own.forget()
	p.mu.Lock()
	p.fresh.Store(never) // again: a pulse may have been confirmed in between
	p.world = coherence.Successor(p.world, later...)
	p.testified.forget()
	p.doubting.Store(0)
	p.mirror()
	p.applied.Store(0)
	p.guardSince.Store(0)
	p.ages = nil
	p.strangersUntil.Store(p.n.clock.Waiter() + int64(p.n.cfg.Settings.LeaseWait()))
	p.n.memory.Reset(p.index)
	if p.batch != nil {
		p.batch.DropValues()
		p.meta = p.world.AppendState(p.meta[:0])
		p.batch.SetMeta(metaState, p.meta)
	}
	p.mu.Unlock()
	if p.batch != nil {
		if err := p.batch.Commit(); err != nil {
			p.loseDisk(err)
			p.batch = nil
		}
	}
	p.waiters.wake()
}

// announceEpoch publishes an EpochChange and returns once it has landed: the
// pulses that prove freshness again then stand behind it.
func (p *partition) announceEpoch(ctx context.Context, why string) error {
	if mutant.On(mutant.NoEpochAnnounced) {
		return nil
	}
	id, err := events.NewEpoch(p.n.deps.Random)
	if err != nil {
		return err
	}
	if len(why) > events.MaxWhy/2 {
		why = why[:events.MaxWhy/2]
	}
	c := &events.EpochChange{Epoch: id, Why: string(p.n.cfg.Node) + ": " + why}
	for {
		attempt, cancel := context.WithTimeout(ctx, p.n.cfg.Settings.Lease)
		at, _, err := p.out.Append(attempt, c)
		cancel()
		if err == nil {
			p.pulses.forget() // those that began before it landed prove nothing
			p.n.logger.Info("opened a new epoch", "partition", p.index, "epoch", id.String(), "position", at)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.n.logger.Warn("new epoch is not in the log yet", "partition", p.index, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
