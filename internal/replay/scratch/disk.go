package scratch

import (
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// diskPort gives the disk tier the node's words.
type diskPort struct{ *disk.Store }

var _ node.Disk = diskPort{}

func (d diskPort) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	f, err := d.Store.Lookup(key, dst)
	return f.Fence, f.Entry, err
}

func (d diskPort) Batch(partition int) node.Batch { return batchPort{d.Store.Batch(partition)} }

func (d diskPort) Broad(partition int, fn func(coherence.BroadFence) error) error {
	return d.Store.Broad(partition, func(kind byte, name string, f tiers.Fence) error {
		return fn(coherence.BroadFence{Kind: coherence.Kind(kind), Name: name, Fence: coherence.Fence(f)})
	})
}

type batchPort struct{ *disk.Batch }

func (b batchPort) FenceBroad(f coherence.BroadFence) {
	b.Batch.FenceBroad(byte(f.Kind), f.Name, tiers.Fence(f.Fence))
}

func (b batchPort) DropBroad(kind coherence.Kind, name string) { b.Batch.DropBroad(byte(kind), name) }

func (b batchPort) SoftenKey(key string, p events.Position) error { return b.Batch.SoftenKey(key, p) }
