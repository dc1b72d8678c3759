package node_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/raptorflow/tercet/internal/clock/clocktest"
	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/events/memlog"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/node/ondisk"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
)

const lease = 5 * time.Second

// fleet is a domain in one bubble of virtual time: its log, its shared tier and
// its nodes.
type fleet struct {
	t        *testing.T
	stream   *memlog.Stream   // of the partition of key k, which most tests are about
	others   []*memlog.Stream // of the other partitions
	settings events.Settings
	shared   *sharedTier    // nil: nodes have none
	witness  *memoryWitness // nil: nodes have none
	carrier  *carrier       // nil: nodes exchange no copies
	started  int
}

// inFleet runs test in virtual time and in a domain of one partition. It is for
// tests that several would only repeat, or that set their number; all others
// call inDomains.
func inFleet(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	clocktest.Bubble(t, func(t *testing.T) {
		s := events.DefaultSettings()
		s.Lease = lease
		test(t, &fleet{t: t, stream: memlog.NewStream(), settings: s})
	})
}

// home is the partition of stream.
func (f *fleet) home() int { return node.Partition("k", f.settings.Partitions) }

// near returns the first of name, name0, name1, … that lies in k's partition.
func (f *fleet) near(name string) string {
	key := name
	for i := 0; node.Partition(key, f.settings.Partitions) != f.home(); i++ {
		key = fmt.Sprint(name, i)
	}
	return key
}

// member is a node with what it stands on.
type member struct {
	*node.Node
	t       *testing.T
	fleet   *fleet
	id      events.NodeID
	log     *memlog.Log   // of f.stream
	others  []*memlog.Log // of f.others
	commit  *groupcommit.Committer
	commits []*groupcommit.Committer // of f.others
	clock   *clocktest.Clock
	fs      *vfs.MemFS
	disk    *disk.Store
	memory  *memory.Cache
	cancel  context.CancelFunc
	done    chan struct{}
	fault   error
	once    sync.Once
}

// options vary how a member is built.
type options struct {
	fs     *vfs.MemFS // of an earlier life
	noDisk bool
	wrap   func(node.Disk) node.Disk
	faults memlog.Faults
	config func(*node.Config)
	deps   func(*node.Deps)
	// early: don't wait until the node is ready.
	early bool
}

func (f *fleet) start(name string, o options) *member {
	f.t.Helper()
	f.started++
	m := &member{t: f.t, fleet: f, id: events.NodeID(name), log: f.stream.Connect(o.faults), clock: clocktest.New(), fs: o.fs, done: make(chan struct{})}
	var incarnation events.Incarnation
	copy(incarnation[:], name)
	binary.BigEndian.PutUint32(incarnation[12:], uint32(f.started))
	m.commit = must(groupcommit.New(m.log, groupcommit.Config{Publisher: incarnation}))(f.t)
	partition := func(key string) int { return node.Partition(key, f.settings.Partitions) }
	m.memory = must(memory.New(memory.Config{
		Bytes: memory.MinBytes, GuardSlots: 1 << 12, Partitions: f.settings.Partitions, Partition: partition,
	}))(f.t)
	deps := node.Deps{
		Memory: m.memory, Clock: m.clock, Incarnation: incarnation, Random: rand.Reader,
		Logger: slog.New(slog.NewTextHandler(f.t.Output(), nil)),
	}
	for i := range f.settings.Partitions {
		log, commit := m.log, m.commit
		if i != f.home() {
			if len(f.others) == len(m.others) {
				f.others = append(f.others, memlog.NewStream())
			}
			log = f.others[len(m.others)].Connect(o.faults)
			commit = must(groupcommit.New(log, groupcommit.Config{Publisher: incarnation}))(f.t)
			m.others, m.commits = append(m.others, log), append(m.commits, commit)
		}
		deps.Logs, deps.Committers = append(deps.Logs, log), append(deps.Committers, commit)
	}
	if !o.noDisk {
		if m.fs == nil {
			m.fs = vfs.NewCrashableMem()
		}
		m.disk = must(disk.Open(disk.Config{
			FS: m.fs, Dir: "l3", CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Partitions: f.settings.Partitions, Partition: partition,
		}))(f.t)
		deps.Disk = ondisk.Disk{Store: m.disk}
		if o.wrap != nil {
			deps.Disk = o.wrap(deps.Disk)
		}
	}
	if f.shared != nil {
		deps.Shared = f.shared
	}
	if f.witness != nil {
		deps.Witness = f.witness
	}
	if f.carrier != nil {
		deps.Replicas = f.carrier
	}
	cfg := node.Config{Node: events.NodeID(name), Settings: f.settings}
	if o.config != nil {
		o.config(&cfg)
	}
	if o.deps != nil {
		o.deps(&deps)
	}
	m.Node = must(node.New(deps, cfg))(f.t)
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(m.done)
		m.fault = m.Run(ctx)
	}()
	f.t.Cleanup(m.stop)
	if !o.early {
		m.awaitReady()
	}
	return m
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (m *member) awaitReady() {
	m.t.Helper()
	select {
	case <-m.Ready():
	case <-m.done:
		m.t.Fatalf("node ended: %v", m.fault)
	case <-time.After(10 * lease):
		m.t.Fatalf("node is not ready: %v", m.Serving())
	}
}

// freshDisk opens an empty disk in memory, in dir.
func (f *fleet) freshDisk(dir string) *disk.Store {
	f.t.Helper()
	d := must(disk.Open(disk.Config{
		FS: vfs.NewMem(), Dir: dir, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Partitions: f.settings.Partitions,
		Partition: func(key string) int { return node.Partition(key, f.settings.Partitions) },
	}))(f.t)
	f.t.Cleanup(func() { _ = d.Close() })
	return d
}

// stop ends the node in good order.
func (m *member) stop() {
	m.once.Do(func() {
		m.cancel()
		<-m.done
		m.commit.Close()
		m.log.Close()
		for i := range m.others {
			m.commits[i].Close()
			m.others[i].Close()
		}
		if m.disk != nil {
			_ = m.disk.Close() // one that died says so; that is a test's doing
		}
	})
}

// sync makes what the node's disk has taken survive a crash.
func (m *member) sync() {
	m.t.Helper()
	if err := m.disk.Sync(); err != nil {
		m.t.Fatal(err)
	}
}

// crash ends the node without a word to the log and returns its file system as
// it finds it again: with the given share of what was written but not synced.
// What pebble still holds in its own buffer is lost in any case.
func (m *member) crash(unsyncedPercent int) *vfs.MemFS {
	left := m.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: unsyncedPercent, RNG: mathrand.New(mathrand.NewPCG(1, uint64(unsyncedPercent))),
	})
	m.cut()
	m.stop()
	return left
}

// cut takes the node off the log of every partition.
func (m *member) cut() {
	m.log.Cut()
	for _, l := range m.others {
		l.Cut()
	}
}

// heal ends a cut.
func (m *member) heal() {
	m.log.Heal()
	for _, l := range m.others {
		l.Heal()
	}
}

func (m *member) get(key string, o node.ReadOptions) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := m.Get(ctx, key, nil, o)
	if err != nil {
		return "", err
	}
	return string(r.Entry.Payload()), nil
}

// wants fails the test unless a read from the cache yields value; "" means that
// it has to miss.
func (m *member) wants(key, value string) {
	m.t.Helper()
	got, err := m.get(key, node.ReadOptions{})
	switch {
	case value == "" && !errors.Is(err, node.ErrNotFound):
		m.t.Fatalf("%s: %q, %v; want a miss", key, got, err)
	case value != "" && (err != nil || got != value):
		m.t.Fatalf("%s: %q, %v; want %q", key, got, err, value)
	}
}

func (m *member) put(key, value string) consistency.Token {
	m.t.Helper()
	return must(m.Put(context.Background(), key, []byte(value), node.PutOptions{}))(m.t)
}

func (m *member) invalidate(scope events.Scope) consistency.Token {
	m.t.Helper()
	return must(m.Invalidate(context.Background(), events.Invalidate{Scope: scope}, node.InvalidateOptions{}))(m.t)
}

// loads is a loader that answers with a value.
func loads(value string, tags ...string) node.Loader {
	return func(context.Context, string) (node.Loaded, error) {
		return node.Loaded{Payload: []byte(value), Tags: tags}, nil
	}
}

// pass lets virtual time pass.
func (f *fleet) pass(d time.Duration) { time.Sleep(d) }

// await lets time pass until cond holds.
func (f *fleet) await(what string, cond func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * lease); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("in vain: %s", what)
		}
	}
}

// trim leaves nothing in the log but a pulse or two of those who still run.
func (f *fleet) trim() {
	f.t.Helper()
	time.Sleep(lease)
	_, last := f.stream.Bounds()
	f.stream.Trim(last - 1)
}

// caughtUp waits until m has applied all of every log and serves.
func (f *fleet) caughtUp(m *member) {
	f.t.Helper()
	f.await("the node to serve what the log says", func() bool {
		if m.Serving() != nil {
			return false
		}
		others := f.others
		for i, p := range m.Stats().Partitions {
			stream := f.stream
			if i != f.home() {
				stream, others = others[0], others[1:]
			}
			if _, last := stream.Bounds(); p.Applied < last {
				return false
			}
		}
		return true
	})
	synctest.Wait() // until what was applied is on disk too
}

// sharedTier is an L2 in a map. It keeps whatever it is given last: authority
// is not its business.
type sharedTier struct {
	mu      sync.Mutex
	entries map[string]tiers.Entry
}

func newSharedTier() *sharedTier { return &sharedTier{entries: map[string]tiers.Entry{}} }

func (s *sharedTier) Get(_ context.Context, key string, _ []byte) (tiers.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[key]; ok {
		return append(tiers.Entry(nil), e...), nil
	}
	return nil, tiers.ErrMiss
}

func (s *sharedTier) Put(_ context.Context, e tiers.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[strings.Clone(e.Key())] = append(tiers.Entry(nil), e...)
	return nil
}

func (s *sharedTier) Remove(_ context.Context, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.entries, k)
	}
	return nil
}

func (s *sharedTier) Clear(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.entries)
	return nil
}

// backup returns what the tier holds, to be restored later.
func (s *sharedTier) backup() map[string]tiers.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.entries)
}

func (s *sharedTier) restore(b map[string]tiers.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = maps.Clone(b)
}

// memoryWitness is a witness that never fails.
type memoryWitness struct {
	mu   sync.Mutex
	kept map[int]node.Testimony // by partition
}

func (w *memoryWitness) Read(_ context.Context, partition int) (node.Testimony, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept[partition], nil
}

func (w *memoryWitness) Raise(_ context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept[partition].Yields(from, to) {
		if w.kept == nil {
			w.kept = map[int]node.Testimony{}
		}
		w.kept[partition] = to
	}
	return w.kept[partition], nil
}

// appends puts a change into the log past the node's own calls.
func (m *member) appends(c events.Change) error {
	_, _, err := m.commit.Append(context.Background(), c)
	return err
}
