package groupcommit

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Config shapes a Committer.
type Config struct {
	// Publisher is the incarnation that the records' ids carry. It must not
	// be used by any other Committer.
	Publisher events.Incarnation
	// MaxBytes bounds a record that is gathered, in bytes; default and most
	// [events.MaxRecord]. One Append larger than it still travels alone.
	// Larger: fewer records under load. Smaller: less delay behind a big one.
	MaxBytes int
	// MaxQueue bounds the Appends that wait for their record to set out;
	// default 65536. Beyond it Append fails at once with [ErrOverloaded].
	MaxQueue int
}

// ErrOverloaded reports an Append that was not queued because too many others
// wait. It wraps [events.ErrOverloaded], and comes wrapped in an
// [events.ErrNotLanded].
var ErrOverloaded = fmt.Errorf("%w: too many appends wait for the log", events.ErrOverloaded)

// Committer appends changes to one log. Its methods are safe for concurrent
// use. It runs goroutines only while changes are on their way.
type Committer struct {
	log    events.Log
	config Config

	mu      sync.Mutex // never held while publishing
	counter uint64     // of the last record
	queue   []*call
	flying  bool // a record is on its way, or about to be
	closing bool // no more Appends
	idle    chan struct{}
	aboard  *flight // the gathered record on its way, if there is one
	work    sync.WaitGroup
}

// call is one Append that waits.
type call struct {
	draft  *events.Draft
	flight *flight       // the record that carries it; nil while it is queued
	done   chan struct{} // closed when the outcome is known
	err    error         // the outcome if no record carried it
}

// flight is one gathered record on its way.
type flight struct {
	id      events.ID
	at      events.Position
	err     error
	waiting int // callers that still wait for it
	cancel  context.CancelFunc
}

// New returns a Committer over a log.
func New(log events.Log, c Config) (*Committer, error) {
	if c.Publisher == (events.Incarnation{}) {
		return nil, fmt.Errorf("%w group commit: no publisher", events.ErrInvalid)
	}
	if c.MaxBytes < 0 || c.MaxBytes > events.MaxRecord || c.MaxQueue < 0 {
		return nil, fmt.Errorf("%w group commit: %d bytes, at most %d; queue of %d", events.ErrInvalid, c.MaxBytes, events.MaxRecord, c.MaxQueue)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = events.MaxRecord
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = 1 << 16
	}
	return &Committer{log: log, config: c}, nil
}

// Append puts changes into one record and waits until it landed. It returns
// the record's position and identity; the identity also where the outcome is
// indeterminate. The changes must not be modified afterwards.
//
// Every error is a *[events.PublishError]. Its outcome is
// [events.ErrNotLanded] where the changes are invalid or too large
// ([events.ErrTooLarge]), where ctx ended while they waited for the record
// before them, and where the Committer is closed ([events.ErrClosed]).
func (c *Committer) Append(ctx context.Context, changes ...events.Change) (events.Position, events.ID, error) {
	draft, err := events.NewDraft(changes...)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, events.ID{}, notLanded(err)
	}
	c.mu.Lock()
	switch {
	case c.closing:
		c.mu.Unlock()
		return 0, events.ID{}, notLanded(events.ErrClosed)
	case !c.flying:
		// Nobody else is there: no need for another goroutine, and the
		// caller's own context bounds the publish.
		c.flying = true
		id := c.nextID()
		c.mu.Unlock()
		return c.alone(ctx, id, draft)
	case len(c.queue) >= c.config.MaxQueue:
		c.mu.Unlock()
		return 0, events.ID{}, notLanded(ErrOverloaded)
	}
	k := &call{draft: draft, done: make(chan struct{})}
	c.queue = append(c.queue, k)
	c.mu.Unlock()
	select {
	case <-k.done:
	case <-ctx.Done():
		return c.leave(ctx, k)
	}
	return k.outcome()
}

// AppendNext puts changes into one record that lands right behind last or not
// at all, and waits for the outcome; see [events.Log.PublishNext]. While
// another record is on its way it does not try: the cause is
// [events.ErrNotNext].
func (c *Committer) AppendNext(ctx context.Context, last events.Mark, changes ...events.Change) (events.Position, events.ID, error) {
	draft, err := events.NewDraft(changes...)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, events.ID{}, notLanded(err)
	}
	c.mu.Lock()
	switch {
	case c.closing:
		err = events.ErrClosed
	case c.flying:
		err = events.ErrNotNext
	}
	if err != nil {
		c.mu.Unlock()
		return 0, events.ID{}, notLanded(err)
	}
	c.flying = true
	id := c.nextID()
	c.mu.Unlock()
	defer c.landed()
	at, err := c.log.PublishNext(ctx, last, id, draft.Append(make([]byte, 0, draft.Size())))
	return at, id, err
}

func (k *call) outcome() (events.Position, events.ID, error) {
	if k.flight == nil {
		return 0, events.ID{}, k.err
	}
	return k.flight.at, k.flight.id, k.flight.err
}

// alone publishes a record of one call and then lets the others go.
func (c *Committer) alone(ctx context.Context, id events.ID, draft *events.Draft) (events.Position, events.ID, error) {
	defer c.landed()
	at, err := c.log.Publish(ctx, id, draft.Append(make([]byte, 0, draft.Size())))
	return at, id, err
}

// leave takes back a call whose context ended, or leaves it to its record.
func (c *Committer) leave(ctx context.Context, k *call) (events.Position, events.ID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-k.done:
		return k.outcome()
	default:
	}
	if k.flight == nil {
		i := slices.Index(c.queue, k)
		c.queue = slices.Delete(c.queue, i, i+1)
		return 0, events.ID{}, notLanded(ctx.Err())
	}
	if mutant.On(mutant.LeftIsNotLanded) {
		return 0, k.flight.id, notLanded(ctx.Err())
	}
	// The last one to leave lets the log go on in the background, so that the
	// next record can set out.
	if k.flight.waiting--; k.flight.waiting == 0 {
		k.flight.cancel()
	}
	return 0, k.flight.id, &events.PublishError{ID: k.flight.id, Outcome: events.ErrIndeterminate, Cause: ctx.Err()}
}

// landed lets the next record set out, if there is one to be.
func (c *Committer) landed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		c.work.Go(c.fly)
		return
	}
	c.rest()
}

// rest notes that nothing is on its way. It needs mu.
func (c *Committer) rest() {
	c.flying = false
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// fly publishes gathered records until none waits.
func (c *Committer) fly() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		c.mu.Lock()
		calls, draft := c.gather()
		if len(calls) == 0 {
			c.rest()
			c.mu.Unlock()
			cancel()
			return
		}
		f := &flight{id: c.nextID(), waiting: len(calls), cancel: cancel}
		for _, k := range calls {
			k.flight = f
		}
		c.aboard = f
		c.mu.Unlock()

		at, err := c.log.Publish(ctx, f.id, draft.Append(make([]byte, 0, draft.Size())))

		c.mu.Lock()
		c.aboard = nil
		f.at, f.err = at, err
		for _, k := range calls {
			close(k.done)
		}
		c.mu.Unlock()
		cancel()
	}
}

// gather takes calls off the queue for one record. It needs mu.
//
// All of them are concurrent, so that any order between them is right; those
// that only fence come first, because a broad fence must not stand behind a
// put. The oldest call always goes: it fits, and nothing before it puts a key.
func (c *Committer) gather() ([]*call, *events.Draft) {
	window := c.queue[:c.window()]
	if len(window) == 0 {
		return nil, nil
	}
	var draft *events.Draft
	var gone, left []*call
	take := func(k *call) {
		switch {
		case draft == nil:
			draft = k.draft
		case !draft.Join(k.draft, events.MaxRecord):
			left = append(left, k)
			return
		}
		gone = append(gone, k)
	}
	var puts []*call
	for _, k := range window {
		if k.draft.Puts() {
			puts = append(puts, k)
		} else {
			take(k)
		}
	}
	for _, k := range puts {
		take(k)
	}
	c.queue = append(left, c.queue[len(window):]...)
	return gone, draft
}

// window returns how many calls of the queue fit into one record, the first
// one in any case. It needs mu.
func (c *Committer) window() int {
	bytes, changes := 0, 0
	for i, k := range c.queue {
		bytes += k.draft.Size()
		changes += k.draft.Len()
		if i > 0 && (bytes > c.config.MaxBytes || changes > events.MaxChanges) {
			return i
		}
	}
	return len(c.queue)
}

// nextID needs mu.
func (c *Committer) nextID() events.ID {
	c.counter++
	return events.ID{Publisher: c.config.Publisher, Counter: c.counter}
}

// Drain takes no more Appends and waits until all that were taken have their
// outcome, or ctx ends.
func (c *Committer) Drain(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	if !c.flying {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain group commit: %w", ctx.Err())
	}
}

// Close takes no more Appends, turns back those that wait (not landed) and
// gives up on the record that is on its way (indeterminate unless its outcome
// comes first). It waits for the Committer's goroutines; the log stays open.
func (c *Committer) Close() {
	c.mu.Lock()
	c.closing = true
	for _, k := range c.queue {
		k.err = notLanded(events.ErrClosed)
		close(k.done)
	}
	c.queue = nil
	if c.aboard != nil {
		c.aboard.cancel()
	}
	c.mu.Unlock()
	c.work.Wait()
}

func notLanded(cause error) error {
	return &events.PublishError{Outcome: events.ErrNotLanded, Cause: cause}
}
