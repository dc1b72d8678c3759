package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/coocood/freecache"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/memory"
)

const (
	// hitEntry is what a copy takes in freecache's rings, its header included.
	hitEntry = 256
	// fewestHeld is the least that the caches of part hits hold: freecache has
	// 256 segments, each a cache of its own, which must not be too small. A
	// trace whose share is less is run as so many copies of itself side by side,
	// with keys of their own, which changes no policy's hit ratio.
	fewestHeld = 20_000
	// mostAsked bounds a run; a trace that would need more is left out.
	mostAsked = 40_000_000
	// hitTicks is how often freecache's clock moves while as many keys are asked
	// for as the cache holds.
	hitTicks = 64
)

// holder is a cache in part hits. key is valid during the call only.
type holder interface {
	// asks reports whether key is there, and puts it in if not.
	asks(key string) (bool, error)
	close()
}

// contestants are the caches compared, ours last. All hold n copies: those that
// count bytes have room for just as many.
var contestants = []struct {
	name string
	make func(n int, clock *uint32) (holder, error)
}{
	{"otter", newOtter},
	{"ristretto", newRistretto},
	{"freecache", newPlain},
	{"tercet", newOurs},
}

// hitRow is one trace at one size: hit ratios in percent.
type hitRow struct {
	Trace  string             `json:"trace"`
	Share  int                `json:"share_percent"`
	Held   int                `json:"held"`
	Copies int                `json:"copies"`
	Ratios map[string]float64 `json:"hit_ratio_percent"`
	Anchor float64            `json:"s3fifo_anchor_percent"`
}

// behind is how many points the best of the others is ahead of ours.
func (r hitRow) behind() float64 {
	return max(r.Anchor, r.Ratios["otter"], r.Ratios["ristretto"]) - r.Ratios["tercet"]
}

// runHits plays recorded traces to the memory tier and to others, at equal
// capacity.
func runHits(ctx context.Context, b *bench) error {
	if b.traces == "" {
		b.say("left out: -traces names no directory of recorded traces")
		return nil
	}
	anchor, err := anchors(b.traces)
	if err != nil {
		return err
	}
	var behind []float64
	worst := math.Inf(1)
	for _, t := range traces {
		keys, err := t.load(b.traces)
		if err != nil {
			return err
		}
		for _, share := range []int{1, 10} {
			r, err := playTrace(ctx, keys, share)
			if err != nil {
				return err
			}
			if r.Ratios == nil {
				b.say("%s at %d %%: left out, the trace is too long for a cache that small", t.name, share)
				continue
			}
			r.Trace, r.Share, r.Anchor = t.name, share, anchor[t.name][share]
			b.out.Hits = append(b.out.Hits, r)
			b.say("%s at %d %%: %v, S3-FIFO's anchor %.1f", t.name, share, r.text(), r.Anchor)
			behind = append(behind, r.behind())
			worst = min(worst, r.Ratios["tercet"]-r.Ratios["freecache"])
		}
	}
	slices.Sort(behind)
	b.add(row{Name: "points above plain freecache, the worst trace", Unit: points, Ours: worst, Least: new(float64)})
	b.add(row{Name: "points behind the best of otter, ristretto and S3-FIFO, the median trace", Unit: points,
		Ours: behind[len(behind)/2], Most: &medianBehind})
	return nil
}

// medianBehind is how far behind the best of the others the median trace may be.
var medianBehind = 1.0

func (r hitRow) text() (s string) {
	for _, c := range contestants {
		s += fmt.Sprintf("%s %.2f ", c.name, r.Ratios[c.name])
	}
	return s
}

// playTrace plays keys to caches for share percent of them. Ratios are nil if
// that would take too long.
func playTrace(ctx context.Context, keys []uint64, share int) (hitRow, error) {
	distinct := make(map[uint64]struct{})
	for _, k := range keys {
		distinct[k] = struct{}{}
	}
	n := max(1, len(distinct)*share/100)
	r := hitRow{Copies: (fewestHeld + n - 1) / n}
	r.Held = n * r.Copies
	if len(keys)*r.Copies > mostAsked {
		return r, nil
	}
	r.Ratios = make(map[string]float64)
	for _, c := range contestants {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		var clock uint32
		h, err := c.make(r.Held, &clock)
		if err != nil {
			return r, err
		}
		hits, asked := 0, 0
		var key [16]byte
		for _, k := range keys {
			binary.LittleEndian.PutUint64(key[:], k)
			for i := range r.Copies {
				binary.LittleEndian.PutUint64(key[8:], uint64(i))
				clock = uint32(asked * hitTicks / r.Held)
				hit, err := h.asks(unsafe.String(&key[0], len(key)))
				if err != nil {
					return r, err
				}
				if asked++; hit {
					hits++
				}
			}
		}
		h.close()
		r.Ratios[c.name] = 100 * float64(hits) / float64(asked)
	}
	return r, nil
}

// fixed is a clock that moves when it is told to.
type fixed struct{ at *uint32 }

func (f fixed) Now() uint32 { return *f.at }

type plainHolder struct {
	f     *freecache.Cache
	value []byte
	buf   []byte
}

func newPlain(n int, clock *uint32) (holder, error) {
	return &plainHolder{
		f:     freecache.NewCacheCustomTimer(n*hitEntry, fixed{clock}),
		value: make([]byte, hitEntry-24-16), buf: make([]byte, hitEntry),
	}, nil
}

func (h *plainHolder) asks(key string) (bool, error) {
	k := unsafe.Slice(unsafe.StringData(key), len(key))
	if _, err := h.f.GetWithBuf(k, h.buf); err == nil {
		return true, nil
	}
	return false, h.f.Set(k, h.value, 0)
}

func (h *plainHolder) close() {}

type ourHolder struct {
	c       *memory.Cache
	scratch []byte
	buf     []byte
}

func newOurs(n int, clock *uint32) (holder, error) {
	c, err := memory.New(memory.Config{Bytes: n * hitEntry, Ticks: func() uint32 { return *clock }})
	return &ourHolder{c: c, scratch: make([]byte, 0, hitEntry), buf: make([]byte, hitEntry)}, err
}

func (h *ourHolder) asks(key string) (bool, error) {
	if _, ok := h.c.Lookup(key, h.buf); ok {
		return true, nil
	}
	header := tiers.Header{Key: key, Epoch: 1, Birth: 1}
	size := hitEntry - 24 - 16
	e, err := tiers.Append(h.scratch[:0], &header, h.buf[:size-tiers.EncodedLen(&header, 0)])
	if err != nil {
		return false, err
	}
	return false, h.c.Put(e)
}

func (h *ourHolder) close() {}

type otterHolder struct {
	c *otter.Cache[string, struct{}]
}

func newOtter(n int, _ *uint32) (holder, error) {
	c, err := otter.New(&otter.Options[string, struct{}]{MaximumSize: n, Executor: func(f func()) { f() }})
	return otterHolder{c}, err
}

func (h otterHolder) asks(key string) (bool, error) {
	if _, ok := h.c.GetIfPresent(key); ok {
		return true, nil
	}
	h.c.Set(string([]byte(key)), struct{}{})
	return false, nil
}

func (h otterHolder) close() { h.c.StopAllGoroutines() }

type ristrettoHolder struct {
	c *ristretto.Cache[string, struct{}]
}

func newRistretto(n int, _ *uint32) (holder, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, struct{}]{
		NumCounters: int64(10 * n), MaxCost: int64(n), BufferItems: 64, IgnoreInternalCost: true,
	})
	return ristrettoHolder{c}, err
}

func (h ristrettoHolder) asks(key string) (bool, error) {
	if _, ok := h.c.Get(key); ok {
		return true, nil
	}
	h.c.Set(string([]byte(key)), struct{}{}, 1)
	h.c.Wait() // it works behind its caller's back
	return false, nil
}

func (h ristrettoHolder) close() { h.c.Close() }
