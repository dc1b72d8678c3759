package node

import (
	"fmt"
	"sync/atomic"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/tiers"
)

// drives is the disk of a node that can get another one: to each partition the
// disk that was handed over to it, and none while it has lost one and the next
// is not filled. Whoever read blind before the loss, and comes here after it,
// must not find a disk that lacks fences.
type drives struct {
	parts []atomic.Pointer[Disk]
	// lost has a token when a partition has lost its disk.
	lost chan struct{}
}

var _ Disk = (*drives)(nil)

var errNoDrive = fmt.Errorf("%w: there is no disk, or it is not filled yet", tiers.ErrUnavailable)

func newDrives(d Disk, partitions int) *drives {
	x := &drives{parts: make([]atomic.Pointer[Disk], partitions), lost: make(chan struct{}, 1)}
	for i := range x.parts {
		if d != nil {
			x.parts[i].Store(&d)
		}
	}
	return x
}

func (x *drives) note() {
	select {
	case x.lost <- struct{}{}:
	default:
	}
}

func (x *drives) at(partition int) (Disk, error) {
	if d := x.parts[partition].Load(); d != nil {
		return *d, nil
	}
	return nil, errNoDrive
}

func (x *drives) of(key string) (Disk, error) { return x.at(Partition(key, len(x.parts))) }

func (x *drives) Lookup(key string, dst []byte) (tiers.Fence, tiers.Entry, error) {
	d, err := x.of(key)
	if err != nil {
		return tiers.Fence{}, nil, err
	}
	return d.Lookup(key, dst)
}

func (x *drives) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	d, err := x.at(partition)
	if err != nil {
		return err
	}
	return d.Fill(partition, e, alive)
}

func (x *drives) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	d, err := x.at(partition)
	if err != nil {
		return err
	}
	return d.FillAll(partition, es, alive)
}

func (x *drives) Version(key string) (uint64, bool, error) {
	d, err := x.of(key)
	if err != nil {
		return 0, false, err
	}
	return d.Version(key)
}

// Batch is asked for at the start; nil without a disk.
func (x *drives) Batch(partition int) Batch {
	if d, err := x.at(partition); err == nil {
		return d.Batch(partition)
	}
	return nil // whoever asked is about to learn why
}

func (x *drives) Meta(partition int, name string) ([]byte, error) {
	d, err := x.at(partition)
	if err != nil {
		return nil, err
	}
	return d.Meta(partition, name)
}

func (x *drives) Broad(partition int, fn func(coherence.BroadFence) error) error {
	d, err := x.at(partition)
	if err != nil {
		return err
	}
	return d.Broad(partition, fn)
}

func (x *drives) Remove(partition int, keys ...string) error {
	d, err := x.at(partition)
	if err != nil {
		return err
	}
	return d.Remove(partition, keys...)
}

func (x *drives) Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (string, error) {
	d, err := x.at(partition)
	if err != nil {
		return "", err
	}
	return d.Scan(partition, from, limit, fn)
}

// Sync syncs the disk that the partitions share, if any of them has it.
func (x *drives) Sync() error {
	for i := range x.parts {
		if d, err := x.at(i); err == nil {
			return d.Sync()
		}
	}
	return errNoDrive
}
