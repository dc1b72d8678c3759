package play

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/input"
)

// tell makes a change while everybody else rests, follows its fence to each
// node, and reads all that it changed before and after, where nothing but the
// new value will do.
func (p *player) tell(ctx context.Context, c *input.Change) error {
	p.quiet()
	if ok, err := p.settle(ctx); !ok || err != nil {
		if err == nil {
			p.Show.note("events under way did not reach all nodes within %v; not narrated: %s", settling, c.What)
			_, err = p.publish(ctx, c)
		}
		return err
	}
	before, err := p.readEverywhere(ctx, c.Reach, p.Bound, patience)
	if err != nil {
		return err
	}
	e, err := p.publish(ctx, c)
	if err != nil {
		return err
	}
	t := time.NewTimer(settling)
	defer t.Stop()
	select {
	case <-e.done:
	case <-t.C:
		p.Show.note("%s: its fence did not reach all nodes within %v", c.What, settling)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	reloads := p.tally.loads.Load()
	// Every node has applied the fence: no bound applies any more.
	again, err := p.readEverywhere(ctx, c.Reach, 0, patience)
	if err != nil {
		return err
	}
	reloads = p.tally.loads.Load() - reloads
	p.Show.moment("%s", c.What)
	p.Show.Detail("event %s → fence of %s at log position %d", eventName(c, e), scopeText(e.scope), e.position)
	var gone []string
	for i, l := range p.lanes {
		if took, ok := e.took[i]; ok {
			gone = append(gone, fmt.Sprintf("%s after %s", l.member.Name(), millis(took)))
		}
	}
	p.Show.Detail("gone on %s", strings.Join(gone, ", "))
	if len(c.Reach) > 3 {
		p.Show.Detail("one record ended at least %s copies on %d nodes; %s read again, none may be old: %s loads",
			number(before), len(gone), number(again), number(reloads))
	} else {
		p.Show.Detail("read again on every node: the new value, by %s loads for the fleet", number(reloads))
	}
	return nil
}

// Reading many keys again must not take up the run's time on a busy machine:
// what is not read within these times is left out.
const (
	patience      = 2 * time.Second // at a narrated moment
	sweepPatience = 5 * time.Second // at the end
)

// readEverywhere reads keys from every running member, for as long as patience
// lasts, and returns how many values it read.
func (p *player) readEverywhere(ctx context.Context, keys []string, bound, patience time.Duration) (uint64, error) {
	before := p.tally.reads.Load()
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range p.lanes {
		if l.down {
			continue
		}
		g.Go(func() error { return p.readOn(ctx, l, keys, bound, patience) })
	}
	err := g.Wait()
	// Everybody else rests: the reads are ours.
	return p.tally.reads.Load() - before, err
}

// readOn reads keys from one member, many at a time, while patience lasts.
func (p *player) readOn(ctx context.Context, l *lane, keys []string, bound, patience time.Duration) error {
	until := time.Now().Add(patience)
	g, ctx := errgroup.WithContext(ctx)
	for part := range slices.Chunk(keys, 1+len(keys)/readersPerMember) {
		g.Go(func() error {
			for _, k := range part {
				if time.Now().After(until) {
					return nil
				}
				if err := p.read(ctx, l, k, bound); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// asked returns the distinct keys of the lane's last batches.
func (l *lane) asked() []string {
	var keys []string
	for _, b := range l.recent {
		keys = append(keys, b...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// restarted is the member that is stopped and started again.
const restarted = 1

// restart stops the member in the middle of the run, or starts it again on
// what its disk holds.
func (p *player) restart(ctx context.Context, stop bool) error {
	l := p.lanes[restarted]
	name := l.member.Name()
	if stop {
		l.down = true
		l.sent.Wait()
		l.gate.Lock()
		defer l.gate.Unlock()
		p.Arrivals.stopped(restarted)
		if err := l.member.Stop(ctx); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		p.Show.moment("%s is stopped; the others go on", name)
		return nil
	}
	if !l.down {
		return nil
	}
	began := time.Now()
	l.gate.Lock()
	err := l.member.Start(ctx)
	l.gate.Unlock()
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	took := time.Since(began)
	p.Arrivals.started(restarted)
	// What it was asked for last it should still have.
	keys := l.asked()
	p.quiet()
	before := p.sourcesNow()
	if err := p.readOn(ctx, l, keys, p.Bound, patience); err != nil {
		return err
	}
	after := p.sourcesNow()
	l.down = false
	p.Show.moment("%s is back after %s: it replayed what it missed and serves its own disk", name, millis(took))
	var parts []string
	reads := uint64(0)
	for s := node.FromMemory; s <= node.FromOrigin; s++ {
		if n := after[s] - before[s]; n > 0 {
			reads += n
			parts = append(parts, fmt.Sprintf("%s from %s", number(n), sourceName(s)))
		}
	}
	p.Show.Detail("its first %s reads: %s", number(reads), strings.Join(parts, ", "))
	return nil
}

func (p *player) sourcesNow() (n [sources]uint64) {
	for i := range n {
		n[i] = p.tally.from[i].Load()
	}
	return n
}

// popular returns up to n distinct keys, in the order of the workload's first
// reads.
func (p *player) popular(n int) []string {
	seen := map[string]bool{}
	var keys []string
	for i := range p.Workload.Steps {
		if k := p.Workload.Steps[i].Key; k != "" && !seen[k] {
			seen[k] = true
			if keys = append(keys, k); len(keys) == n {
				break
			}
		}
	}
	return keys
}

// sweepKeys bounds the keys that are read again from every node at the end.
const sweepKeys = 4000

// sweep reads keys from every node once all fences are known to be applied: no
// bound applies any more, each value must be the newest.
func (p *player) sweep(ctx context.Context) error {
	keys := p.popular(sweepKeys)
	copies, err := p.readEverywhere(ctx, keys, 0, sweepPatience)
	if err != nil {
		return err
	}
	p.Show.moment("all fences applied everywhere: %s values read once more, none may be old", number(copies))
	return nil
}

func eventName(c *input.Change, e *arrival) string {
	if c.EventID != "" {
		return c.EventID + " (" + strings.TrimPrefix(c.Subject, "events.") + ")"
	}
	return e.id + " (" + strings.TrimPrefix(c.Subject, "events.") + ")"
}

func scopeText(s *events.Scope) string {
	if s == nil {
		return "everything"
	}
	var parts []string
	list := func(what string, names []string) {
		const most = 3
		if len(names) == 0 {
			return
		}
		shown := names[:min(most, len(names))]
		text := what + " " + strings.Join(shown, ", ")
		if len(names) > most {
			text += fmt.Sprintf(" and %d more", len(names)-most)
		}
		parts = append(parts, text)
	}
	if s.All {
		parts = append(parts, "everything")
	}
	list("key", s.Keys)
	list("tag", s.Tags)
	list("prefix", s.Prefixes)
	list("glob", s.Globs)
	return strings.Join(parts, "; ")
}
