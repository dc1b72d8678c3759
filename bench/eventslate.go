package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

// latency publishes 1,000 events a second and watches three nodes. The nodes have
// just caught up with what the rounds before left in the log, and merge it on
// disk while they are measured. What is not measured is the start: the stream is
// purged, the invalidator has answered one event, and this process has let go of
// what the nodes' catching up took.
func (e *eventBench) latency() (p50, p99 time.Duration, err error) {
	const n, every = 10_000, time.Millisecond
	event := func(id string, n int) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","id":"%s","source":"/shop","type":"t%d","data":{"id":"%s","category":"shoes","price":12.5}}`, id, n%100, id)
	}
	var started atomic.Int32 // nodes that have applied the first event's fence
	published := make([]time.Time, n)
	var mu sync.Mutex
	missing := make([]int, n)
	took := make([]time.Duration, 0, n)
	all := make(chan struct{})
	seen := func(key string) {
		var id int
		if _, err := fmt.Sscanf(key, "product:late-%d:price", &id); err != nil {
			return
		}
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		if missing[id]++; missing[id] == members {
			took = append(took, now.Sub(published[id]))
			if len(took) == n {
				close(all)
			}
		}
	}
	var nodes []*client.Client
	defer func() { err = errors.Join(err, shut(nodes...)) }()
	for range members {
		c, err := e.b.open(e.ctx, eventDomain, client.Config{
			L1Size: 1 << 20, AuditRate: -1, Logger: slog.New(slog.DiscardHandler),
			OnApply: func(_ int, _ events.Mark, changes []events.Change) {
				for _, c := range changes {
					if i, ok := c.(*events.Invalidate); ok {
						for _, key := range i.Scope.Keys {
							if key == "product:first:price" {
								started.Add(1)
							}
							if strings.HasPrefix(key, "product:late-") {
								seen(key)
							}
						}
					}
				}
			},
		})
		if err != nil {
			return 0, 0, err
		}
		nodes = append(nodes, c)
	}
	stream, err := e.js.Stream(e.ctx, eventStream)
	if err != nil {
		return 0, 0, err
	}
	if err := stream.Purge(e.ctx); err != nil {
		return 0, 0, err
	}
	stop, err := e.start("latency")
	if err != nil {
		return 0, 0, err
	}
	defer stop()
	if _, err := e.js.Publish(e.ctx, subjectOf(0), event("first", 0)); err != nil {
		return 0, 0, err
	}
	for deadline := time.Now().Add(20 * time.Second); started.Load() < members; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return 0, 0, errors.New("the invalidator does not come up")
		}
	}
	debug.FreeOSMemory()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for id := range n {
		<-tick.C
		body := event(fmt.Sprint("late-", id), id)
		mu.Lock()
		published[id] = time.Now()
		mu.Unlock()
		if _, err := e.js.PublishAsync(subjectOf(id), body); err != nil {
			return 0, 0, err
		}
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		return 0, 0, fmt.Errorf("%d of %d events were fenced on all nodes", len(took), n)
	}
	slices.SortFunc(took, cmp.Compare)
	return took[n/2], took[n*99/100], nil
}
