package scratch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/groupcommit"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/node/ondisk"
	"github.com/raptorflow/tercet/internal/replay"
	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/internal/tiers/memory"
)

// Config says which past to run a node on.
type Config struct {
	// Settings are the domain's.
	Settings events.Settings
	// Sources hold the records of each partition, To where each ends.
	Sources []replay.Source
	To      []events.Position
	// Fill, if set, adds the rows that the node begins with, an image of a node of
	// the domain's at a place of each log that its source holds; it applies what
	// lies behind. Values are as they are in memory: not packed.
	Fill func(add func(partition int, r disk.Row) error) error
	// Bytes is the memory for copies, keys and headers; default 256 MiB. What
	// does not fit is evicted, and missed.
	Bytes int64
	// OnApply, if set, is told every record that was applied, as
	// [node.Config.OnApply].
	OnApply func(partition int, mark events.Mark, changes []events.Change)
	// Logger is told what an operator should know; default: nothing is said.
	Logger *slog.Logger
}

// Scratch is a node on a past. Build one with [Open].
type Scratch struct {
	node    *node.Node
	at      time.Time
	disk    *disk.Store
	commits []*groupcommit.Committer
	stop    context.CancelFunc
	done    chan error
}

// Open builds the node and returns once it has applied everything up to its
// place. ctx bounds that; [Scratch.Close] ends the node.
func Open(ctx context.Context, c Config) (*Scratch, error) {
	if len(c.Sources) != c.Settings.Partitions || len(c.To) != c.Settings.Partitions {
		return nil, fmt.Errorf("%w scratch: %d sources and %d places for %d partitions",
			events.ErrInvalid, len(c.Sources), len(c.To), c.Settings.Partitions)
	}
	if c.Bytes == 0 {
		c.Bytes = 256 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Scratch{done: make(chan error, 1)}
	if err := s.build(ctx, c); err != nil {
		return nil, fmt.Errorf("scratch node: %w", errors.Join(err, s.release()))
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- s.node.Run(running) }()
	select {
	case <-s.node.Ready():
		return s, nil
	case err := <-s.done:
		s.done <- err
		return nil, fmt.Errorf("scratch node: %w", errors.Join(err, s.Close()))
	case <-ctx.Done():
		return nil, fmt.Errorf("scratch node: %w", errors.Join(ctx.Err(), s.Close()))
	}
}

func (s *Scratch) build(ctx context.Context, c Config) error {
	// The latest of the partitions' ends is what time it is.
	for p, to := range c.To {
		m, err := c.Sources[p].MarkAt(ctx, to)
		if err != nil {
			return err
		}
		if t := time.Unix(0, m.Time); t.After(s.at) {
			s.at = t
		}
	}
	incarnation, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return err
	}
	now := newStopped(s.at)
	deps := node.Deps{Clock: now, Incarnation: incarnation, Logger: c.Logger}
	for p, source := range c.Sources {
		l, err := replay.Freeze(ctx, source, c.To[p], func() time.Time { return s.at })
		if err != nil {
			return err
		}
		commit, err := groupcommit.New(l, groupcommit.Config{Publisher: incarnation})
		if err != nil {
			return err
		}
		s.commits = append(s.commits, commit)
		deps.Logs = append(deps.Logs, l)
		deps.Committers = append(deps.Committers, commit)
	}
	partition := func(key string) int { return node.Partition(key, c.Settings.Partitions) }
	if deps.Memory, err = memory.New(memory.Config{Bytes: 1 << 20, Partitions: c.Settings.Partitions, Partition: partition}); err != nil {
		return err
	}
	store := disk.Config{
		Budget: c.Bytes, Partitions: c.Settings.Partitions, Partition: partition, Logger: c.Logger,
		Now: func() int64 { return now.Now().Unix },
	}.InMemory()
	if c.Fill != nil {
		if err := disk.Restore(store, c.Fill); err != nil {
			return err
		}
	}
	if s.disk, err = disk.Open(store); err != nil {
		return err
	}
	deps.Disk = ondisk.Disk{Store: s.disk}
	s.node, err = node.New(deps, node.Config{
		Node: "scratch", Settings: c.Settings, Guest: true, Replication: -1, LoadAlone: true, OnApply: c.OnApply,
	})
	return err
}

// Node returns the node, for those who read.
func (s *Scratch) Node() *node.Node { return s.node }

// At returns what time it is for the node: that of the last record that it was
// given.
func (s *Scratch) At() time.Time { return s.at }

// Close ends the node and forgets what it held.
func (s *Scratch) Close() error {
	if s.stop != nil {
		s.stop()
		if err := <-s.done; err != nil {
			return errors.Join(err, s.release())
		}
	}
	return s.release()
}

func (s *Scratch) release() error {
	for _, c := range s.commits {
		c.Close()
	}
	if s.disk == nil {
		return nil
	}
	return s.disk.Close()
}
