package snapshot

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

// Config says whose images a [Catalogue] holds.
type Config struct {
	// Domain is the domain's name. Its images lie under <domain>/ in the store.
	Domain string
	// Keys seal images, and open those that are sealed; nil: none.
	Keys *seal.Ring
	// BytesPerSecond bounds how fast rows are gathered, in bytes before they are
	// compressed, so that who makes an image serves on; 0: as fast as it goes.
	BytesPerSecond int
	// Now is the wall clock; default time.Now. It names images and judges ages.
	Now func() time.Time
	// Random names images too; default crypto/rand.
	Random io.Reader
}

// Catalogue is the images of one domain in a store. It keeps nothing between
// calls, and is safe for concurrent use, by other processes too.
type Catalogue struct {
	store Store
	cfg   Config
}

// NewCatalogue returns the catalogue of cfg.Domain in store.
func NewCatalogue(store Store, cfg Config) (*Catalogue, error) {
	if err := events.ValidateDomain(cfg.Domain); err != nil {
		return nil, err
	}
	if cfg.BytesPerSecond < 0 {
		return nil, fmt.Errorf("%w snapshot rate %d", events.ErrInvalid, cfg.BytesPerSecond)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	return &Catalogue{store: store, cfg: cfg}, nil
}

const (
	manifestSuffix = ".manifest"
	dataSuffix     = ".data"
	// mostBases is how many increments may stand on each other: each is one more
	// object to read.
	mostBases = 16
)

func (c *Catalogue) manifest(id string) string { return c.cfg.Domain + "/" + id + manifestSuffix }
func (c *Catalogue) data(id string) string     { return c.cfg.Domain + "/" + id + dataSuffix }

// Draft is what a new image is of.
type Draft struct {
	Node       string
	Kind       Kind
	Partitions []Place
	// Base, if set, makes an increment: what does not differ from the base, which
	// must be of the same kind, is not written again.
	Base *Manifest
}

// Create writes an image of the rows that rows yields, in their order
// ([RowKind], and before that the partitions'), until it is done or add returns
// an error, which it returns. The image is in the catalogue when Create returns
// nil, and else it is not.
func (c *Catalogue) Create(ctx context.Context, d Draft, rows func(add func(Row) error) error) (Manifest, error) {
	var random [4]byte
	if _, err := io.ReadFull(c.cfg.Random, random[:]); err != nil {
		return Manifest{}, err
	}
	now := c.cfg.Now()
	m := Manifest{
		ID: newID(now, random), Domain: c.cfg.Domain, Node: d.Node, Kind: d.Kind, Created: now.UTC().Truncate(time.Millisecond),
		Partitions: slices.Clone(d.Partitions), Sealed: c.cfg.Keys != nil,
	}
	if d.Base != nil {
		if d.Base.Kind != d.Kind || d.Base.Depth+1 > mostBases || len(d.Base.Partitions) != len(d.Partitions) {
			return m, fmt.Errorf("create snapshot: %w: %s can't be one of it", ErrNoBase, d.Base.ID)
		}
		m.Base, m.BaseSum, m.Depth = d.Base.ID, d.Base.Sum, d.Base.Depth+1
	}
	if err := c.writeData(ctx, &m, d.Base, rows); err != nil {
		// What was written has no manifest; it may as well go now.
		_ = c.store.Remove(context.WithoutCancel(ctx), c.data(m.ID))
		return m, fmt.Errorf("create snapshot %s: %w", m.ID, err)
	}
	object, err := AppendManifest(nil, m)
	if err == nil && len(object) > mostManifest {
		err = fmt.Errorf("%w: a manifest of %d bytes", events.ErrInvalid, len(object))
	}
	if err == nil {
		err = c.store.Put(ctx, c.manifest(m.ID), bytes.NewReader(object))
	}
	if err != nil {
		return m, fmt.Errorf("create snapshot %s: %w", m.ID, err)
	}
	return m, nil
}

// writeData streams the rows into the store and completes m by what came.
func (c *Catalogue) writeData(ctx context.Context, m *Manifest, base *Manifest, rows func(add func(Row) error) error) error {
	from, to := io.Pipe()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	stored := make(chan error, 1)
	go func() {
		err := c.store.Put(writing, c.data(m.ID), from)
		_ = from.CloseWithError(errors.Join(errStore, err)) // whoever writes learns of it
		stored <- err
	}()
	gathered := c.gather(writing, to, m, base, rows)
	_ = to.CloseWithError(gathered) // io.EOF for the store, if nil
	err := <-stored
	if gathered != nil && !errors.Is(gathered, errStore) {
		return gathered
	}
	return err
}

// errStore ends the gathering of rows when the store takes no more.
var errStore = errors.New("store has stopped reading")

func (c *Catalogue) gather(ctx context.Context, w io.Writer, m *Manifest, base *Manifest, rows func(add func(Row) error) error) error {
	b, err := newBlockWriter(w, m.ID, c.cfg.Keys, c.pace(ctx))
	if err != nil {
		return err
	}
	put := func(r *Row) error {
		m.Written++
		return b.add(r)
	}
	var known *difference
	if base != nil {
		if known, err = c.against(ctx, *base, put); err != nil {
			return err
		}
		defer known.close()
	}
	var last Row
	begun := false
	if err := rows(func(r Row) error {
		if begun && last.compare(&r) >= 0 {
			return fmt.Errorf("%w snapshot: rows out of order", events.ErrInvalid)
		}
		last, begun = Row{Partition: r.Partition, Kind: r.Kind, Name: r.Name}, true
		if r.Kind == Key && len(r.Held) > 0 && !keeps(m, &r) {
			r.Held = nil
		}
		m.Rows++
		if r.Kind == Key && len(r.Held) > 0 {
			m.Copies++
		}
		if known != nil {
			return known.add(&r)
		}
		return put(&r)
	}); err != nil {
		return err
	}
	if known != nil {
		if err := known.end(); err != nil {
			return err
		}
	}
	if err := b.close(); err != nil {
		return err
	}
	m.Blocks, m.RawBytes, m.Size = b.blocks, b.raw, b.size
	m.Sum = fmt.Sprintf("%x", b.sum.Sum(nil))
	return nil
}

// keeps reports whether an image keeps a key's copy. One that was born behind the
// image's place, as a member further on had it, would outlive a loss of the log's
// tail down to that place, which the image could not prove (H5).
func keeps(m *Manifest, r *Row) bool {
	if m.Kind == Fences || r.Partition >= len(m.Partitions) {
		return false
	}
	e, err := tiers.Parse(r.Held)
	return err == nil && (e.Birth() <= m.Partitions[r.Partition].Mark.Position || mutant.On(mutant.SnapshotKeepsAhead))
}

func (c *Catalogue) pace(ctx context.Context) func(n int) error {
	if c.cfg.BytesPerSecond == 0 {
		return func(int) error { return ctx.Err() }
	}
	l := rate.NewLimiter(rate.Limit(c.cfg.BytesPerSecond), fullBlock)
	return func(n int) error {
		for ; n > 0; n -= fullBlock {
			if err := l.WaitN(ctx, min(n, fullBlock)); err != nil {
				return err
			}
		}
		return nil
	}
}

// List returns the images whose manifests can be read, newest first, and why
// the others can't.
func (c *Catalogue) List(ctx context.Context) ([]Manifest, []*Refusal, error) {
	names, err := c.store.List(ctx, c.cfg.Domain+"/")
	if err != nil {
		return nil, nil, fmt.Errorf("list snapshots: %w", err)
	}
	var all []Manifest
	var refused []*Refusal
	for _, name := range slices.Backward(names) {
		id, ok := strings.CutSuffix(path.Base(name), manifestSuffix)
		if !ok {
			continue
		}
		switch m, err := c.Get(ctx, id); {
		case errors.Is(err, ErrNotFound): // pruned meanwhile
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			refused = append(refused, &Refusal{ID: id, Err: err})
		default:
			all = append(all, m)
		}
	}
	return all, refused, nil
}

// Get returns the manifest of one image. Errors: [ErrNotFound], those of
// [ParseManifest], and the store's.
func (c *Catalogue) Get(ctx context.Context, id string) (Manifest, error) {
	if !validID(id) {
		return Manifest{}, fmt.Errorf("%w: %q names none", ErrForeign, id)
	}
	r, err := c.store.Get(ctx, c.manifest(id))
	if err != nil {
		return Manifest{}, err
	}
	object, err := io.ReadAll(io.LimitReader(r, mostManifest+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return Manifest{}, err
	}
	m, err := ParseManifest(object)
	switch {
	case err != nil:
		return Manifest{}, err
	case m.Domain != c.cfg.Domain:
		return Manifest{}, fmt.Errorf("%w: it is of %q", ErrForeign, m.Domain)
	case m.ID != id:
		return Manifest{}, fmt.Errorf("%w: its manifest is of %s", ErrCorrupt, m.ID)
	}
	return m, nil
}

// Unfinished is the age after which data without a manifest counts as left
// behind by somebody who died, rather than as being written.
const Unfinished = 24 * time.Hour

// Prune removes the images that r does not keep, and what was left behind by
// creations and removals that did not come to their end. It returns the ids of
// what it removed, also with an error; what never came to have one is not among
// them.
func (c *Catalogue) Prune(ctx context.Context, r Retention) (pruned []string, err error) {
	all, refused, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range r.Plan(c.cfg.Now(), all) {
		if err := c.Remove(ctx, m.ID); err != nil {
			return pruned, err
		}
		pruned = append(pruned, m.ID)
	}
	listed := make(map[string]bool)
	for _, m := range all {
		listed[m.ID] = true
	}
	for _, m := range refused {
		listed[m.ID] = true // somebody should look at it
	}
	names, err := c.store.List(ctx, c.cfg.Domain+"/")
	if err != nil {
		return pruned, fmt.Errorf("prune snapshots: %w", err)
	}
	for _, name := range names {
		id, isData := strings.CutSuffix(path.Base(name), dataSuffix)
		begun, ours := idCreated(id)
		if !isData || !ours || listed[id] || c.cfg.Now().Sub(begun) < Unfinished {
			continue
		}
		if err := c.store.Remove(ctx, name); err != nil {
			return pruned, fmt.Errorf("prune snapshots: %w", err)
		}
		pruned = append(pruned, id)
	}
	return pruned, c.sweep(ctx)
}

// sweep removes what dead writers left within the store.
func (c *Catalogue) sweep(ctx context.Context) error {
	s, ok := c.store.(Sweeper)
	if !ok || mutant.On(mutant.LeftoversKept) {
		return nil
	}
	if _, err := s.Sweep(ctx, c.cfg.Domain+"/", c.cfg.Now().Add(-Unfinished)); err != nil {
		return fmt.Errorf("prune snapshots: remove what was left half written: %w", err)
	}
	return nil
}

// Remove removes one image, its manifest first: whoever lists meanwhile sees it
// whole or not at all.
func (c *Catalogue) Remove(ctx context.Context, id string) error {
	if !validID(id) {
		return fmt.Errorf("remove snapshot: %w: %q names none", ErrForeign, id)
	}
	for _, name := range []string{c.manifest(id), c.data(id)} {
		if err := c.store.Remove(ctx, name); err != nil {
			return fmt.Errorf("remove snapshot %s: %w", id, err)
		}
	}
	return nil
}
