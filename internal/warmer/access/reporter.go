package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/warmer/wire"
)

// Publisher sends an encoded [wire.Summary] to the warmers of the domain. It
// must not keep data, and must not block for longer than its ctx allows.
type Publisher interface {
	PublishAccess(ctx context.Context, data []byte) error
}

// Config shapes a [Reporter]. Zero fields take their defaults.
type Config struct {
	// Node names the reporting node; required.
	Node events.NodeID
	// Sample is how many reads one sampled read stands for; default 16.
	// Larger: cheaper reads, rarer keys go unseen.
	Sample int
	// Window is how often a summary goes out; default 1 s, at most 1 h.
	Window time.Duration
	// Keys is how many keys a window gathers at most; default 16384. Of those
	// the most read go into the summary.
	Keys int
	// Report is how many keys a summary names at most; default 512, at most
	// [wire.MaxReads].
	Report int
}

// ErrConfig reports a configuration that breaks a rule.
var ErrConfig = errors.New("invalid access reporter configuration")

const (
	shards        = 64 // a power of two: contention between sampled reads
	defaultSample = 16
	defaultKeys   = 16_384
	defaultReport = 512
)

// Reporter samples reads. Its methods are safe for concurrent use; Run may run
// once at a time.
type Reporter struct {
	config Config
	out    Publisher
	shards [shards]shard

	sampled, dropped, summaries, lost atomic.Uint64
}

type shard struct {
	mu    sync.Mutex
	reads map[string]*read // len <= Keys/shards
	_     [40]byte         // neighbours don't share a cache line
}

type read struct {
	count uint64
	tags  []string
}

// New returns a reporter that publishes to out once it runs.
func New(out Publisher, c Config) (*Reporter, error) {
	c.Sample = cmp.Or(c.Sample, defaultSample)
	c.Window = cmp.Or(c.Window, time.Second)
	c.Keys = cmp.Or(c.Keys, defaultKeys)
	c.Report = cmp.Or(c.Report, defaultReport)
	switch {
	case c.Node == "" || len(c.Node) > events.MaxNodeID:
		return nil, fmt.Errorf("%w: node id of %d bytes, want 1 to %d", ErrConfig, len(c.Node), events.MaxNodeID)
	case c.Sample < 1 || c.Sample > 1<<20:
		return nil, fmt.Errorf("%w: sample %d, want 1 to %d", ErrConfig, c.Sample, 1<<20)
	case c.Window < time.Millisecond || c.Window > wire.MaxWindow:
		return nil, fmt.Errorf("%w: window %v, want 1ms to %v", ErrConfig, c.Window, wire.MaxWindow)
	case c.Keys < shards || c.Keys > 1<<20:
		return nil, fmt.Errorf("%w: keys %d, want %d to %d", ErrConfig, c.Keys, shards, 1<<20)
	case c.Report < 1 || c.Report > wire.MaxReads:
		return nil, fmt.Errorf("%w: report %d, want 1 to %d", ErrConfig, c.Report, wire.MaxReads)
	}
	r := &Reporter{config: c, out: out}
	for i := range r.shards {
		r.shards[i].reads = make(map[string]*read)
	}
	return r, nil
}

// Touch counts a read of key, if chance picks it. The key is not kept.
func (r *Reporter) Touch(key string) {
	if r.Picked() {
		r.Record(key, nil)
	}
}

// Picked draws whether this read is one of the sampled ones. Callers that have
// to gather a copy's tags first ask it, and call [Reporter.Record] if so.
func (r *Reporter) Picked() bool {
	// The top-level generator draws from the thread's own state.
	return r.config.Sample == 1 || rand.Uint32N(uint32(r.config.Sample)) == 0
}

// Record counts a picked read of key, whose copy carried tags (as far as they
// are known; of more than [wire.MaxTags] the first are kept). Neither is kept.
func (r *Reporter) Record(key string, tags []string) {
	r.sampled.Add(1)
	s := &r.shards[xxh3.HashString(key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen := s.reads[key]; seen != nil {
		seen.count++
		if len(seen.tags) == 0 {
			seen.tags = cloneTags(tags)
		}
		return
	}
	if len(s.reads) >= r.config.Keys/shards {
		r.dropped.Add(1)
		return
	}
	s.reads[strings.Clone(key)] = &read{count: 1, tags: cloneTags(tags)}
}

func cloneTags(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	out := make([]string, min(len(tags), wire.MaxTags))
	for i := range out {
		out[i] = strings.Clone(tags[i])
	}
	return out
}

// Run publishes a summary of each window in which something was read, until
// ctx is done; it returns ctx's error. What the last window gathered is
// dropped: whoever stops has nothing to say about what will be read.
func (r *Reporter) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.config.Window)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		r.flush(ctx)
	}
}

func (r *Reporter) flush(ctx context.Context) {
	reads := r.take()
	if len(reads) == 0 {
		return
	}
	s := wire.Summary{Node: r.config.Node, Window: max(r.config.Window.Truncate(time.Millisecond), time.Millisecond), Reads: reads}
	data, err := s.Append(nil)
	if err != nil {
		r.lost.Add(1) // a key that breaks the limits was read
		return
	}
	// A window is all the patience there is: the next summary is newer.
	ctx, cancel := context.WithTimeout(ctx, r.config.Window)
	defer cancel()
	if err := r.out.PublishAccess(ctx, data); err != nil {
		r.lost.Add(1)
		return
	}
	r.summaries.Add(1)
}

// take empties the shards and returns the most read keys, as many as fit into
// one message.
func (r *Reporter) take() []wire.Read {
	var all []wire.Read
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		reads := s.reads
		if len(reads) == 0 {
			// It stays the recorders', so it can't be looked at without the lock.
			s.mu.Unlock()
			continue
		}
		s.reads = make(map[string]*read, len(reads))
		s.mu.Unlock()
		for key, v := range reads {
			all = append(all, wire.Read{Key: key, Count: v.count * uint64(r.config.Sample), Tags: v.tags})
		}
	}
	slices.SortFunc(all, func(a, b wire.Read) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	room := wire.MaxMessage - 1024 // version, node, window and headers take less
	n := 0
	for n < len(all) && n < r.config.Report {
		if room -= all[n].Size(); room < 0 {
			break
		}
		n++
	}
	return all[:n]
}

// Counters are what a reporter did since it was made.
type Counters struct {
	// Sampled reads, and those of them that found their window full.
	Sampled, Dropped uint64
	// Summaries published, and those that could not be.
	Summaries, Lost uint64
}

// Counters returns the current counts.
func (r *Reporter) Counters() Counters {
	return Counters{
		Sampled: r.sampled.Load(), Dropped: r.dropped.Load(),
		Summaries: r.summaries.Load(), Lost: r.lost.Load(),
	}
}
