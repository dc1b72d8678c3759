package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
)

const (
	// renewPauseMin and renewPauseMax bound the pause before another disk is
	// tried; it doubles from one to the other.
	renewPauseMin = time.Second
	renewPauseMax = time.Minute
	// renewNear is how many records the filling of a disk may be behind when
	// its partition begins to wait for it, and renewWait how long that waits:
	// it applies nothing meanwhile.
	renewNear = 4096
	renewWait = 100 * time.Millisecond
)

var (
	errRenewed   = errors.New("disk was handed over")
	errOvertaken = errors.New("partition began anew while its disk was filled")
	errLostAgain = errors.New("the new disk was lost, too")
)

// renewal fills a new disk with what a partition's log says, from its first
// record on, beside the partition, which goes on without a disk meanwhile. What
// it applies is what a restart on an empty disk would apply.
//
// It never passes the partition. So when it stands where that stands, it stands
// still for as long as the partition's apply loop does, which takes the disk over
// in that moment and needs no lock for it.
type renewal struct {
	p    *partition
	disk Disk
	end  context.CancelCauseFunc
	// shadow is a partition of a node of its own that has nothing but the disk.
	shadow *partition
	// over: the disk is p's, or will never be; the filling has ended. It is set
	// before p.applied rises again.
	over atomic.Bool
}

// nowhere is the memory tier of a shadow: it holds nothing.
type nowhere struct{ Memory }

func (nowhere) Holds(string) bool              { return false }
func (nowhere) Fence(string, events.Position)  {}
func (nowhere) Soften(string, events.Position) {}
func (nowhere) Replace(tiers.Entry) error      { return nil }
func (nowhere) Reset(int)                      {}

// renewDisks replaces a lost disk, as soon as there is another, until ctx is
// done. A disk that was full or broken for a while is no reason for a restart.
func (n *Node) renewDisks(ctx context.Context) error {
	pause, since := renewPauseMin, n.clock.Waiter()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.drives.lost:
		}
		if time.Duration(n.clock.Waiter()-since) > renewPauseMax {
			pause = renewPauseMin // it has lasted
		}
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			began := n.clock.Waiter()
			err := n.renewDisk(ctx)
			pause = min(2*pause, renewPauseMax)
			if err == nil {
				since = n.clock.Waiter()
				n.stats.disksRenewed.Add(1)
				n.logger.Info("disk tier is back", "filled_in", time.Duration(n.clock.Waiter()-began))
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			n.logger.Warn("disk tier is not back yet", "error", err, "again_in", pause)
		}
	}
}

// renewDisk opens a disk, fills it, and returns once each partition has it.
func (n *Node) renewDisk(ctx context.Context) error {
	// The partitions share one: those who have not noticed lose it here.
	for i, p := range n.parts {
		p.loseDisk(errNoDrive)
		n.drives.parts[i].Store(nil)
	}
	select {
	case <-n.drives.lost: // this loss
	default:
	}
	d, err := n.deps.NewDisk(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range n.parts {
		g.Go(func() error { return p.renew(ctx, d) })
	}
	return g.Wait()
}

// renew fills d for p and returns once p has it.
func (p *partition) renew(ctx context.Context, d Disk) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	alone := &Node{cfg: p.n.cfg, deps: p.n.deps, memory: nowhere{}, disk: d, clock: p.n.clock, logger: p.n.logger}
	s := &partition{n: alone, index: p.index, world: coherence.New(), batch: d.Batch(p.index), versions: make(map[string]uint64)}
	s.pulses.init()
	s.batch.DropValues() // should it be one that was used before
	r := &renewal{p: p, disk: d, end: end, shadow: s}
	p.renewal.Store(r)
	defer p.renewal.Store(nil)
	err := r.follow(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, errRenewed) {
		return nil
	}
	return fmt.Errorf("fill the disk of partition %d: %w", p.index, err)
}

// follow fills the disk until something ends it. Behind a hole in the log it
// begins anew, as the partition does, once that is behind it, too: until then
// the two may stand at the same place.
func (r *renewal) follow(ctx context.Context) error {
	begin := events.Mark{}
	for {
		err := r.p.log.Follow(ctx, begin, func(batch []events.Delivery) error { return r.sink(ctx, batch) })
		var gap *events.GapError
		if !errors.As(err, &gap) || !gap.Hole() {
			return err
		}
		if err := r.p.until(ctx, func() bool { return r.p.applied.Load() >= uint64(gap.First) }); err != nil {
			return err
		}
		begin = events.Mark{Position: gap.First - 1}
		r.shadow.applied.Store(0)
		r.shadow.world = coherence.Beyond(r.shadow.world)
		r.shadow.batch.DropValues()
	}
}

// sink applies to the disk what the partition has applied.
func (r *renewal) sink(ctx context.Context, batch []events.Delivery) error {
	p := r.p
	for len(batch) > 0 {
		next := uint64(batch[0].Position)
		if err := p.until(ctx, func() bool { return p.applied.Load() >= next }); err != nil {
			return err
		}
		n := min(uint64(len(batch)), p.applied.Load()-next+1)
		if r.over.Load() {
			return errRenewed
		}
		if err := r.apply(batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (r *renewal) apply(batch []events.Delivery) error {
	steps := make([]coherence.Step, 0, len(batch))
	for _, d := range batch {
		record, err := events.DecodeRecord(d.Data)
		steps = append(steps, coherence.Step{Mark: d.Mark, Record: record, Err: err})
	}
	r.shadow.apply(steps)
	if r.shadow.blind.Load() {
		return errLostAgain
	}
	r.shadow.applied.Store(uint64(batch[len(batch)-1].Position))
	r.p.waiters.wake()
	return nil
}

// takeDisk takes the new disk over, if it is filled as far as the partition has
// applied. The apply loop calls it between two batches.
func (p *partition) takeDisk() {
	r := p.renewal.Load()
	if r == nil || r.over.Load() {
		return
	}
	applied, at := p.applied.Load(), r.shadow.applied.Load()
	switch {
	case at > applied:
		r.end(errOvertaken) // the partition has dropped everything and began anew
		return
	case at == 0 || applied-at > renewNear:
		return
	}
	wait, cancel := context.WithTimeout(p.n.life, renewWait)
	defer cancel()
	if p.until(wait, func() bool { return r.shadow.applied.Load() >= applied }) == nil {
		r.handOver() // else the next batch is another chance
	}
}

// handOver makes the disk the partition's, in the partition's apply loop.
func (r *renewal) handOver() {
	p, s := r.p, r.shadow
	if !sameHistory(p.world, s.world) {
		return
	}
	r.over.Store(true)
	if mutant.On(mutant.DiskTakenUnfilled) {
		s.batch.DropValues()
	}
	p.mu.Lock()
	// What the log has forgotten, the disk never learnt: where that begins, every
	// birth has to be refused (P15).
	if !mutant.On(mutant.TakenDiskKeepsHorizon) {
		p.world.Prune(s.world.Horizon())
	}
	p.mirror()
	for f := range s.world.Broad() {
		s.batch.DropBroad(f.Kind, f.Name)
	}
	for f := range p.world.Broad() {
		s.batch.FenceBroad(f)
	}
	p.meta = p.world.AppendState(p.meta[:0]) // of members, too, whom pulses forget
	s.batch.SetMeta(metaState, p.meta)
	p.mu.Unlock()
	if err := s.batch.Commit(); err != nil {
		r.end(err)
		return
	}
	clear(p.versions)
	p.batch = p.n.switches.batch(s.batch)
	p.n.drives.parts[p.index].Store(&r.disk)
	p.blind.Store(false) // last: from here on readers go by it
	r.end(errRenewed)
}

// sameHistory reports whether two worlds stand at the same place of one
// history.
func sameHistory(a, b *coherence.World) bool {
	if a.Mark() != b.Mark() || a.Epoch() != b.Epoch() {
		return false
	}
	x, based := a.Digest()
	y, too := b.Digest()
	return !based || !too || x == y
}
