// Package ondisk gives the disk tier (internal/tiers/disk) the node's words. The
// tier stores fences as bytes and positions and knows nothing of what they mean;
// the node knows no technology. Who wires a node to a disk puts this between.
//
// It keeps no state: the promises of [disk.Store] about concurrency and ownership
// of slices are those of the port, too.
package ondisk

import (
	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

// Disk is a store as a [node.Disk].
type Disk struct{ *disk.Store }

var _ node.Disk = Disk{}

// Lookup implements [node.Disk].
func (d Disk) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	f, err := d.Store.Lookup(key, dst)
	return f.Fence, f.Entry, err
}

// Batch implements [node.Disk].
func (d Disk) Batch(partition int) node.Batch { return batch{d.Store.Batch(partition)} }

// Broad implements [node.Disk].
func (d Disk) Broad(partition int, fn func(coherence.BroadFence) error) error {
	return d.Store.Broad(partition, func(kind byte, name string, f tiers.Fence) error {
		return fn(coherence.BroadFence{Kind: coherence.Kind(kind), Name: name, Fence: coherence.Fence(f)})
	})
}

type batch struct{ *disk.Batch }

func (b batch) FenceBroad(f coherence.BroadFence) {
	b.Batch.FenceBroad(byte(f.Kind), f.Name, tiers.Fence(f.Fence))
}

func (b batch) DropBroad(kind coherence.Kind, name string) { b.Batch.DropBroad(byte(kind), name) }

func (b batch) SoftenKey(key string, p events.Position) error { return b.Batch.SoftenKey(key, p) }
