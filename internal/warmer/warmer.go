package warmer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/pacing"
	"github.com/raptorflow/tercet/internal/warmer/settle"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// Deps are what a [Warmer] works with.
type Deps struct {
	// Logs are the domain's partitions, in order.
	Logs []Follower
	// Start holds the record of each partition behind which to begin; nil:
	// from the first that is retained, of which the past is ignored.
	Start     []events.Mark
	Accesses  Accesses
	Queue     Queue
	Predictor Predictor
	// Partition returns the partition that a key lies in; nil: the only one.
	Partition func(key string) int
	// Logger takes what an operator may want to know; nil: nothing is logged.
	Logger *slog.Logger
}

// Warmer warms one domain. Build it with [New].
type Warmer struct {
	deps   Deps
	config Config
	counts counters

	records   chan batch
	summaries chan []byte
	send      chan wire.Request

	// What follows belongs to the goroutine of decide.
	waiting *settle.Queue
	bucket  *pacing.Bucket
	held    *settle.Item // due, and waits for a token or the sender
	paid    bool         // held has its token
}

// batch is what a partition's log delivered, or, without records, the news
// that its history changed.
type batch struct {
	partition int
	records   []events.Delivery
}

// New returns a warmer that begins once it runs.
func New(d Deps, c Config) (*Warmer, error) {
	if len(d.Logs) == 0 || d.Accesses == nil || d.Queue == nil || d.Predictor == nil {
		return nil, fmt.Errorf("%w: logs, accesses, queue and predictor are needed", ErrConfig)
	}
	if d.Start == nil {
		d.Start = make([]events.Mark, len(d.Logs))
	}
	if len(d.Start) != len(d.Logs) {
		return nil, fmt.Errorf("%w: %d starts for %d partitions", ErrConfig, len(d.Start), len(d.Logs))
	}
	if d.Partition == nil {
		if len(d.Logs) > 1 {
			return nil, fmt.Errorf("%w: %d partitions and no way to tell a key's", ErrConfig, len(d.Logs))
		}
		d.Partition = func(string) int { return 0 }
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	waiting, err := settle.NewQueue(c.settle())
	if err != nil {
		return nil, err
	}
	bucket, err := pacing.NewBucket(c.Rate, c.Burst)
	if err != nil {
		return nil, err
	}
	return &Warmer{
		deps: d, config: c, waiting: waiting, bucket: bucket,
		records: make(chan batch), summaries: make(chan []byte), send: make(chan wire.Request),
	}, nil
}

// Counters returns the current counts. It may be called at any time.
func (w *Warmer) Counters() Counters { return w.counts.read() }

// Run warms until ctx is done; it returns ctx's error. It may run once.
func (w *Warmer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for p := range w.deps.Logs {
		g.Go(func() error { return w.follow(ctx, p) })
	}
	g.Go(func() error {
		return w.deps.Accesses.Follow(ctx, func(data []byte) {
			select {
			case w.summaries <- data:
			case <-ctx.Done():
			}
		})
	})
	g.Go(func() error { return w.push(ctx) })
	g.Go(func() error { return w.decide(ctx) })
	return g.Wait()
}

// retryFollow is how long a follower rests after its log refused it.
const retryFollow = time.Second

// follow hands the records of one partition on, and begins again where the
// history is no longer the known one: from the first retained record, or from
// the one behind a hole. Records of
// the past are sorted out here, so that catching up costs no decoding.
func (w *Warmer) follow(ctx context.Context, partition int) error {
	last := w.deps.Start[partition]
	for {
		err := w.deps.Logs[partition].Follow(ctx, last, func(all []events.Delivery) error {
			if len(all) == 0 {
				return nil
			}
			last = all[len(all)-1].Mark
			return w.deliver(ctx, partition, all)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.deps.Logger.WarnContext(ctx, "log could not be followed; beginning again", "partition", partition, "error", err)
		var gap *events.GapError
		if errors.As(err, &gap) || errors.Is(err, events.ErrHistoryChanged) {
			last = events.Mark{}
			if gap != nil {
				last.Position = gap.First - 1
			}
			w.counts.resets.Add(1)
			if err := w.hand(ctx, batch{partition: partition}); err != nil {
				return err
			}
		}
		if err := rest(ctx, retryFollow); err != nil {
			return err
		}
	}
}

func (w *Warmer) deliver(ctx context.Context, partition int, all []events.Delivery) error {
	oldest := time.Now().Add(-w.config.MaxAge).UnixNano()
	fresh := make([]events.Delivery, 0, len(all)) // the batch itself is the log's
	for _, d := range all {
		if d.Time >= oldest {
			fresh = append(fresh, d)
		}
	}
	w.counts.records.Add(uint64(len(all)))
	w.counts.pastRecords.Add(uint64(len(all) - len(fresh)))
	if len(fresh) == 0 {
		return nil
	}
	return w.hand(ctx, batch{partition, fresh})
}

func (w *Warmer) hand(ctx context.Context, b batch) error {
	select {
	case w.records <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decide owns all knowledge: it takes what comes in and releases what is due.
func (w *Warmer) decide(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var (
			out chan<- wire.Request
			q   wire.Request
		)
		if wake := w.release(time.Now()); !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
		if w.held != nil && w.paid {
			out = w.send
			q = wire.Request{Keys: []string{w.held.Key}, Position: w.held.Position, Deadline: time.Now().Add(w.config.Deadline)}
		}
		w.counts.settling.Store(uint64(w.waiting.Waiting()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case data := <-w.summaries:
			w.learn(data)
		case b := <-w.records:
			w.apply(b)
		case <-timer.C:
		case out <- q:
			w.held, w.paid = nil, false
		}
	}
}

// release moves the next due key to held and finds it a token. It returns when
// to be called again, or zero if only an event can change anything.
func (w *Warmer) release(now time.Time) (wake time.Time) {
	if w.held == nil {
		item, ok, again := w.waiting.Next(now)
		if !ok {
			return again
		}
		w.held = &item
	}
	if w.paid {
		return time.Time{}
	}
	wait, ok := w.bucket.Take(now)
	if !ok {
		return now.Add(wait)
	}
	w.paid = true
	return time.Time{}
}

func (w *Warmer) learn(data []byte) {
	s, err := wire.DecodeSummary(data)
	if err != nil {
		w.counts.badSummaries.Add(1)
		return
	}
	w.counts.summaries.Add(1)
	w.deps.Predictor.Learn(time.Now(), &s)
}

func (w *Warmer) apply(b batch) {
	if len(b.records) == 0 {
		w.deps.Predictor.Forget(b.partition)
		return
	}
	now := time.Now()
	for _, d := range b.records {
		for _, v := range w.deps.Predictor.Killed(now, b.partition, d.Data) {
			if w.deps.Partition(v.Key) != b.partition {
				continue // its own partition's log says the same at its own position
			}
			w.counts.victims.Add(1)
			if !w.waiting.Add(now, v.Key, d.Position, rand.Float64()) {
				w.counts.overflows.Add(1)
			}
		}
	}
}

// pushTimeout bounds how long one request may take to be queued.
const pushTimeout = 5 * time.Second

// push sends what decide releases.
func (w *Warmer) push(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case q := <-w.send:
			one, cancel := context.WithTimeout(ctx, pushTimeout)
			err := w.deps.Queue.Push(one, q)
			cancel()
			if err != nil {
				w.counts.lostRequests.Add(1)
				w.deps.Logger.DebugContext(ctx, "request was lost", "key", q.Keys[0], "error", err)
				continue
			}
			w.counts.requests.Add(1)
		}
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
