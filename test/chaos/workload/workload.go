package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/pkg/client"
)

// Workload is a workload of one domain. Make one with [New].
type Workload struct {
	cfg      Config
	mix      Mix
	origin   *origin
	observer *observer
	seeing   *client.Client // the observer's member
	members  []*embedded

	value  atomic.Int64 // the last that was given out
	events atomic.Int64

	mu       sync.Mutex
	ops      []Op
	accepted map[string]time.Duration
	commits  map[string][]Fence // of rows that are committed before they are fenced
	awaited  map[string][]awaited
	surges   map[Surge]time.Duration // until when
	herd     int                     // how often the herd was let loose
	kept     map[string]map[int64]bool
	keptErr  string
}

// awaited is a fence that an event will bring.
type awaited struct {
	key   string
	fence Fence
}

// New joins the domain. The fleet has to be there, and to have created it. Close
// ends what it started.
func New(ctx context.Context, c Config) (*Workload, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Workload{
		cfg: c, mix: c.Mix.withDefaults(), accepted: map[string]time.Duration{}, commits: map[string][]Fence{},
		awaited: map[string][]awaited{}, surges: map[Surge]time.Duration{},
	}
	w.observer = newObserver(w.now)
	if w.mix.ReadOnly {
		w.observer.partitions = 1 // nobody judges what is read
		return w, nil
	}
	if err := w.join(ctx); err != nil {
		return nil, errors.Join(err, w.Close(context.WithoutCancel(ctx)))
	}
	return w, nil
}

func (w *Workload) join(ctx context.Context) (err error) {
	if w.origin, err = openOrigin(ctx, w.cfg.Dir, w.now); err != nil {
		return err
	}
	open := func(name, nats, redis string, change func(*client.Config)) (*client.Client, error) {
		cc := client.Config{
			Domain: w.cfg.Domain, NATSURL: nats, RedisURL: redis, NodeID: name, L1Size: 4 << 20, L3Size: 64 << 20, DiskCache: 4 << 20,
			DataDir: filepath.Join(w.cfg.Dir, name), DefaultTTL: time.Hour, LoadTimeout: 5 * time.Second, Logger: w.cfg.Logger.With("member", name),
		}
		change(&cc)
		c, err := client.Open(ctx, cc)
		if err != nil {
			return nil, fmt.Errorf("join as %s: %w", name, err)
		}
		return c, nil
	}
	// The number of partitions is needed before the first record is applied, and
	// known to whoever has joined.
	first, err := open("scout", w.cfg.NATSURL, w.cfg.RedisURL, func(c *client.Config) { c.Guest, c.DataDir = true, "" })
	if err != nil {
		return err
	}
	w.observer.partitions = max(1, int(first.Node().Settings().Partitions))
	if w.cfg.Lease == 0 {
		w.cfg.Lease = first.Node().Settings().Lease
	}
	if err := first.Close(ctx); err != nil {
		return err
	}
	w.seeing, err = open("observer", w.cfg.NATSURL, w.cfg.RedisURL, func(c *client.Config) { c.Guest, c.DataDir, c.OnApply = true, "", w.observer.apply })
	if err != nil {
		return err
	}
	w.observer.begin()
	for i := range w.mix.Embedded {
		nats, redis := w.cfg.NATSURL, w.cfg.RedisURL
		if w.cfg.Embedded != nil {
			nats, redis = w.cfg.Embedded(i)
		}
		name := EmbeddedName(i)
		c, err := open(name, nats, redis, func(*client.Config) {})
		if err != nil {
			return err
		}
		w.members = append(w.members, &embedded{name, c, w.origin})
	}
	return nil
}

// EmbeddedName is the i-th embedded client's name among the members.
func EmbeddedName(i int) string { return fmt.Sprintf("client-%d", i+1) }

func (w *Workload) now() time.Duration { return time.Since(w.cfg.Begun) }

// Run lets the clients act until ctx is done, and waits for what they have
// begun. Run it once.
func (w *Workload) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for id := range w.mix.Clients {
		all.Go(func() { newCaller(w, id).run(ctx) })
	}
	if w.seeing != nil {
		resolve, done := context.WithCancel(context.WithoutCancel(ctx))
		var resolver sync.WaitGroup
		resolver.Go(func() { w.resolve(resolve) })
		defer resolver.Wait()
		defer done()
	}
	all.Wait()
	return nil
}

// resolve ends brackets whose writers did not.
func (w *Workload) resolve(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			within, done := context.WithTimeout(ctx, 10*time.Second)
			for _, r := range w.origin.markers.ResolveOverdue(within, w.seeing) {
				w.cfg.Logger.Info("bracket was overdue", "outcome", r.Outcome, "error", r.Err)
			}
			done()
		case <-ctx.Done():
			return
		}
	}
}

// Settled waits until the fences of all accepted events were seen, and then reads
// what the log has kept. Call it when Run has returned.
func (w *Workload) Settled(ctx context.Context) error {
	err := w.awaitFences(ctx)
	reading, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer done()
	kept, failed := w.readKept(reading)
	// Servers that were all killed may still elect who answers.
	for again := time.NewTicker(time.Second); failed != nil && reading.Err() == nil; <-again.C {
		kept, failed = w.readKept(reading)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept = kept; failed != nil {
		w.keptErr = failed.Error() // the judge says so
	}
	return err
}

func (w *Workload) awaitFences(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := w.unfenced()
		if missing == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d domain events were accepted and have no fence: %w", missing, ctx.Err())
		}
	}
}

func (w *Workload) unfenced() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observer.mu.Lock()
	defer w.observer.mu.Unlock()
	for id := range w.accepted {
		if w.observer.fenced[id] == 0 {
			n++
		}
	}
	return n
}

// Close leaves the domain.
func (w *Workload) Close(ctx context.Context) error {
	var errs []error
	for _, m := range w.members {
		errs = append(errs, m.client.Close(ctx))
	}
	if w.seeing != nil {
		errs = append(errs, w.seeing.Close(ctx))
	}
	if w.origin != nil {
		errs = append(errs, w.origin.Close())
	}
	return errors.Join(errs...)
}

// Record returns what was written down so far, in a form that no longer changes.
func (w *Workload) Record() Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.observer
	o.mu.Lock()
	defer o.mu.Unlock()
	r := Record{
		Fences: map[string][]Fence{}, Places: o.order, Epochs: o.epochs, Accepted: w.accepted, Fenced: o.fenced,
		Partitions: o.partitions, Lease: w.cfg.Lease, Kept: w.kept, KeptErr: w.keptErr,
	}
	for key, fences := range o.fences {
		if l := LaneOf(key); l == Register || l == Everywhere {
			r.Fences[key] = append([]Fence(nil), fences...)
		}
	}
	for key, fences := range w.commits {
		r.Fences[key] = append(r.Fences[key], fences...)
	}
	for id, all := range w.awaited {
		for _, a := range all {
			if at, ok := o.fenced[id]; ok {
				a.fence.Landed = at
				r.Fences[a.key] = append(r.Fences[a.key], a.fence)
			}
		}
	}
	for _, op := range w.ops {
		if l := op.Lane(); l == Register || l == Everywhere {
			at, known := o.placeOf(w.partition(op.Key), op.since, op.Seen)
			op.Seen, op.Unplaced = at, !known
		}
		r.Ops = append(r.Ops, op)
	}
	if w.origin != nil {
		w.origin.mu.Lock()
		r.Loads = append(r.Loads, w.origin.loads...)
		w.origin.mu.Unlock()
	}
	return r
}
