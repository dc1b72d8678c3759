package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// StartRedis starts the stand-in for Redis on a free loopback port.
func StartRedis() (*miniredis.Miniredis, error) {
	r := miniredis.NewMiniRedis()
	if err := r.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	return r, nil
}

// passTime lets the stand-in's keys expire: it has no clock of its own.
func passTime(ctx context.Context, r *miniredis.Miniredis) {
	const tick = time.Second
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.FastForward(tick)
		case <-ctx.Done():
			return
		}
	}
}
