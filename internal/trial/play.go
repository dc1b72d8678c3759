package trial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/input"
	"github.com/raptorflow/tercet/internal/trial/truth"
)

const (
	// readersPerMember read at a time from one node.
	readersPerMember = 3
	// batchSize is how many reads are handed to a reader at once.
	batchSize = 32
	// settling is how long fences may take to reach all nodes before they
	// count as lost.
	settling = 10 * time.Second
	// readTimeout bounds one read.
	readTimeout = 10 * time.Second
)

// player plays a workload on a fleet. Its fields are set once.
type player struct {
	work     *input.Workload
	truth    *truth.Truth
	fleet    Fleet
	arrivals *arrivals
	tally    *tally
	show     *show
	duration time.Duration

	lanes []*lane
	began time.Time
	// position is where the player is; the ticker shows it.
	mu       sync.Mutex
	at       time.Duration // workload time
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
	// pause waits until the readers are done with what they were sent.
	sent sync.WaitGroup
}

func newPlayer(w *input.Workload, origin *truth.Truth, f Fleet, a *arrivals, t *tally, s *show, d time.Duration) *player {
	p := &player{work: w, truth: origin, fleet: f, arrivals: a, tally: t, show: s, duration: d}
	for i, m := range f.Members() {
		p.lanes = append(p.lanes, &lane{member: m, index: i, reads: make(chan []string, 2*readersPerMember)})
	}
	return p
}

// play plays all steps and returns when the last read was answered.
func (p *player) play(ctx context.Context) error {
	p.began = time.Now()
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
	steps := p.work.Steps
	stopAt, startAt := len(steps)*70/100, len(steps)*80/100
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
	for i := range steps {
		s := &steps[i]
		if i%batchSize == 0 {
			if err := p.pace(ctx, i, s.At); err != nil {
				return err
			}
			if p.late() {
				p.mu.Lock()
				p.unplayed = len(steps) - i
				p.mu.Unlock()
				break
			}
		}
		if i == stopAt || i == startAt {
			if err := flush(); err != nil {
				return err
			}
			if err := p.restart(ctx, i == stopAt); err != nil {
				return err
			}
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
	return flush()
}

// pace waits until step i is due: steps are spread evenly over the duration.
func (p *player) pace(ctx context.Context, i int, at time.Duration) error {
	p.mu.Lock()
	p.at = at
	p.mu.Unlock()
	due := p.began.Add(time.Duration(float64(p.duration) * float64(i) / float64(len(p.work.Steps))))
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// late reports whether the machine can't keep up and the rest must be left.
func (p *player) late() bool { return time.Since(p.began) > p.duration+p.duration/4+2*time.Second }

// now returns the workload's time.
func (p *player) now() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// change makes c true and publishes its event, as a service does that commits
// first and says so afterwards.
func (p *player) change(ctx context.Context, c *input.Change) error {
	if c.Told {
		return p.tell(ctx, c)
	}
	_, err := p.publish(ctx, c)
	return err
}

func (p *player) publish(ctx context.Context, c *input.Change) (*arrival, error) {
	p.truth.Commit(c)
	p.tally.events.Add(1)
	e := p.arrivals.expect(c.EventID, time.Now())
	sequence, err := p.fleet.Publish(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("publish event %s: %w", c.ID, err)
	}
	p.arrivals.kept(e, sequence)
	return e, nil
}

func (l *lane) send(ctx context.Context, keys []string) error {
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
		err := p.readKeys(ctx, l, keys, bound)
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
	p.tally.judged(l.member.Name(), key, p.truth.Judge(key, a.Payload, began, bound))
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
	case <-p.arrivals.settled():
		return true, nil
	case <-t.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
