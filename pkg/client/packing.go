package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/seal"
	"github.com/raptorflow/tercet/internal/turn"
)

// Compression says what becomes of values outside of this process's memory.
type Compression string

const (
	// CompressAuto makes smaller what gets smaller by a tenth: JSON and text of
	// 1 KiB and more, by what the bytes look like. The default.
	CompressAuto Compression = "auto"
	// CompressOff leaves values as they are. What others have compressed is read
	// all the same.
	CompressOff Compression = "off"
)

// SealKeys are keys under which values are sealed outside of this process's
// memory; see [ParseSealKeys]. The zero value: none, and nothing is sealed.
// Printed, they show their ids.
type SealKeys struct{ ring *seal.Ring }

// String tells the keys' ids.
func (k SealKeys) String() string {
	if k.ring == nil {
		return "no seal keys"
	}
	return k.ring.String()
}

// GoString is String: no verb prints a key.
func (k SealKeys) GoString() string { return k.String() }

// ParseSealKeys reads keys as id:key, separated by commas or lines, the key 32
// bytes in base64 or hexadecimal. The first seals, all of them open. It fails
// with [ErrInvalid].
func ParseSealKeys(text string) (SealKeys, error) {
	r, err := seal.Parse(text)
	return SealKeys{r}, err
}

// ReadSealKeys is [ParseSealKeys] of a file.
func ReadSealKeys(path string) (SealKeys, error) {
	r, err := seal.ReadFile(path)
	if err == nil && r == nil {
		err = fmt.Errorf("%w seal keys: %s holds none", ErrInvalid, path)
	}
	return SealKeys{r}, err
}

func (c *Client) buildPacker() (err error) {
	switch c.cfg.Compression {
	case CompressAuto, CompressOff:
	default:
		return fmt.Errorf("%w compression %q: want %s or %s", ErrInvalid, c.cfg.Compression, CompressAuto, CompressOff)
	}
	c.packer, err = pack.New(pack.Config{
		Domain: c.cfg.Domain, Keys: c.cfg.SealKeys.ring, Plain: c.cfg.Compression == CompressOff,
		Dictionaries: c.cfg.Dictionaries, MaxPayload: c.cfg.MaxValue,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// The ports below pack what leaves this process's memory, and open what comes
// back: the node, and memory, hold values as they are returned. What does not
// open counts as not found.

// packedShared is the shared tier behind a packer.
type packedShared struct {
	tiers.Tier
	p *pack.Packer
}

var _ tiers.ManyGetter = packedShared{}

func (t packedShared) Get(ctx context.Context, key string, dst []byte) (tiers.Entry, error) {
	e, err := t.Tier.Get(ctx, key, dst)
	if err != nil {
		return nil, err
	}
	if e, err = t.p.Open(e); err != nil {
		return nil, t.refuse(ctx, key)
	}
	return e, nil
}

// Advice implements node.Adviser.
func (t packedShared) Advice() []string {
	if a, ok := t.Tier.(node.Adviser); ok {
		return a.Advice()
	}
	return nil
}

// refuse removes a copy that does not open, so that it is not fetched again.
func (t packedShared) refuse(ctx context.Context, key string) error {
	if err := t.Tier.Remove(ctx, key); err != nil && !errors.Is(err, tiers.ErrUnavailable) {
		return err
	}
	return tiers.ErrMiss
}

func (t packedShared) GetMany(ctx context.Context, keys []string) ([]tiers.Entry, error) {
	es, err := tiers.GetMany(ctx, t.Tier, keys)
	for i, e := range es {
		if e == nil {
			continue
		}
		if es[i], _ = t.p.Open(e); es[i] == nil { // counted there
			_ = t.refuse(ctx, keys[i])
		}
	}
	return es, err
}

func (t packedShared) Put(ctx context.Context, e tiers.Entry) error {
	return t.Tier.Put(ctx, t.p.Pack(e))
}

// packedDisk is the disk tier behind a packer. A copy that does not open leaves
// the fence beside it.
type packedDisk struct {
	node.Disk
	p *pack.Packer
}

func (d packedDisk) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	f, e, err := d.Disk.Lookup(key, dst)
	if e != nil {
		e, _ = d.p.Open(e) // counted there
	}
	return f, e, err
}

func (d packedDisk) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	return d.Disk.Fill(partition, d.p.Pack(e), alive)
}

func (d packedDisk) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	packed := make([]tiers.Entry, len(es))
	for i, e := range es {
		packed[i] = d.p.Pack(e)
	}
	return d.Disk.FillAll(partition, packed, alive) // which goes by headers
}

func (d packedDisk) Batch(partition int) node.Batch {
	return packedBatch{d.Disk.Batch(partition), d.p}
}

func (d packedDisk) Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (string, error) {
	return d.Disk.Scan(partition, from, limit, func(e tiers.Entry) bool {
		e, err := d.p.Open(e)
		return err != nil || fn(e)
	})
}

type packedBatch struct {
	node.Batch
	p *pack.Packer
}

func (b packedBatch) PutEntry(e tiers.Entry) { b.Batch.PutEntry(b.p.Pack(e)) }

var (
	_ node.Disk  = packedDisk{}
	_ node.Batch = packedBatch{}
)

// packedReplicas carries packed copies.
type packedReplicas struct {
	node.Replicas
	p *pack.Packer
}

func (r packedReplicas) pack(s node.Shipment) node.Shipment {
	packed := make([]tiers.Entry, len(s.Entries))
	for i, e := range s.Entries {
		packed[i] = r.p.Pack(e)
	}
	s.Entries = packed
	return s
}

func (r packedReplicas) open(s node.Shipment) node.Shipment {
	var opened []tiers.Entry
	for _, b := range s.Entries {
		if b = r.p.OpenBytes(b); b != nil {
			opened = append(opened, b)
		}
	}
	s.Entries = opened
	return s
}

func (r packedReplicas) Send(ctx context.Context, to events.NodeID, s node.Shipment) error {
	return r.Replicas.Send(ctx, to, r.pack(s))
}

func (r packedReplicas) Fetch(ctx context.Context, from events.NodeID, partition int, keys []string) (node.Shipment, error) {
	s, err := r.Replicas.Fetch(ctx, from, partition, keys)
	return r.open(s), err
}

func (r packedReplicas) Listen(ctx context.Context, self events.NodeID, keep func(node.Shipment), answer func(context.Context, int, []string) node.Shipment) error {
	return r.Replicas.Listen(ctx, self,
		func(s node.Shipment) { keep(r.open(s)) },
		func(ctx context.Context, partition int, keys []string) node.Shipment {
			return r.pack(answer(ctx, partition, keys))
		})
}

// packedTurns opens the copies that lie in Redis beside a turn.
type packedTurns struct {
	node.Turns
	p *pack.Packer
}

func (t packedTurns) Take(ctx context.Context, r turn.Request) (turn.Answer, error) {
	a, err := t.Turns.Take(ctx, r)
	if a.Copy != nil {
		a.Copy = t.p.OpenBytes(a.Copy)
	}
	return a, err
}

func (t packedTurns) TakeMany(ctx context.Context, rs []turn.Request) []turn.Taken {
	all := t.Turns.TakeMany(ctx, rs)
	for i := range all {
		if all[i].Copy != nil {
			all[i].Copy = t.p.OpenBytes(all[i].Copy)
		}
	}
	return all
}

// packedLine carries packed values beside announcements. An owner keeps them
// as the loader had them.
type packedLine struct {
	node.Line
	p *pack.Packer
}

func (l packedLine) pack(f *turn.Filled) *turn.Filled {
	if f == nil || f.Entry == nil {
		return f
	}
	packed := *f
	packed.Entry = l.p.Pack(f.Entry)
	return &packed
}

func (l packedLine) open(f *turn.Filled) *turn.Filled {
	if f == nil || f.Entry == nil {
		return f
	}
	opened := *f
	opened.Entry = l.p.OpenBytes(f.Entry)
	return &opened
}

func (l packedLine) Announce(f turn.Filled) error { return l.Line.Announce(*l.pack(&f)) }

func (l packedLine) Request(ctx context.Context, to events.Incarnation, q node.TurnRequest) (node.TurnReply, error) {
	q.Filled = l.pack(q.Filled)
	a, err := l.Line.Request(ctx, to, q)
	a.Answer.Filled = l.open(a.Answer.Filled)
	return a, err
}

func (l packedLine) Serve(ctx context.Context, self events.Incarnation, filled func(turn.Filled), asked func(node.TurnRequest) node.TurnReply) error {
	return l.Line.Serve(ctx, self,
		func(f turn.Filled) { filled(*l.open(&f)) },
		func(q node.TurnRequest) node.TurnReply {
			q.Filled = l.open(q.Filled)
			a := asked(q)
			a.Answer.Filled = l.pack(a.Answer.Filled)
			return a
		})
}
