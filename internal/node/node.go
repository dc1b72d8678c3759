package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/clock"
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Node serves one domain in this process. Build it with [New], then [Node.Run]
// it; it answers from its copies once it is [Node.Ready]. All methods but Run
// are safe for concurrent use.
type Node struct {
	cfg         Config
	incarnation events.Incarnation
	memory      Memory
	disk        Disk    // nil: none
	drives      *drives // disk, if a lost one can be replaced; else nil
	shared      Shared
	witness     Witness
	clock       clock.Clock
	deps        Deps
	logger      *slog.Logger

	parts []*partition
	// lease is the domain's, less what a reading of the clock may be old.
	lease time.Duration

	ready   chan struct{} // closed when the join gate was passed everywhere
	running atomic.Bool
	// listening is when Run began, in waiter time.
	listening atomic.Int64
	// leaving is set before Leave is sent: serving has ended for good (C5).
	leaving atomic.Bool
	// stopped is closed when Run returns; life ends when it begins to.
	stopped chan struct{}
	life    context.Context
	endLife context.CancelFunc

	switches switches
	policies policies
	gate     *Gate // of the origin
	airborne airborne
	turns    turns
	crew     crew
	peers    Peers // nil: pulses alone confirm
	// questions has room for each question that waits.
	questions chan struct{}
	keeper    keeper
	audit     auditor

	replicas Replicas // nil: no copies are exchanged
	owners   owners
	copier   copier
	fetches  chan struct{} // one token for each question to owners
	repairs  chan struct{} // the same for each copy on its way back into Redis

	stats   counters
	steps   sync.Pool
	readyMu sync.Mutex
}

// New builds a node on deps. It starts nothing, but reads the disk's
// checkpoint.
func New(deps Deps, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	deps, err := deps.validate(cfg)
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg:         cfg,
		incarnation: deps.Incarnation,
		memory:      deps.Memory,
		disk:        deps.Disk,
		shared:      deps.Shared,
		witness:     deps.Witness,
		clock:       deps.Clock,
		deps:        deps,
		logger:      deps.Logger.With("node", string(cfg.Node)),
		lease:       cfg.Settings.Lease - clock.Resolution,
		ready:       make(chan struct{}),
		stopped:     make(chan struct{}),
		policies:    newPolicies(cfg),
		gate:        newGate(cfg.loads(), deps.Clock.Waiter),
		turns:       turns{shared: deps.Turns, line: deps.Line},
		peers:       deps.Peers,
		questions:   make(chan struct{}, maxQuestions),
		replicas:    deps.Replicas,
		fetches:     make(chan struct{}, maxFetches),
		repairs:     make(chan struct{}, maxRepairs),
	}
	if mutant.On(mutant.NoWitness) {
		n.witness = nil
	}
	if deps.NewDisk != nil {
		n.drives = newDrives(n.disk, cfg.Settings.Partitions)
		n.disk = n.drives
	}
	n.fitSwitches()
	n.life, n.endLife = context.WithCancel(context.Background())
	n.keeper.init()
	n.airborne.init(cfg.loads())
	n.audit.init(n)
	n.copier.init()
	n.steps.New = func() any { return new([]coherence.Step) }
	for i := range cfg.Settings.Partitions {
		p := &partition{n: n, index: i, log: deps.Logs[i], out: deps.Committers[i], versions: make(map[string]uint64)}
		p.fresh.Store(never)
		p.pulses.init()
		p.flights.init()
		if err := p.restore(); err != nil {
			return nil, err
		}
		n.parts = append(n.parts, p)
	}
	for _, t := range cfg.TiersOff {
		if err := n.SwitchOff(t); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// restore takes up what the disk has kept of the partition, or begins anew.
func (p *partition) restore() error {
	p.world = coherence.New()
	if p.n.disk == nil {
		p.blind.Store(true)
		p.mirror()
		return nil
	}
	p.batch = p.n.disk.Batch(p.index)
	state, err := p.n.disk.Meta(p.index, metaState)
	if err == nil && state != nil {
		var broad []coherence.BroadFence
		if err = p.n.disk.Broad(p.index, func(f coherence.BroadFence) error {
			broad = append(broad, f)
			return nil
		}); err == nil {
			var w *coherence.World
			if w, err = coherence.Restore(state, func(yield func(coherence.BroadFence) bool) {
				for _, f := range broad {
					if !yield(f) {
						return
					}
				}
			}); err == nil {
				p.world = w
			}
		}
	}
	if errors.Is(err, coherence.ErrState) {
		// What can't be read can't be trusted: the copies go with it.
		p.n.logger.Warn("checkpoint is unusable; starting from the log's beginning", "partition", p.index, "error", err)
		p.batch.DropValues()
		err = p.batch.Commit()
	}
	if err != nil {
		p.loseDisk(err)
		p.batch = nil
	}
	p.guardSince.Store(uint64(p.world.Applied()))
	p.applied.Store(uint64(p.world.Applied()))
	p.mirror()
	return nil
}

// begin notes when this node began to listen: who was heard only before counts
// as heard now.
func (p *partition) begin() {
	if mutant.On(mutant.SkipJoinGate) || mutant.On(mutant.RestoredServesAtOnce) && p.world.Applied() > 0 {
		p.fresh.Store(p.n.clock.Now().Holder)
	}
	p.strangersUntil.Store(p.n.clock.Waiter() + int64(p.n.cfg.Settings.LeaseWait()))
}

// Run follows the log, pulses and serves until ctx is done; then it stops
// serving, leaves, waits for what it started and returns nil. A node runs
// once. Any other return is a fault that it can't go on with.
func (n *Node) Run(ctx context.Context) error {
	if n.running.Swap(true) {
		return fmt.Errorf("node: runs already or has run")
	}
	defer close(n.stopped)

	// The log is followed until the Leave was sent, so it outlives ctx.
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	g, following := errgroup.WithContext(following)
	n.listening.Store(n.clock.Waiter())
	for _, p := range n.parts {
		p.begin()
		g.Go(func() error { return p.follow(following) })
		g.Go(func() error { return p.beat(following) })
	}
	g.Go(func() error { return n.keeper.run(following) })
	if n.disk != nil {
		g.Go(func() error { return n.syncNowAndThen(following) })
	}
	if n.drives != nil {
		g.Go(func() error { return n.renewDisks(following) })
	}
	if n.audit.every != 0 {
		g.Go(func() error { return n.audit.run(following) })
	}
	if n.deps.Auditors != nil {
		g.Go(func() error { return n.deps.Auditors.Advise(following, n.incarnation, n.audit.opinion) })
	}
	if n.peers != nil {
		g.Go(func() error { return n.peers.Listen(following, n.incarnation, n.asked, n.confirmed) })
	}
	if n.replicas != nil {
		g.Go(func() error { return n.place(following) })
		g.Go(func() error { return n.copier.run(following, n) })
		g.Go(func() error { return n.replicas.Listen(following, n.cfg.Node, n.received, n.answer) })
	}

	if n.turns.line != nil {
		g.Go(func() error { return n.turns.line.Serve(following, n.incarnation, n.turns.announced, n.turnAsked) })
	}

	var fault error
	select {
	case <-ctx.Done():
	case <-following.Done():
	}
	n.leave()        // nothing is served from here on, then the others are told
	n.endLife()      // loads end: whoever waits for one gets an error
	stopFollowing()  // the loops end
	fault = g.Wait() // the disk's batches were theirs until now
	n.crew.dismiss() // nothing that the node has started outlives it
	if n.disk != nil {
		if err := n.disk.Sync(); err != nil {
			n.logger.Warn("last sync of the disk failed; the next start replays more", "error", err)
		}
	}
	if errors.Is(fault, context.Canceled) {
		return nil
	}
	return fault
}

// syncNowAndThen bounds what a restart has to replay: batches are committed
// unsynced, and the disk may hold back the last of them even from a process
// that is killed.
func (n *Node) syncNowAndThen(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Settings.PulseInterval())
	defer tick.Stop()
	for synced := uint64(0); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if now := n.stats.applied.Load(); now != synced {
			// A disk that fails is noticed by who commits to it.
			if err := n.disk.Sync(); err == nil {
				synced = now
			}
		}
	}
}

// leaveTimeout bounds the farewell of a node whose log does not answer.
const leaveTimeout = time.Second

// leave ends serving for good, then says so: a writer that hears it need not
// wait for this node's lease.
func (n *Node) leave() {
	n.leaving.Store(!mutant.On(mutant.ServeAfterLeave))
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range n.parts {
		if !mutant.On(mutant.ServeAfterLeave) {
			p.fresh.Store(never)
		}
		p.waiters.wake()
		all.Go(func() {
			c := p.pulseNow(0)
			c.Leave = true
			if _, _, err := p.out.Append(ctx, c); err != nil {
				n.logger.Info("left without saying so; writers wait for the lease", "partition", p.index, "error", err)
			}
		})
	}
	all.Wait()
}

// Ready returns a channel that is closed once every partition has applied its
// log up to this incarnation's first pulse (the join gate, P31): from then on
// the node may serve.
func (n *Node) Ready() <-chan struct{} { return n.ready }

func (n *Node) noteJoined() {
	n.readyMu.Lock()
	defer n.readyMu.Unlock()
	for _, p := range n.parts {
		if p.fresh.Load() == never {
			return
		}
	}
	select {
	case <-n.ready:
	default:
		close(n.ready)
	}
}

// Serving returns nil if the node may answer from its copies in every
// partition at this moment, and otherwise why not, as an error that wraps
// [ErrNotServing].
func (n *Node) Serving() error {
	if n.leaving.Load() {
		return fmt.Errorf("%w: it is stopping", ErrNotServing)
	}
	now := n.clock.Now().Holder
	for _, p := range n.parts {
		fresh := p.fresh.Load()
		if fresh == never {
			return fmt.Errorf("%w: partition %d has not joined its log", ErrNotServing, p.index)
		}
		if age := time.Duration(now - fresh); age >= n.lease {
			return fmt.Errorf("%w: partition %d is cut off from its log, fresh as of %v ago with a lease of %v",
				ErrNotServing, p.index, age.Round(time.Millisecond), n.cfg.Settings.Lease)
		}
	}
	return nil
}

// Token returns what this node's session has seen: every partition's applied
// position.
func (n *Node) Token() consistency.Token {
	var t consistency.Token
	for _, p := range n.parts {
		t = t.With(p.index, p.point())
	}
	return t
}

// Members returns every incarnation that announced itself in the domain's log
// and has not left, as partition 0 tells it.
func (n *Node) Members() []coherence.Member {
	p := n.parts[0]
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []coherence.Member
	for m := range p.world.Members() {
		out = append(out, m)
	}
	return out
}

// Settings returns the domain's settings.
func (n *Node) Settings() events.Settings { return n.cfg.Settings }

func (n *Node) of(key string) *partition {
	return n.parts[Partition(key, len(n.parts))]
}

// Epoch returns the present epoch of the partition that key lies in; zero if
// it is not known yet.
func (n *Node) Epoch(key string) events.Epoch { return events.Epoch(n.of(key).epoch.Load()) }
