package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// lanes carry commands to the server, at most as many at once as there are
// lanes. A command that finds a lane free goes straight. Otherwise it queues;
// the caller whose command comes back frees its lane by handing it, and all
// that has queued up, to the first caller in the queue, who leads: it sends
// one pipeline and wakes the others. Nobody works for others after its own
// answer is there, and a lone caller never waits for company.
type lanes struct {
	send  func(ctx context.Context, caller context.Context, cmds []goredis.Cmder)
	limit time.Duration // of one operation

	mu    sync.Mutex
	free  int
	queue []*waiter // empty while a lane is free
}

// maxBatch bounds a pipeline, and so how long its first command waits for its
// last.
const maxBatch = 256

// waiter is a command in the queue.
type waiter struct {
	cmd   goredis.Cmder
	by    time.Time // when its caller stops waiting
	state atomic.Int32
	wake  chan struct{} // capacity 1; signals that it leads, or is answered
	batch []*waiter     // whom it leads, itself first
}

const (
	waits     = iota // in the queue
	gone             // its caller left; nobody sends it
	follows          // in a batch that somebody leads
	leads            // its caller has the lane and must use it
	maxWaiter = 1 << 14
)

// do sends cmd and returns when it is answered, or with an error of the
// caller's context, or once its time is up. After that error cmd may still be
// under way, and must not be touched.
func (l *lanes) do(ctx until, cmd goredis.Cmder) error {
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		l.send(ctx, ctx.Context, []goredis.Cmder{cmd})
		l.pass()
		return cmd.Err()
	}
	w := &waiter{cmd: cmd, by: ctx.by, wake: make(chan struct{}, 1)}
	l.queue = append(l.queue, w)
	l.mu.Unlock()

	late := time.NewTimer(time.Until(ctx.by))
	defer late.Stop()
	var err error
	select {
	case <-w.wake:
	case <-ctx.Done():
		err = ctx.Err()
	case <-late.C:
		err = context.DeadlineExceeded
	}
	if err != nil {
		if w.state.CompareAndSwap(waits, gone) || w.state.Load() == follows {
			return err
		}
		<-w.wake // the lane is, or is about to be, this caller's
	}
	if w.state.Load() == leads {
		l.lead(w)
	}
	return cmd.Err()
}

// lead sends w's batch as one pipeline, wakes its followers and passes the
// lane on. It does not use the caller's context: the others' commands must not
// end with it.
func (l *lanes) lead(w *waiter) {
	// Half of the limit at least, or commands that waited long would fail
	// although the server has recovered.
	left := max(time.Until(w.by), l.limit/2)
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	cmds := make([]goredis.Cmder, len(w.batch))
	for i, f := range w.batch {
		cmds[i] = f.cmd
	}
	l.send(ctx, ctx, cmds)
	for _, f := range w.batch[1:] {
		f.wake <- struct{}{}
	}
	l.pass()
}

// pass gives the caller's lane to the queue, or back.
func (l *lanes) pass() {
	l.mu.Lock()
	var leader *waiter
	var batch []*waiter
	taken := 0
	for _, w := range l.queue {
		if len(batch) == maxBatch {
			break
		}
		taken++
		claim := int32(follows)
		if leader == nil {
			claim = leads
		}
		if !w.state.CompareAndSwap(waits, claim) {
			continue // its caller left
		}
		if leader == nil {
			leader = w
		}
		batch = append(batch, w)
	}
	if taken == len(l.queue) {
		l.queue = nil
	} else {
		l.queue = l.queue[taken:]
	}
	if leader == nil {
		l.free++
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	leader.batch = batch
	leader.wake <- struct{}{}
}
