package sim

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
)

// drive is a machine's disk. What was committed is visible at once; what was
// not synced when the machine crashes is kept up to a random commit.
type drive struct {
	mu      sync.Mutex
	writer  sync.Mutex // one commit or fill at a time; held before mu
	now     *content
	durable *content
	pending []func(*content)
	backups []*content
	broken  bool
	made    int // how many disks came before this one
}

type content struct{ parts []part }

type part struct {
	rows     map[string]row
	versions map[string]uint64
	broad    map[string]coherence.BroadFence
	meta     map[string][]byte
	// floor is the fence of keys without a row.
	floor events.Position
}

// row returns what is known of a key.
func (c *part) row(key string) row {
	if r, ok := c.rows[key]; ok {
		return r
	}
	return row{fence: tiers.Fence{Hard: c.floor, Soft: c.floor}}
}

// evict drops the rows of keys, as a disk does that has no room for them: their
// fences go into the floor.
func (c *part) evict(keys []string) {
	for _, k := range keys {
		f := c.row(k).fence
		c.floor = max(c.floor, f.Hard, f.Soft)
		delete(c.rows, k)
	}
}

type row struct {
	fence tiers.Fence
	entry tiers.Entry
}

func newContent(partitions int) *content {
	c := &content{}
	for range partitions {
		c.parts = append(c.parts, part{
			rows: map[string]row{}, versions: map[string]uint64{},
			broad: map[string]coherence.BroadFence{}, meta: map[string][]byte{},
		})
	}
	return c
}

func (c *content) clone() *content {
	out := &content{}
	for _, p := range c.parts {
		out.parts = append(out.parts, part{
			rows: maps.Clone(p.rows), versions: maps.Clone(p.versions),
			broad: maps.Clone(p.broad), meta: maps.Clone(p.meta), floor: p.floor,
		})
	}
	return out
}

func newDrive(partitions int) *drive {
	return &drive{now: newContent(partitions), durable: newContent(partitions)}
}

func (d *drive) commit(change func(*content)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.now)
	d.pending = append(d.pending, change)
}

func (d *drive) sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(len(d.pending))
}

// keep makes the first n pending commits durable. It needs mu.
func (d *drive) keep(n int) {
	for _, change := range d.pending[:n] {
		change(d.durable)
	}
	d.pending = append([]func(*content){}, d.pending[n:]...)
}

// crash loses a tail of what was not synced, and returns how much.
func (d *drive) crash(roll *dice) (lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(roll.n(len(d.pending) + 1))
	lost = len(d.pending)
	d.pending = nil
	d.now = d.durable.clone()
	return lost
}

func (d *drive) backUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.backups = append(d.backups, d.now.clone())
}

// backup returns a random backup; nil if there is none.
func (d *drive) backup(roll *dice) *content {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.backups) == 0 {
		return nil
	}
	return pick(roll, d.backups)
}

// restore puts another content in the place of everything.
func (d *drive) restore(c *content) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.durable, d.pending = c.clone(), c.clone(), nil
}

// replace puts an empty disk in the place of one that broke.
func (d *drive) replace(partitions int) {
	d.restore(newContent(partitions))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = false
	d.made++
}

// diskPort is one process's use of a disk in its machine's drive.
type diskPort struct {
	p    *process
	d    *drive
	made int // which of its disks
}

// use returns the process's port to the disk that is in the drive now.
func (d *drive) use(p *process) *diskPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &diskPort{p: p, d: d, made: d.made}
}

// renew is how a process gets another disk; not at the first attempt, as a rule.
func (d *drive) renew(p *process) (node.Disk, error) {
	if p.isDead() || p.roll.chance(0.5) {
		return nil, tiers.ErrUnavailable
	}
	p.w.trace.add(p.m.name, "gets another disk")
	p.w.count.strike("disk: another one")
	d.replace(p.w.plan.settings.Partitions)
	return d.use(p), nil
}

var _ node.Disk = (*diskPort)(nil)

// failed reports the drive's or the process's end; a dead process changes
// nothing any more.
func (x *diskPort) failed() error {
	if x.p.isDead() {
		return tiers.ErrUnavailable
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	if x.d.broken || x.made != x.d.made {
		return tiers.ErrUnavailable
	}
	return nil
}

func (x *diskPort) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	x.p.nap(x.p.roll, 300*time.Microsecond)
	if err := x.failed(); err != nil {
		return tiers.Fence{}, nil, err
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	r := x.d.now.parts[x.p.partition(key)].row(key)
	if r.entry == nil {
		return r.fence, nil, nil
	}
	return r.fence, append(tiers.Entry(dst[:0]), r.entry...), nil
}

func (x *diskPort) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	x.p.nap(x.p.roll, time.Millisecond)
	if err := x.failed(); err != nil {
		return err
	}
	e = append(tiers.Entry(nil), e...)
	key := e.Header().Key
	x.d.writer.Lock()
	defer x.d.writer.Unlock()
	x.d.mu.Lock()
	r := x.d.now.parts[partition].row(key)
	x.d.mu.Unlock()
	newer := r.entry != nil && r.entry.Epoch() == e.Epoch() && r.entry.Birth() > e.Birth()
	if e.Birth() < r.fence.Hard || newer || !alive(r.fence) {
		return tiers.ErrOutdated
	}
	x.d.commit(func(c *content) {
		r := c.parts[partition].row(key)
		r.entry = e
		c.parts[partition].rows[key] = r
	})
	return nil
}

func (x *diskPort) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	for _, e := range es {
		if err := x.Fill(partition, e, func(f tiers.Fence) bool { return alive(e, f) }); errors.Is(err, tiers.ErrUnavailable) {
			return err
		}
	}
	return nil
}

func (x *diskPort) Version(key string) (uint64, bool, error) {
	if err := x.failed(); err != nil {
		return 0, false, err
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	v, ok := x.d.now.parts[x.p.partition(key)].versions[key]
	return v, ok, nil
}

func (x *diskPort) Batch(partition int) node.Batch { return &diskBatch{x: x, partition: partition} }

func (x *diskPort) Meta(partition int, name string) ([]byte, error) {
	if err := x.failed(); err != nil {
		return nil, err
	}
	x.d.mu.Lock()
	defer x.d.mu.Unlock()
	return x.d.now.parts[partition].meta[name], nil
}

func (x *diskPort) Broad(partition int, fn func(coherence.BroadFence) error) error {
	x.d.mu.Lock()
	broad := maps.Clone(x.d.now.parts[partition].broad)
	x.d.mu.Unlock()
	for _, f := range broad {
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

func (x *diskPort) Remove(partition int, keys ...string) error {
	if err := x.failed(); err != nil {
		return err
	}
	x.d.writer.Lock()
	defer x.d.writer.Unlock()
	x.d.commit(func(c *content) {
		for _, k := range keys {
			if r, ok := c.parts[partition].rows[k]; ok {
				r.entry = nil
				c.parts[partition].rows[k] = r
			}
		}
	})
	return nil
}

func (x *diskPort) Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (string, error) {
	x.d.mu.Lock()
	var found []tiers.Entry
	for k, r := range x.d.now.parts[partition].rows {
		if r.entry != nil && k >= from {
			found = append(found, r.entry)
		}
	}
	x.d.mu.Unlock()
	for _, e := range found {
		if !fn(e) {
			break
		}
	}
	return "", x.failed()
}

func (x *diskPort) Sync() error {
	if err := x.failed(); err != nil {
		return err
	}
	x.d.sync()
	return nil
}

// evicting is how likely a commit is followed by an eviction.
const evicting = 0.02

// evict drops some rows of a partition. Whoever calls holds writer.
func (x *diskPort) evict(partition int) {
	x.d.mu.Lock()
	keys := slices.Sorted(maps.Keys(x.d.now.parts[partition].rows))
	x.d.mu.Unlock()
	keys = slices.DeleteFunc(keys, func(string) bool { return x.p.roll.chance(0.5) })
	x.d.commit(func(c *content) { c.parts[partition].evict(keys) })
}

// diskBatch gathers changes of one partition.
type diskBatch struct {
	x         *diskPort
	partition int
	changes   []func(*part)
}

func (b *diskBatch) add(f func(*part)) { b.changes = append(b.changes, f) }

func (b *diskBatch) FenceKey(key string, p events.Position) {
	b.add(func(c *part) { c.rows[key] = row{fence: tiers.Fence{Hard: p, Soft: p}} })
}

func (b *diskBatch) FencePut(key string, p events.Position) { b.FenceKey(key, p) }

func (b *diskBatch) SoftenKey(key string, p events.Position) error {
	b.add(func(c *part) {
		r := c.row(key)
		r.fence.Soft = max(r.fence.Soft, p)
		c.rows[key] = r
	})
	return nil
}

func (b *diskBatch) PutEntry(e tiers.Entry) {
	e = append(tiers.Entry(nil), e...)
	key := e.Header().Key
	b.add(func(c *part) {
		c.rows[key] = row{fence: tiers.Fence{Hard: e.Birth(), Soft: e.Birth()}, entry: e}
	})
}

func (b *diskBatch) SetVersion(key string, v uint64) {
	b.add(func(c *part) { c.versions[key] = v })
}

func (b *diskBatch) FenceBroad(f coherence.BroadFence) {
	b.add(func(c *part) { c.broad[string(rune(f.Kind))+f.Name] = f })
}

func (b *diskBatch) DropBroad(kind coherence.Kind, name string) {
	b.add(func(c *part) { delete(c.broad, string(rune(kind))+name) })
}

func (b *diskBatch) DropValues() {
	b.add(func(c *part) {
		clear(c.rows)
		clear(c.versions)
		clear(c.broad)
		c.floor = 0
	})
}

func (b *diskBatch) Forget(p events.Position) {
	b.add(func(c *part) { c.floor = max(c.floor, p) })
}

func (b *diskBatch) SetMeta(name string, blob []byte) {
	blob = append([]byte(nil), blob...)
	b.add(func(c *part) { c.meta[name] = blob })
}

func (b *diskBatch) Commit() error {
	b.x.p.nap(b.x.p.slow, 2*time.Millisecond)
	if err := b.x.failed(); err != nil {
		return err
	}
	changes := b.changes
	b.changes = nil
	b.x.d.writer.Lock()
	defer b.x.d.writer.Unlock()
	b.x.d.commit(func(c *content) {
		for _, f := range changes {
			f(&c.parts[b.partition])
		}
	})
	if b.x.p.w.strikes(b.x.p.roll, evicting, "disk: evicted") {
		b.x.evict(b.partition)
	}
	return nil
}
