package memlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

const (
	// answerWait is how long a client waits for an acknowledgement before it
	// publishes again.
	answerWait = 200 * time.Millisecond
	// attachWait is the pause before a follower attaches again.
	attachWait = 20 * time.Millisecond
	// stallWait is after how long a follower finds out that its consumer is
	// dead.
	stallWait = 2 * time.Second

	maxBatch      = 1024
	maxBatchBytes = 4 << 20
)

var (
	errRefused  = errors.New("memlog: refused by the server")
	errNoStream = errors.New("memlog: no stream responds")
	errCut      = errors.New("memlog: cut off from the server")
)

// Log is one client's view of a [Stream].
type Log struct {
	stream *Stream

	mu       sync.Mutex // orders calls of faults, guards cut and linked
	faults   Faults
	isCut    bool
	linked   chan struct{} // closed and replaced when isCut changes
	isClosed bool

	closed context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var _ events.Log = (*Log)(nil)

// Connect returns a new client of the stream.
func (s *Stream) Connect(f Faults) *Log {
	l := &Log{stream: s, faults: f, linked: make(chan struct{})}
	l.closed, l.cancel = context.WithCancel(context.Background())
	return l
}

// Inject replaces the faults.
func (l *Log) Inject(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
}

// Cut parts the client from the server until Heal: publishing gets no answer,
// and nothing is delivered.
func (l *Log) Cut() { l.link(true) }

// Heal ends a Cut.
func (l *Log) Heal() { l.link(false) }

func (l *Log) link(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut == cut {
		return
	}
	l.isCut = cut
	close(l.linked)
	l.linked = make(chan struct{})
}

// Close ends publishing and following and waits for what goes on in the
// background.
func (l *Log) Close() {
	l.mu.Lock()
	l.isClosed = true
	l.cancel()
	l.mu.Unlock()
	l.work.Wait()
}

func (l *Log) cut() (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isCut, l.linked
}

// Publish implements [events.Log].
func (l *Log) Publish(ctx context.Context, id events.ID, data []byte) (events.Position, error) {
	return l.publish(ctx, &publication{l: l, id: id, data: data})
}

// PublishNext implements [events.Log].
func (l *Log) PublishNext(ctx context.Context, last events.Mark, id events.ID, data []byte) (events.Position, error) {
	return l.publish(ctx, &publication{l: l, id: id, data: data, next: &last})
}

func (l *Log) publish(ctx context.Context, a *publication) (events.Position, error) {
	at, err := a.run(ctx)
	if err == nil {
		return at, nil
	}
	outcome := events.ErrNotLanded
	if a.uncertain {
		outcome = events.ErrIndeterminate
		if !a.final && !l.background(func() { _, _ = a.run(l.closed) }) {
			err = events.ErrClosed
		}
	}
	return 0, &events.PublishError{ID: a.id, Outcome: outcome, Cause: err}
}

func (l *Log) background(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return false
	}
	l.work.Go(f)
	return true
}

type publication struct {
	l         *Log
	id        events.ID
	data      []byte
	next      *events.Mark // what it must stand behind; nil: anything
	attempts  int
	uncertain bool // an attempt went without an answer
	final     bool // refused for good
}

func (a *publication) run(ctx context.Context) (events.Position, error) {
	if a.l.closed.Err() != nil {
		return 0, events.ErrClosed
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	for {
		answer := a.attempt()
		if err := a.l.wait(ctx, answer.after); err != nil {
			a.uncertain = true // the answer was under way
			return 0, err
		}
		a.uncertain = a.uncertain || answer.none
		a.final = answer.final
		if answer.err == nil || a.final {
			return answer.at, answer.err
		}
		if err := a.l.wait(ctx, answerWait); err != nil {
			return 0, err
		}
	}
}

// answer is what a client learns of an attempt, after a while.
type answer struct {
	at    events.Position
	after time.Duration
	err   error
	none  bool // there is no answer
	final bool // it is a refusal for good
}

// attempt publishes once.
func (a *publication) attempt() answer {
	a.attempts++
	if len(a.data) > events.MaxRecord {
		return answer{err: events.ErrTooLarge, final: true}
	}
	if cut, _ := a.l.cut(); cut {
		return answer{err: errCut} // nothing was sent
	}
	fate, after := a.l.publishFault(a.id, a.attempts)
	switch fate {
	case Refused:
		return answer{after: after, err: errRefused, final: true}
	case RequestLost:
		return answer{after: after, err: context.DeadlineExceeded, none: true}
	}
	at, err := a.l.stream.publish(a.id, a.data, a.next)
	if fate == AnswerLost && !errors.Is(err, errNoStream) {
		return answer{after: after, err: context.DeadlineExceeded, none: true}
	}
	return answer{at: at, after: after, err: err, final: errors.Is(err, events.ErrNotNext)}
}

func (l *Log) publishFault(id events.ID, attempt int) (Fate, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults.Publish == nil {
		return Landed, 0
	}
	return l.faults.Publish(id, attempt)
}

func (l *Log) route(p events.Position) Route {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults.Deliver == nil {
		return Delivered
	}
	return l.faults.Deliver(p)
}

func (l *Log) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults.Delay == nil {
		return 0
	}
	return l.faults.Delay()
}

// wait lets d pass unless ctx or the log ends first. It tells no end of ctx
// that comes without a wait.
func (l *Log) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed.Done():
		return events.ErrClosed
	}
}
