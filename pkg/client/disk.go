package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/node/ondisk"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/pack"
)

// maxUnreleased is how many disks that died may stay behind in this process,
// with their memory, because a call of the operating system's never came back.
const maxUnreleased = 8

// diskTier is the disk tier, and the next one when it was lost.
type diskTier struct {
	cfg    disk.Config
	packer *pack.Packer

	mu         sync.Mutex
	store      *disk.Store // nil: there is none now
	closed     bool
	unreleased int
}

// open opens the disk tier. A disk that has no room for it, or fails, is no
// reason not to start: then there is none, and the node asks again. A directory
// that is in use, or a setting that breaks a rule, is.
func (d *diskTier) open() error {
	_, err := d.renew(context.Background())
	if errors.Is(err, disk.ErrLocked) || errors.Is(err, ErrInvalid) {
		return err
	}
	if err != nil {
		d.cfg.Logger.Error("disk tier can't be opened", "error", err)
	}
	return nil
}

// now returns the disk tier of this moment, nil if there is none.
func (d *diskTier) now() *disk.Store {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store
}

// port returns the disk tier for the node, nil if there is none.
func (d *diskTier) port() node.Disk {
	s := d.now()
	if s == nil {
		return nil
	}
	return packedDisk{ondisk.Disk{Store: s}, d.packer}
}

// restore closes the disk tier, has f write what it is to hold, and opens it
// again. The first error is f's.
func (d *diskTier) restore(f func(disk.Config) error) (restored, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.cfg.Logger.Warn("disk tier did not close well before a snapshot takes its place", "error", err)
		}
		d.store = nil
	}
	restored = f(d.cfg)
	d.store, err = disk.Open(d.cfg)
	return restored, err
}

// renew releases the disk that was lost, if there was one, and opens another. It
// implements node.Deps.NewDisk.
func (d *diskTier) renew(context.Context) (node.Disk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.New("disk tier was closed")
	}
	if s := d.store; s != nil {
		d.store = nil
		if err := s.Close(); err != nil {
			d.cfg.Logger.Warn("disk tier that was lost left something behind", "error", err)
		}
		if !s.Released() {
			d.unreleased++
		}
	}
	if d.unreleased >= maxUnreleased {
		return nil, fmt.Errorf("%d disk tiers have died in this process and keep their memory; it needs a restart", d.unreleased)
	}
	s, err := disk.Open(d.cfg)
	if err != nil {
		return nil, err
	}
	d.store = s
	return packedDisk{ondisk.Disk{Store: s}, d.packer}, nil
}

func (d *diskTier) stats() disk.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.store == nil {
		return disk.Stats{}
	}
	return d.store.Stats()
}

// close closes the disk tier for good.
func (d *diskTier) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}
