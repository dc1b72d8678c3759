package jslog

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// asking sends requests and waits for the answers.
//
// nats.go's Request does the same with a goroutine between the connection's
// reader and the caller, which takes the connection's lock: it waits for a write
// to end of which the answer is here already, on a machine with few processors
// often behind what follows the log. Here an answer goes from the connection's
// reader straight to its caller.
type asking struct {
	nc *nats.Conn

	mu   sync.Mutex
	idle []*asker
	done bool
}

// asker carries one request at a time.
type asker struct {
	inbox string // of what its answers' subjects begin with
	sub   *nats.Subscription
	in    chan *nats.Msg
	timer *time.Timer
	asked uint64
}

const (
	// keptAskers is how many askers stay subscribed when nobody needs them:
	// the publishes that are in flight at a time as a rule.
	keptAskers = 4
	// lateAnswers is how many answers to requests that were given up an asker
	// can hold, until its next request.
	lateAnswers = 8
)

// ask sends m and returns what the first to answer says. The error is ctx's,
// [context.DeadlineExceeded] after wait, [events.ErrClosed] once closed is done,
// [nats.ErrNoResponders], or one of sending m.
func (q *asking) ask(ctx, closed context.Context, m *nats.Msg, wait time.Duration) (*nats.Msg, error) {
	a, err := q.take()
	if err != nil {
		return nil, err
	}
	defer q.give(a)
	return a.ask(ctx, closed, q.nc, m, wait)
}

func (a *asker) ask(ctx, closed context.Context, nc *nats.Conn, m *nats.Msg, wait time.Duration) (*nats.Msg, error) {
	for len(a.in) > 0 && !mutant.On(mutant.LateAnswerTaken) {
		<-a.in // to a request that was given up
	}
	a.asked++
	m.Reply = a.inbox + strconv.FormatUint(a.asked, 10)
	if err := nc.PublishMsg(m); err != nil {
		return nil, err
	}
	a.timer.Reset(wait)
	defer a.timer.Stop()
	for {
		select {
		case answer := <-a.in:
			switch {
			case answer.Subject != m.Reply && !mutant.On(mutant.LateAnswerTaken):
			case len(answer.Data) == 0 && answer.Header.Get("Status") == "503":
				return nil, nats.ErrNoResponders
			default:
				return answer, nil
			}
		case <-a.timer.C:
			return nil, context.DeadlineExceeded
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-closed.Done():
			return nil, events.ErrClosed
		}
	}
}

func (q *asking) take() (*asker, error) {
	q.mu.Lock()
	if n := len(q.idle); n > 0 {
		a := q.idle[n-1]
		q.idle = q.idle[:n-1]
		q.mu.Unlock()
		return a, nil
	}
	q.mu.Unlock()
	a := &asker{inbox: q.nc.NewInbox() + ".", in: make(chan *nats.Msg, lateAnswers), timer: time.NewTimer(time.Hour)}
	a.timer.Stop()
	var err error
	if a.sub, err = q.nc.ChanSubscribe(a.inbox+"*", a.in); err != nil {
		return nil, fmt.Errorf("listen for acknowledgements: %w", err)
	}
	return a, nil
}

func (q *asking) give(a *asker) {
	q.mu.Lock()
	kept := !q.done && len(q.idle) < keptAskers
	if kept {
		q.idle = append(q.idle, a)
	}
	q.mu.Unlock()
	if !kept {
		_ = a.sub.Unsubscribe() // a closed connection has ended it already
	}
}

// close ends the subscriptions, those in use when they are given back.
func (q *asking) close() {
	q.mu.Lock()
	idle := q.idle
	q.idle, q.done = nil, true
	q.mu.Unlock()
	for _, a := range idle {
		_ = a.sub.Unsubscribe()
	}
}
