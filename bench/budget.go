package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/disk"
)

const (
	// budget is what the disk may take, budgetKeys how many keys are put.
	budgetBytes = 256 << 20
	budgetKeys  = 2_000_000
	// budgetBatch is how many puts share a commit, as they do when a node
	// applies a busy log.
	budgetBatch = 64
)

// runBudget puts many times as much as the disk tier's budget has room for, and
// reads meanwhile. A file's room is counted as the file system gives it out.
func runBudget(ctx context.Context, b *bench) error {
	var files owner
	defer files.release()
	dir := files.TempDir()
	cfg := disk.Config{Dir: dir, Budget: budgetBytes, CacheBytes: blocks}
	s, err := disk.Open(cfg)
	if err != nil {
		return err
	}
	key := func(i uint64) string { return prefix + strconv.FormatUint(10_000_000+i, 10) }

	watching, stop := context.WithCancel(ctx)
	var side sync.WaitGroup
	var most atomic.Int64
	side.Go(func() {
		for watching.Err() == nil {
			most.Store(max(most.Load(), roomOf(dir)))
			time.Sleep(5 * time.Millisecond)
		}
	})
	var took []time.Duration
	var hits int
	var readErr error
	side.Go(func() {
		random := rand.New(rand.NewPCG(2, 3))
		popular := rand.NewZipf(random, 1.1, 8, budgetKeys-1)
		buf := make([]byte, 0, 2048)
		for watching.Err() == nil && readErr == nil {
			k := key(popular.Uint64())
			began := time.Now()
			found, err := s.Lookup(k, buf)
			took = append(took, time.Since(began))
			switch {
			case err != nil:
				readErr = err
			case found.Entry != nil && (found.Entry.Key() != k || found.Entry.Birth() < found.Fence.Hard):
				readErr = wrong("disk", k, found.Entry)
			case found.Entry != nil:
				hits++
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	began := time.Now()
	err = b.putThrough(ctx, s, key)
	spent := time.Since(began)
	stop()
	side.Wait()
	stats := s.Stats()
	if err = errors.Join(err, readErr, s.Close()); err != nil {
		return err
	}
	began = time.Now()
	if s, err = disk.Open(cfg); err != nil {
		return err
	}
	_, err = s.Lookup(key(1), nil)
	restart := time.Since(began)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	note := fmt.Sprintf("%d puts of 1 KiB, %d MiB", b.puts, budgetBytes>>20)
	b.say("%.0f puts/s; %.1f of 100 reads found a value; %d evicted, %d not stored, %d stalls of the disk",
		float64(b.puts)/spent.Seconds(), 100*float64(hits)/float64(len(took)), stats.Evicted, stats.Unkept, stats.Stalls)
	b.add(row{Name: "values not stored, of 100 put", Unit: count, Ours: 100 * float64(stats.Unkept) / float64(b.puts),
		Note: fmt.Sprintf("%d of %d; %.0f puts/s", stats.Unkept, b.puts, float64(b.puts)/spent.Seconds())})
	b.add(row{Name: "most on disk against the budget", Note: note, Unit: size, Ours: float64(most.Load()), Raw: budgetBytes,
		Ratio: float64(most.Load()) / budgetBytes, Rounds: 1, Target: 1.1})
	b.add(row{Name: "read, p99, against 5 ms", Note: note, Unit: nanoseconds, Ours: float64(quantile(took, 0.99)), Raw: 5e6,
		Ratio: float64(quantile(took, 0.99)) / 5e6, Rounds: 1, Target: 1})
	b.add(row{Name: "restart, against 2 s", Note: note, Unit: nanoseconds, Ours: float64(restart), Raw: 2e9,
		Ratio: float64(restart) / 2e9, Rounds: 1, Target: 1})
	return nil
}

// budgetPace is how many values a second are put. As fast as a processor can,
// nearly all would be left out, since pebble is behind then: the budget would be
// held by a store that takes nothing.
const budgetPace = 50_000

// putThrough puts b.puts values of 1 KiB, to keys of even popularity.
func (b *bench) putThrough(ctx context.Context, s *disk.Store, key func(uint64) string) error {
	random := rand.New(rand.NewPCG(1, 2))
	batch := s.Batch(0)
	began := time.Now()
	for i := 0; i < b.puts; {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / budgetPace)))
		for range budgetBatch {
			i++
			n := random.Uint64N(budgetKeys)
			from := random.IntN(len(noise) - 1024)
			h := tiers.Header{Key: key(n), Epoch: 1, Birth: events.Position(i), Created: time.Now()}
			e, err := tiers.Append(nil, &h, noise[from:from+1024])
			if err != nil {
				return err
			}
			batch.PutEntry(e)
		}
		if err := errors.Join(batch.Commit(), ctx.Err()); err != nil {
			return err
		}
		if i%(budgetBatch*10_000) == 0 {
			b.say("%d puts", i)
		}
	}
	return nil
}

// roomOf is how many bytes the files under dir take.
func roomOf(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go
		}
		if i, err := d.Info(); err == nil {
			size := i.Size()
			if st, ok := i.Sys().(*syscall.Stat_t); ok {
				size = max(size, st.Blocks*512)
			}
			sum += size
		}
		return nil
	})
	return sum
}
