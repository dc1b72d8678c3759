package client

import (
	"context"

	"github.com/raptorflow/tercet/internal/tiers/headroom"
	"github.com/raptorflow/tercet/internal/tiers/memory"
)

// yielding lets L1 give memory back while the process is short of it.
type yielding struct {
	stop context.CancelFunc
	done chan struct{}
}

func (y *yielding) start(c *Client) {
	ctx, stop := context.WithCancel(context.Background())
	y.stop, y.done = stop, make(chan struct{})
	log := c.cfg.Logger.With("domain", c.cfg.Domain)
	go func() {
		defer close(y.done)
		err := c.l1.Yield(ctx, memory.Yielding{
			Least: int(c.cfg.L1Least),
			Resized: func(bytes int, why headroom.Reading) {
				log.Warn("memory tier resized", "bytes", bytes, "used", why.Used, "limit", why.Limit, "stalled", why.Stalled)
			},
		})
		if ctx.Err() == nil {
			log.Error("memory tier keeps its size from now on", "error", err)
		}
	}()
}

// halt ends what start began, if anything.
func (y *yielding) halt() {
	if y.stop != nil {
		y.stop()
		<-y.done
	}
}
