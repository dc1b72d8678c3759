package client

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// examineEvery is how often Redis is asked for its memory settings: they may
	// be mended while this process runs.
	examineEvery = 5 * time.Minute
	examineWait  = 5 * time.Second
)

// examiner asks Redis how it treats a full memory, and says so where that harms.
type examiner struct {
	wait sync.WaitGroup
	stop context.CancelFunc
}

func (x *examiner) start(c *Client) {
	if c.l2 == nil {
		return
	}
	var ctx context.Context
	ctx, x.stop = context.WithCancel(context.Background())
	x.wait.Go(func() {
		var said []string
		for every := time.NewTicker(examineEvery); ; {
			asking, cancel := context.WithTimeout(ctx, examineWait)
			found, err := c.l2.Examine(asking)
			cancel()
			if err == nil && !slices.Equal(found, said) {
				for _, line := range found {
					c.cfg.Logger.Warn("Redis is not set up well for this domain", "domain", c.cfg.Domain, "advice", line)
				}
				said = found
			}
			select {
			case <-every.C:
			case <-ctx.Done():
				every.Stop()
				return
			}
		}
	})
}

func (x *examiner) halt() {
	if x.stop != nil {
		x.stop()
		x.wait.Wait()
	}
}
