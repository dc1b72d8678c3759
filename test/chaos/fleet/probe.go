package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// RoundTrip asks each server of a link something through its paths, over
// connections of its own, and returns the greatest time that an answer took. It
// is how a fault on a link, and its end, are proved.
func (l Link) RoundTrip(ctx context.Context) (time.Duration, error) {
	var worst time.Duration
	var errs []error
	for _, p := range l.paths {
		began := time.Now()
		if err := p.ask(ctx, l.Probe); err != nil {
			errs = append(errs, fmt.Errorf("%s to %s: %w", p.from, p.to, err))
		}
		worst = max(worst, time.Since(began))
	}
	return worst, errors.Join(errs...)
}

// Passes reports for how many of a link's paths a round trip succeeds within d.
func (l Link) Passes(ctx context.Context, d time.Duration) (passed, all int) {
	answers := make(chan bool, len(l.paths))
	for _, p := range l.paths {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			answers <- p.ask(ctx, l.Probe) == nil
		}()
	}
	for range l.paths {
		if <-answers {
			passed++
		}
	}
	return passed, len(l.paths)
}

// ask waits for one answer to a PING: a PONG, or from a route's port, where only
// a server may ask, that it may not.
func (p path) ask(ctx context.Context, speaks Kind) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	r := bufio.NewReader(c)
	if speaks == NATS {
		// The server speaks first.
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	request := "PING\r\n"
	if speaks == Redis {
		request = "INFO\r\n" + request // some KiB, so that a throttle shows
	}
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.Contains(line, "PONG") || strings.HasPrefix(line, "-ERR") {
			return nil
		}
	}
}
