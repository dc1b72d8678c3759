package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/pacing"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

var (
	// ErrNoLoader reports that this process has no origin for a key; another
	// may have.
	ErrNoLoader = errors.New("no loader for the key")
	// ErrNotStorable reports a value that its origin forbids to store: no load
	// can warm the key.
	ErrNotStorable = errors.New("the origin forbids to store the value")
	// ErrConfig reports a configuration that breaks a rule.
	ErrConfig = errors.New("invalid warming worker configuration")
)

// Reloader is the node. Reload returns nil once the cache holds a live copy of
// key, loading it if need be; it need not load if the copy there is alive. At
// is the position in the key's partition that the node should have applied
// before it loads (0: none): a copy born before it would be dead on arrival.
// An error that wraps [ErrNoLoader] sends the request to another worker, one
// that wraps [ErrNotStorable] ends it.
// Reload is called concurrently and obeys ctx.
type Reloader interface {
	Reload(ctx context.Context, key string, at events.Position) error
}

// Source delivers requests. Fetch waits until there are some or ctx is done,
// calls fn with at most most of them as they come, and returns how it ended: nil
// after a while without any. It never returns before fn.
type Source interface {
	Fetch(ctx context.Context, most int, fn func(Delivery)) error
}

// Delivery is one delivered request. Exactly one of its methods that answer is
// called, once. They don't block.
type Delivery interface {
	Data() []byte
	// Last reports whether the request is not delivered again.
	Last() bool
	// Done says that the request was carried out, or is of no use any more.
	Done() error
	// Again asks to deliver it again, to anyone, after delay.
	Again(delay time.Duration) error
}

// Config shapes a [Worker]. Zero fields take their defaults.
type Config struct {
	// Concurrency is how many loads run at a time; default 8.
	Concurrency int
	// Rate is how many begin per second; default 100. Burst: default
	// Concurrency.
	Rate  float64
	Burst int
	// Timeout bounds one load; default 10 s. The source must not take a
	// request for lost sooner.
	Timeout time.Duration
	// Retry is how long a request rests after a load failed; default 1 s, and
	// half as much again at random.
	Retry time.Duration
	// Logger takes what an operator may want to know; nil: nothing is logged.
	Logger *slog.Logger
}

// Worker carries out requests. Build it with [New].
type Worker struct {
	source   Source
	reloader Reloader
	config   Config
	counts   counters
	bucket   *pacing.Bucket // Run's goroutine's

	mu     sync.Mutex // guards budget; held for its methods only
	budget *pacing.Budget
	ended  chan struct{} // holds a signal if a load ended since it was drained
	loads  sync.WaitGroup
}

// New returns a worker that begins once it runs.
func New(s Source, r Reloader, c Config) (*Worker, error) {
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	c.Rate = cmp.Or(c.Rate, 100)
	c.Burst = cmp.Or(c.Burst, c.Concurrency)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Timeout < time.Millisecond || c.Retry < 0 {
		return nil, fmt.Errorf("%w: timeout %v, retry %v", ErrConfig, c.Timeout, c.Retry)
	}
	budget, err := pacing.NewBudget(c.Concurrency)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	bucket, err := pacing.NewBucket(c.Rate, c.Burst)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Worker{source: s, reloader: r, config: c, bucket: bucket, budget: budget, ended: make(chan struct{}, 1)}, nil
}

// Run works until ctx is done, waits for the loads that run (which ctx ends,
// too), and returns ctx's error.
func (w *Worker) Run(ctx context.Context) error {
	defer w.loads.Wait()
	for {
		free := w.free()
		if free == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-w.ended:
			}
			continue
		}
		err := w.source.Fetch(ctx, free, func(d Delivery) { w.take(ctx, d) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.counts.fetchErrors.Add(1)
			w.config.Logger.DebugContext(ctx, "no requests could be fetched", "error", err)
			if err := rest(ctx, w.config.Retry); err != nil {
				return err
			}
		}
	}
}

func (w *Worker) free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.budget.Free()
}

// take begins one request, once the pace allows it.
func (w *Worker) take(ctx context.Context, d Delivery) {
	q, err := wire.DecodeRequest(d.Data())
	if err != nil {
		// Nobody else will understand it either, or a newer worker will not
		// miss one request.
		w.counts.malformed.Add(1)
		w.answer(d.Done())
		return
	}
	for {
		wait, ok := w.bucket.Take(time.Now())
		if ok {
			break
		}
		if rest(ctx, wait) != nil {
			w.answer(d.Again(0))
			return
		}
	}
	if !time.Now().Before(q.Deadline) {
		w.counts.expired.Add(1)
		w.answer(d.Done())
		return
	}
	w.mu.Lock()
	started := w.budget.Start()
	w.mu.Unlock()
	if !started { // the budget shrank since the fetch began
		w.answer(d.Again(w.pause(w.config.Retry)))
		return
	}
	w.loads.Go(func() {
		outcome := w.carryOut(ctx, d, q)
		w.mu.Lock()
		w.budget.End(outcome)
		w.mu.Unlock()
		select {
		case w.ended <- struct{}{}:
		default:
		}
	})
}

// carryOut loads a request's keys and answers for it.
func (w *Worker) carryOut(ctx context.Context, d Delivery, q wire.Request) pacing.Outcome {
	until := time.Now().Add(w.config.Timeout)
	if q.Deadline.Before(until) {
		until = q.Deadline
	}
	loading, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var errs []error
	outcome := pacing.Neutral
	for _, key := range q.Keys {
		err := w.reloader.Reload(loading, key, q.Position)
		switch {
		case err == nil:
			w.counts.reloaded.Add(1)
			if outcome == pacing.Neutral {
				outcome = pacing.Succeeded
			}
		case errors.Is(err, ErrNotStorable):
			w.counts.notStorable.Add(1)
		case errors.Is(err, ErrNoLoader):
			w.counts.noLoader.Add(1)
			errs = append(errs, err)
		case ctx.Err() != nil: // we stop; the origin is not to blame
			errs = append(errs, err)
		default:
			w.counts.failed.Add(1)
			outcome = pacing.Failed
			errs = append(errs, err)
		}
	}
	w.conclude(ctx, d, errors.Join(errs...), outcome)
	return outcome
}

func (w *Worker) conclude(ctx context.Context, d Delivery, err error, outcome pacing.Outcome) {
	switch {
	case err == nil:
		w.answer(d.Done())
	case ctx.Err() != nil:
		w.answer(d.Again(0)) // somebody who stays may take it at once
	case d.Last():
		w.counts.givenUp.Add(1)
		w.config.Logger.DebugContext(ctx, "request given up", "error", err)
		w.answer(d.Done())
	case outcome == pacing.Failed:
		w.answer(d.Again(w.pause(w.config.Retry)))
	default: // no loader here: another should have it soon
		w.answer(d.Again(w.pause(50 * time.Millisecond)))
	}
}

// pause lengthens d by up to half at random, so that what failed together does
// not come back together.
func (w *Worker) pause(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()*float64(d)/2)
}

// answer counts an answer that did not go out: the request comes again.
func (w *Worker) answer(err error) {
	if err != nil {
		w.counts.unanswered.Add(1)
	}
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Counters are what a worker did since it was made.
type Counters struct {
	Reloaded    uint64 // keys
	Failed      uint64 // keys whose load failed
	NoLoader    uint64 // keys left to another worker
	NotStorable uint64 // keys whose origin forbids to store them
	Expired     uint64 // requests past their deadline
	Malformed   uint64 // requests that could not be decoded
	GivenUp     uint64 // requests that failed at their last delivery
	Unanswered  uint64 // answers that could not be sent
	FetchErrors uint64
}

type counters struct {
	reloaded, failed, noLoader, notStorable, expired, malformed, givenUp, unanswered, fetchErrors atomic.Uint64
}

// Counters returns the current counts. It may be called at any time.
func (w *Worker) Counters() Counters {
	c := &w.counts
	return Counters{
		Reloaded: c.reloaded.Load(), Failed: c.failed.Load(), NoLoader: c.noLoader.Load(),
		NotStorable: c.notStorable.Load(), Expired: c.expired.Load(), Malformed: c.malformed.Load(), GivenUp: c.givenUp.Load(),
		Unanswered: c.unanswered.Load(), FetchErrors: c.fetchErrors.Load(),
	}
}
