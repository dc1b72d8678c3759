package drill

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/raptorflow/tercet/internal/consistency"
	"github.com/raptorflow/tercet/pkg/client"
)

// truth is what each key's value is; "" if it is dead.
type truth map[string]string

// writers is how many writes are on their way at once.
const writers = 32

// write gives n keys their values, overwrites a tenth, and fences a twentieth by
// key and another by tag.
func (f *scratchFleet) write(ctx context.Context, n int) (truth, error) {
	t := truth{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i := range n {
		g.Go(func() error {
			key := fmt.Sprintf("key:%d", i)
			value := key + " as written"
			c := f.nodes[i%size]
			if _, err := c.Set(gctx, key, []byte(value), client.Tags(fmt.Sprintf("twentieth:%d", i%20))); err != nil {
				return err
			}
			mu.Lock()
			t[key] = value
			mu.Unlock()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return t, f.change(ctx, t, 0)
}

// change overwrites every tenth key and kills two twentieths: others at each turn.
func (f *scratchFleet) change(ctx context.Context, t truth, turn int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i := range len(t) {
		key := fmt.Sprintf("key:%d", i)
		switch c := f.nodes[(i+1)%size]; i % 20 {
		case 2 * turn, 10 + 2*turn:
			t[key] = fmt.Sprintf("%s as changed at turn %d", key, turn)
			value := t[key]
			g.Go(func() error { _, err := c.Set(gctx, key, []byte(value)); return err })
		case 2*turn + 1:
			t[key] = ""
			g.Go(func() error { _, err := c.Invalidate(gctx, client.Invalidation{Keys: []string{key}}); return err })
		case 11 + 2*turn:
			t[key] = ""
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := f.nodes[0].Invalidate(ctx, client.Invalidation{Tags: []string{fmt.Sprintf("twentieth:%d", 11+2*turn)}}, client.Everywhere())
	return err
}

// findings are what reads came to.
type findings struct {
	back, missing int
	// dead are answers that were fenced or overwritten, and what they said.
	dead  int
	first string
}

func (a *findings) add(b findings) {
	a.back += b.back
	a.missing += b.missing
	a.dead += b.dead
	if a.first == "" {
		a.first = b.first
	}
}

// judge reads one key and compares.
func (t truth) judge(ctx context.Context, c *client.Client, key string, at ...consistency.Level) (findings, error) {
	var opts []client.ReadOption
	for _, l := range at {
		opts = append(opts, client.At(l))
	}
	v, err := c.Get(ctx, key, opts...)
	switch {
	case errors.Is(err, client.ErrNotFound) && t[key] == "":
		return findings{}, nil
	case errors.Is(err, client.ErrNotFound):
		return findings{missing: 1}, nil
	case err != nil:
		return findings{}, err
	case string(v.Bytes) != t[key]:
		return findings{dead: 1, first: fmt.Sprintf("%s was answered with %q, is %q", key, v.Bytes, t[key])}, nil
	}
	return findings{back: 1}, nil
}

// check reads every key on the nodes.
func (f *scratchFleet) check(ctx context.Context, t truth, nodes ...int) (findings, error) {
	var all findings
	for _, i := range nodes {
		for key := range t {
			x, err := t.judge(ctx, f.nodes[i], key)
			if err != nil {
				return all, fmt.Errorf("read %s on node %d: %w", key, i, err)
			}
			all.add(x)
		}
	}
	return all, nil
}

// watch reads keys on all nodes until ctx ends. Reads that fail are what a
// disaster may cost; dead answers are not.
func (f *scratchFleet) watch(ctx context.Context, t truth) (findings, uint64) {
	var (
		mu    sync.Mutex
		all   findings
		reads uint64
		wg    sync.WaitGroup
	)
	for _, c := range f.nodes {
		wg.Go(func() {
			for ctx.Err() == nil {
				for key := range t {
					if ctx.Err() != nil {
						return
					}
					x, err := t.judge(ctx, c, key, consistency.Eventual())
					mu.Lock()
					reads++
					if err == nil {
						all.add(x)
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return all, reads
}
