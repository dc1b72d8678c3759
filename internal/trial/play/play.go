package play

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/input"
)

const (
	// readersPerMember read at a time from one node.
	readersPerMember = 16
	// batchSize is how many reads are handed to a reader at once.
	batchSize = 16
	// recentBatches are remembered of each member, to be read again.
	recentBatches = 128
	// settling is how long fences may take to reach all nodes before they
	// count as lost.
	settling = 10 * time.Second
	// readTimeout bounds one read.
	readTimeout = 10 * time.Second
)

// Config says what to play and on what.
type Config struct {
	Workload *input.Workload
	Fleet    Fleet
	// Origin is the loader that Fleet was started with and its judge.
	Origin *Origin
	// Arrivals is the fleet's observer.
	Arrivals *Arrivals
	Show     *Show
	// Duration is how long the steps are spread over.
	Duration time.Duration
	// Bound is after which an overwritten value is stale.
	Bound time.Duration
}

// player plays one workload.
type player struct {
	Config
	tally *tally
	lanes []*lane
	// began is when the first step was due; the player's.
	began time.Time

	mu       sync.Mutex    // guards what follows, for the ticker
	at       time.Duration // workload time
	thinned  int           // reads left out because the machine was behind
	unplayed int           // steps that the time did not suffice for
}

// lane is the way to one member. Its readers hold gate shared while they read;
// who stops the member takes it alone. Only the player's goroutine sends.
type lane struct {
	member Member
	index  int
	gate   sync.RWMutex
	down   bool // the player's
	reads  chan []string
	// sent counts the batches that are not read yet.
	sent sync.WaitGroup
	// recent are the last batches that were sent; the player's.
	recent [recentBatches][]string
	turn   int
}

func newPlayer(c Config) *player {
	p := &player{Config: c, tally: &c.Origin.tally}
	for i, m := range c.Fleet.Members() {
		p.lanes = append(p.lanes, &lane{member: m, index: i, reads: make(chan []string, readersPerMember)})
	}
	return p
}

// Play plays the workload, waits until every fence is applied everywhere, reads
// all of it once more, and returns the summary. An error means that it could
// not be played to its end; what was seen is for [Summary.Coherent] to say.
func Play(ctx context.Context, c Config) (Summary, error) {
	p := newPlayer(c)
	err := p.run(ctx)
	return p.summary(), err
}

func (p *player) run(ctx context.Context) error {
	p.began = time.Now()
	ticking, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { p.tick(ticking) })
	err := p.play(ctx)
	stop()
	ticker.Wait()
	if err != nil {
		return err
	}
	settled, err := p.settle(ctx)
	if err != nil {
		return err
	}
	if !settled {
		p.Show.note("some fences did not reach all nodes within %v", settling)
		return nil
	}
	return p.sweep(ctx)
}

// play plays all steps and returns when the last read was answered.
func (p *player) play(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range p.lanes {
		for range readersPerMember {
			g.Go(func() error { return p.readAll(ctx, l) })
		}
	}
	g.Go(func() error {
		defer func() {
			for _, l := range p.lanes {
				close(l.reads)
			}
		}()
		return p.steps(ctx)
	})
	return g.Wait()
}

// steps sends reads to the readers and makes changes, at the workload's pace.
func (p *player) steps(ctx context.Context) error {
	steps := p.Workload.Steps
	stopAt, startAt := len(steps)*64/100, len(steps)*72/100
	turn := 0
	batch := make([]string, 0, batchSize)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		l := p.lanes[turn%len(p.lanes)]
		for turn++; l.down; turn++ {
			l = p.lanes[turn%len(p.lanes)]
		}
		if err := l.send(ctx, batch); err != nil {
			return err
		}
		batch = make([]string, 0, batchSize)
		return nil
	}
	behind := time.Duration(0)
	for i := range steps {
		s := &steps[i]
		if i%batchSize == 0 {
			var err error
			if behind, err = p.pace(ctx, i, s.At); err != nil {
				return err
			}
			if behind > hopeless {
				p.leaveOut(&p.unplayed, len(steps)-i)
				break
			}
		}
		if i == stopAt || i == startAt {
			if err := flush(); err != nil {
				return err
			}
			if err := p.aside(func() error { return p.restart(ctx, i == stopAt) }); err != nil {
				return err
			}
		}
		if s.Change == nil && behind > tolerated {
			p.leaveOut(&p.thinned, 1)
			continue
		}
		if s.Change == nil {
			if batch = append(batch, s.Key); len(batch) == batchSize {
				if err := flush(); err != nil {
					return err
				}
			}
			continue
		}
		// Reads before a change are sent before it, so that they are as old as
		// the workload says.
		if err := flush(); err != nil {
			return err
		}
		if err := p.change(ctx, s.Change); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if p.lanes[restarted].down {
		return p.aside(func() error { return p.restart(ctx, false) })
	}
	return nil
}

const (
	// tolerated is how far behind its pace a run may be before reads are left
	// out, so that all changes are played in time.
	tolerated = 500 * time.Millisecond
	// hopeless is when the rest of the steps is left out.
	hopeless = 5 * time.Second
)

// leaveOut adds n to one of the counts of what is not played.
func (p *player) leaveOut(count *int, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*count += n
}

// pace waits until step i is due (steps are spread evenly over the duration),
// or says how long ago that was.
func (p *player) pace(ctx context.Context, i int, at time.Duration) (behind time.Duration, err error) {
	p.mu.Lock()
	p.at = at
	p.mu.Unlock()
	due := p.began.Add(time.Duration(float64(p.Duration) * float64(i) / float64(len(p.Workload.Steps))))
	wait := time.Until(due)
	if wait <= 0 {
		return -wait, ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return 0, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// aside does what stands outside of the workload's pace.
func (p *player) aside(do func() error) error {
	from := time.Now()
	err := do()
	p.began = p.began.Add(time.Since(from))
	return err
}

// change makes c true and publishes its event, as a service does that commits
// first and says so afterwards.
func (p *player) change(ctx context.Context, c *input.Change) error {
	if c.Told {
		return p.aside(func() error { return p.tell(ctx, c) })
	}
	_, err := p.publish(ctx, c)
	return err
}

func (p *player) publish(ctx context.Context, c *input.Change) (*arrival, error) {
	p.Origin.truth.Commit(c)
	p.tally.events.Add(1)
	e := p.Arrivals.expect(c.EventID, time.Now())
	sequence, err := p.Fleet.Publish(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("publish event %s: %w", c.ID, err)
	}
	p.Arrivals.kept(e, sequence)
	return e, nil
}

func (l *lane) send(ctx context.Context, keys []string) error {
	l.recent[l.turn%recentBatches] = keys
	l.turn++
	l.sent.Add(1)
	select {
	case l.reads <- keys:
		return nil
	case <-ctx.Done():
		l.sent.Done()
		return ctx.Err()
	}
}

func (p *player) readAll(ctx context.Context, l *lane) error {
	for keys := range l.reads {
		l.gate.RLock()
		err := p.readKeys(ctx, l, keys, p.Bound)
		l.gate.RUnlock()
		l.sent.Done()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *player) readKeys(ctx context.Context, l *lane, keys []string, bound time.Duration) error {
	for _, k := range keys {
		if err := p.read(ctx, l, k, bound); err != nil {
			return err
		}
	}
	return nil
}

// read reads one key and has the answer judged.
func (p *player) read(ctx context.Context, l *lane, key string, bound time.Duration) error {
	rctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := time.Now()
	a, err := l.member.Read(rctx, key)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, node.ErrNotServing), errors.Is(err, node.ErrOverloaded):
		p.tally.refused.Add(1) // refusing is allowed, guessing is not
		return nil
	case err != nil:
		return fmt.Errorf("read %s from %s: %w", key, l.member.Name(), err)
	}
	p.tally.answered(a.Source)
	p.tally.judged(l.member.Name(), key, p.Origin.truth.Judge(key, a.Payload, began, bound))
	return nil
}

// quiet waits until all reads that were sent are answered.
func (p *player) quiet() {
	for _, l := range p.lanes {
		l.sent.Wait()
	}
}

// settle waits until every node has applied the fence of every event. It
// reports false if some never came.
func (p *player) settle(ctx context.Context) (bool, error) {
	t := time.NewTimer(settling)
	defer t.Stop()
	select {
	case <-p.Arrivals.settled():
		return true, nil
	case <-t.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
