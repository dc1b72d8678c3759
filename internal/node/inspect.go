package node

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/coherence"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
)

// Scan calls fn with keys of live copies on this node's disk, in the order of
// partitions and keys, at most limit of them, and returns the cursor to go on
// with; "" begins and ends. A key that is there during the whole scan is
// reported; one that comes or goes meanwhile may be. fn returning false ends
// the page early.
func (n *Node) Scan(_ context.Context, cursor string, limit int, fn func(key string) bool) (next string, err error) {
	if n.disk == nil {
		return "", nil
	}
	at, from := 0, ""
	if cursor != "" {
		index, key, ok := strings.Cut(cursor, "/")
		at, err = strconv.Atoi(index)
		if !ok || err != nil || at < 0 || at >= len(n.parts) {
			return "", &Error{Op: "scan", Err: events.ErrInvalid, Hint: "use a cursor that a scan returned"}
		}
		from = key
	}
	for ; at < len(n.parts); at++ {
		p := n.parts[at]
		now := n.clock.Now()
		next, err := n.disk.Scan(at, from, limit, func(e tiers.Entry) bool {
			// Copies lie beside their key's fence, which acted on them.
			if !p.servable(e, now, coherence.Fence{}) || e.Flags()&tiers.FlagNegative != 0 {
				return true
			}
			limit--
			return fn(e.Key()) && limit > 0
		})
		if err != nil {
			if errors.Is(err, tiers.ErrUnavailable) {
				p.loseDisk(err)
			}
			return "", &Error{Op: "scan", Err: err}
		}
		if next != "" {
			return strconv.Itoa(at) + "/" + next, nil
		}
		from = ""
		if limit <= 0 && at+1 < len(n.parts) {
			return strconv.Itoa(at+1) + "/", nil
		}
	}
	return "", nil
}

// Len counts the live copies on this node's disk by walking over them.
func (n *Node) Len(ctx context.Context) (int, error) {
	count := 0
	const page = 4096
	for cursor := ""; ; {
		next, err := n.Scan(ctx, cursor, page, func(string) bool { count++; return true })
		if err != nil || next == "" {
			return count, err
		}
		if err := ctx.Err(); err != nil {
			return count, err
		}
		cursor = next
	}
}

// Explain says what each tier holds of key, and why a copy would be served or
// not.
func (n *Node) Explain(ctx context.Context, key string) (Explanation, error) {
	if err := events.ValidateKey(key); err != nil {
		return Explanation{}, &Error{Op: "explain", Err: err}
	}
	p := n.of(key)
	now := n.clock.Now()
	point := p.point()
	x := Explanation{
		Key: key, Partition: p.index, Epoch: point.Epoch, Applied: point.Position,
		FreshFor: n.lease - time.Duration(now.Holder-p.fresh.Load()),
		Served:   n.audit.served.of(key),
	}
	fence, onDisk := p.lookupDisk(key, nil)
	inMemory, _ := n.memory.Lookup(key, nil)
	var shared tiers.Entry
	if n.shared != nil {
		shared, _ = n.shared.Get(ctx, key, nil) // not there and not reachable look alike here
	}
	for _, t := range []struct {
		source Source
		e      tiers.Entry
		fence  coherence.Fence
	}{
		{FromMemory, inMemory, coherence.Fence{}},
		{FromDisk, onDisk, fence},
		{FromShared, shared, fence},
	} {
		x.Tiers = append(x.Tiers, p.explain(t.source, t.e, t.fence, now.Unix))
	}
	return x, nil
}

func (p *partition) explain(source Source, e tiers.Entry, fence coherence.Fence, now int64) TierExplanation {
	t := TierExplanation{Tier: source, Verdict: "no copy"}
	if e == nil {
		return t
	}
	t.Found, t.Header, t.Size = true, e.Header(), len(e)
	if e.Expired(now) {
		t.Verdict = "expired"
		return t
	}
	if e.Ahead(now) {
		t.Verdict = "from the future: a clock is wrong"
		return t
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, why := p.world.Explain(copyOf(e), fence)
	t.Verdict = why.String()
	return t
}
