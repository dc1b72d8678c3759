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
	var begin events.Mark // where the log is followed from by who has applied nothing
	for {
		p.mu.RLock()
		from := p.world.Mark()
		p.mu.RUnlock()
		if !from.Named() {
			from = begin
		}
		following, abort := context.WithCancelCause(ctx)
		p.aborts.set(abort)
		err := p.log.Follow(following, from, p.sink)
		if following.Err() != nil && ctx.Err() == nil {
			err = context.Cause(following)
		}
		abort(nil)
		var gap *events.GapError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &gap):
			p.n.stats.gaps.Add(1)
			p.n.logger.Warn("log has lost records that this node has not applied; it drops its copies and joins again behind them", "partition", p.index, "error", err)
			if gap.First > begin.Position+1 {
				pause = 0 // it gets on: a log has so many holes and no more
			}
			if !gap.Hole() {
				begin = events.Mark{}
				p.restart(coherence.Successor(p.world))
				break
			}
			// Read from its beginning, the log would end there again.
			if !mutant.On(mutant.HoleMetAgain) {
				begin = events.Mark{Position: gap.First - 1}
			}
			p.restart(coherence.Beyond(p.world))
		case errors.Is(err, events.ErrHistoryChanged):
			p.n.stats.regressions.Add(1)
			p.n.logger.Warn("history of the log changed; the node drops its copies and opens a new epoch", "partition", p.index, "error", err)
			begin = events.Mark{}
			var proof *contradiction
			if errors.As(err, &proof) {
				p.restart(coherence.Successor(p.world, proof.epoch))
			} else {
				p.restart(coherence.Successor(p.world))
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

// restart forgets every copy, and of what was learnt from the log everything
// but what heir has taken over. The apply loop calls it.
func (p *partition) restart(heir *coherence.World) {
	// First nothing is served, then nothing is there to be served. Reads that
	// noted the old life find it gone when they look again.
	p.fresh.Store(never)
	p.pulses.forget()
	p.own.forget()
	p.mu.Lock()
	p.fresh.Store(never) // again: a pulse may have been confirmed in between
	p.life.Add(1)        // behind that: who notes the new life finds no lease of the old one
	p.world = heir
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
