package invalidator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"go.opentelemetry.io/otel/trace"

	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// Invalidator follows domain events and fences what they mean.
type Invalidator struct {
	deps   Deps
	config Config
	log    *slog.Logger
	rules  atomic.Pointer[activeRules]
	stats  counters
	ready  chan struct{}
	ran    atomic.Bool

	tracer trace.Tracer

	parking  *parking
	limits   *limiter
	windows  *windows        // set by Run
	waiting  chan struct{}   // one per event that waits without a place in flight
	stopping <-chan struct{} // closed when Run's context ends; set by Run
}

// New returns an invalidator that does nothing until [Invalidator.Run].
func New(d Deps, c Config) (*Invalidator, error) {
	c = c.withDefaults()
	if err := c.validate(d); err != nil {
		return nil, err
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	i := &Invalidator{deps: d, config: c, log: d.Logger, ready: make(chan struct{}), waiting: make(chan struct{}, c.Waiting)}
	i.tracer = tracer(d.TracerProvider)
	i.parking = newParking(d.JetStream, d.Logger)
	i.limits = newLimiter(i.parking, c.Now)
	i.SetRules(d.Rules)
	return i, nil
}

// SetRules makes set the rules for every event that is taken up from now on;
// events under way end with those that they began with.
func (i *Invalidator) SetRules(set *rules.Set) {
	i.rules.Store(activate(set, i.rules.Load(), i.config.Duplicates, i.stats.events.Load()))
}

// Parked returns the rules that are parked, by name, as far as is known here.
func (i *Invalidator) Parked() []RuleState { return i.parking.list() }

// Ready is closed once events are being followed.
func (i *Invalidator) Ready() <-chan struct{} { return i.ready }

// ErrRan reports a second call of [Invalidator.Run].
var ErrRan = errors.New("invalidator ran already")

// Run follows events until ctx ends, then lets those under way finish for at
// most Grace and returns nil. It returns an error only if it could not start;
// a stream that is missing or out of reach it waits for. A second call is
// refused with [ErrRan].
func (i *Invalidator) Run(ctx context.Context) error {
	if i.ran.Swap(true) {
		return ErrRan
	}
	c := i.config
	// Events under way outlive ctx by Grace: cutting them off would have them
	// fenced again by another process, and make every shutdown look like an
	// outage.
	work, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stop := context.AfterFunc(ctx, func() {
		grace := time.AfterFunc(c.Grace, abort)
		context.AfterFunc(work, func() { grace.Stop() })
	})
	defer stop()

	i.stopping = ctx.Done()
	i.windows = newWindows(work, i.land, func() { i.stats.windows.Add(1) })
	following := make(chan struct{})
	go func() {
		defer close(following)
		i.parking.run(ctx)
	}()
	defer func() { <-following }()
	sub := newSubscriber(i.deps.JetStream, c, work, i.log, &i.stats)
	sub.onReady = func() { close(i.ready) }
	logger := watermill.NewSlogLogger(i.log)
	// The router must not give up on events that still have their grace.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: c.Grace + time.Second}, logger)
	if err != nil {
		return fmt.Errorf("start invalidator: %w", err)
	}
	router.AddMiddleware(
		// Outermost first: what reaches the dead letters has been retried, and
		// a letter that could not be stored goes back to the stream instead of
		// having its event fenced again at once.
		i.deadLetters,
		middleware.Retry{
			MaxRetries:          c.Retries,
			InitialInterval:     c.RetryDelay,
			MaxInterval:         2 * time.Second,
			Multiplier:          2,
			RandomizationFactor: 0.5,
			ShouldRetry:         i.shouldRetry,
		}.Middleware,
	)
	router.AddConsumerHandler("invalidate", c.Stream, sub, i.handle)
	err = router.Run(ctx)
	sub.wait()
	i.windows.wait()
	if err != nil {
		return fmt.Errorf("run invalidator: %w", err)
	}
	return nil
}

func (i *Invalidator) shouldRetry(p middleware.RetryParams) bool {
	if isPoison(p.Err) || errors.Is(p.Err, errSettling) {
		return false
	}
	i.stats.retries.Add(1)
	return true
}
