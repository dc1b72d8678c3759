package outbox

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrFull reports an outbox that holds as many bytes as it may. What could
	// not be accepted has not happened.
	ErrFull = errors.New("the outbox is full")
	// ErrBroken reports a disk that failed. Whether the message is on it is not
	// known.
	ErrBroken = errors.New("the outbox's disk failed")
	// ErrRefused is wrapped by a delivery's error that no repetition mends.
	ErrRefused = errors.New("refused for good")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("the outbox is closed")
)

// Item is a message. Kind says what Body is, in the user's terms.
type Item struct {
	Kind byte
	Body []byte
}

// Config shapes an outbox. Only Dir is required.
type Config struct {
	// Dir is where it lies; made if it is missing.
	Dir string
	// MaxBytes bounds what waits. Default 256 MiB. More: longer outages are
	// survived, and more is delivered late after them.
	MaxBytes int64
	// MinBackoff and MaxBackoff bound the wait after a failed delivery, which
	// doubles. Defaults 50 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// Logger is nil for silence.
	Logger *slog.Logger
	// FS is the file system; default the machine's.
	FS vfs.FS
}

// Stats are an outbox's numbers. Totals count since Open.
type Stats struct {
	// Waiting and Bytes are what has not been delivered yet.
	Waiting, Bytes int64
	// Refused counts messages that were set aside, in all.
	Refused int64
	// Accepted, Delivered and Failures (attempts) are totals.
	Accepted, Delivered, Failures uint64
	// Oldest is when the oldest waiting message was accepted; zero if none is.
	Oldest time.Time
}

// Outbox is a durable queue. Its methods are safe for concurrent use.
type Outbox struct {
	cfg  Config
	db   *pebble.DB
	life *life
	wake chan struct{} // holds a token when there may be something to deliver

	mu     sync.Mutex
	closed bool
	next   uint64
	// waiting holds every message that has not been delivered, by number.
	waiting map[uint64]waitingItem
	bytes   int64

	refused                       atomic.Int64
	accepted, delivered, failures atomic.Uint64
}

type waitingItem struct {
	size int64
	at   time.Time
	held bool // by who accepted it: not the relay's yet
}

// Keys are a letter and a number, values a kind, the time of acceptance in Unix
// milliseconds and the body.
const (
	queued  = 'q'
	aside   = 'r'
	keySize = 9
	head    = 9
)

func key(space byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{space}, n)
}

// Open opens the outbox of a directory, with what waits in it.
func Open(c Config) (*Outbox, error) {
	c.MaxBytes = cmp.Or(c.MaxBytes, 256<<20)
	c.MinBackoff = cmp.Or(c.MinBackoff, 50*time.Millisecond)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	o := &Outbox{cfg: c, wake: make(chan struct{}, 1), waiting: map[uint64]waitingItem{}, next: 1}
	o.life = newLife(c.Logger)
	err := o.life.guarded(func() (err error) {
		o.db, err = pebble.Open(c.Dir, &pebble.Options{
			FS: c.FS, CacheSize: 1 << 20, MemTableSize: 4 << 20, FormatMajorVersion: pebble.FormatTableFormatV6,
			Logger: o.life, EventListener: o.life.listener(),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", c.Dir, err)
	}
	if err := o.life.guarded(o.load); err != nil {
		return nil, fmt.Errorf("open outbox %s: %w", c.Dir, errors.Join(err, o.Close()))
	}
	o.nudge()
	return o, nil
}

// load finds what waits.
func (o *Outbox) load() error {
	it, err := o.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != keySize || len(v) < head {
			return fmt.Errorf("%w: a key of %d bytes with %d", ErrBroken, len(k), len(v))
		}
		n := binary.BigEndian.Uint64(k[1:])
		o.next = max(o.next, n+1)
		if k[0] == aside {
			o.refused.Add(1)
			continue
		}
		size := int64(len(k) + len(v))
		o.waiting[n] = waitingItem{size: size, at: time.UnixMilli(int64(binary.BigEndian.Uint64(v[1:])))}
		o.bytes += size
	}
	return it.Error()
}

// Append accepts a message: it is on the disk when Append returns nil. Errors:
// [ErrFull], [ErrClosed], [ErrBroken].
func (o *Outbox) Append(item Item) error {
	h, err := o.Hold(item)
	if err != nil {
		return err
	}
	h.Leave()
	return nil
}

// Hold is [Outbox.Append] for who will deliver the message at once, and leaves
// it to the relay only if that fails. The message is the holder's until one of
// Held's methods is called, or the outbox is opened again.
func (o *Outbox) Hold(item Item) (*Held, error) {
	n, err := o.accept(item)
	if err != nil {
		return nil, err
	}
	return &Held{o, n}, nil
}

// Held is a message that its holder delivers.
type Held struct {
	o *Outbox
	n uint64
}

// Delivered removes the message. If that fails it is delivered once more, some
// day.
func (h *Held) Delivered() { h.o.remove(h.n) }

// Leave leaves the message to the relay.
func (h *Held) Leave() {
	h.o.mu.Lock()
	if w, ok := h.o.waiting[h.n]; ok {
		w.held = false
		h.o.waiting[h.n] = w
	}
	h.o.mu.Unlock()
	h.o.nudge()
}

// accept puts a message on the disk. It is held.
func (o *Outbox) accept(item Item) (uint64, error) {
	now := time.Now()
	value := make([]byte, 0, head+len(item.Body))
	value = append(value, item.Kind)
	value = binary.BigEndian.AppendUint64(value, uint64(now.UnixMilli()))
	value = append(value, item.Body...)
	size := int64(keySize + len(value))
	o.mu.Lock()
	switch {
	case o.closed:
		o.mu.Unlock()
		return 0, ErrClosed
	case o.bytes+size > o.cfg.MaxBytes:
		o.mu.Unlock()
		return 0, fmt.Errorf("%w: %d bytes wait, at most %d", ErrFull, o.bytes, o.cfg.MaxBytes)
	}
	n := o.next
	o.next++
	// Held until it is on the disk: before that nobody may act on it.
	o.waiting[n] = waitingItem{size: size, at: now, held: true}
	o.bytes += size
	o.mu.Unlock()
	err := o.life.guarded(func() error { return o.db.Set(key(queued, n), value, pebble.Sync) })
	if err != nil {
		o.forget(n)
		return 0, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	o.accepted.Add(1)
	return n, nil
}

// remove takes a delivered message from the disk. Unsynced: after a crash it
// may be delivered again.
func (o *Outbox) remove(n uint64) {
	if err := o.life.guarded(func() error { return o.db.Delete(key(queued, n), pebble.NoSync) }); err != nil {
		o.cfg.Logger.Warn("a delivered message could not be removed from the outbox; it will be delivered again", "error", err)
	}
	o.delivered.Add(1)
	o.forget(n)
}

func (o *Outbox) forget(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= o.waiting[n].size
	delete(o.waiting, n)
}

func (o *Outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Stats returns the numbers as they are now.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{
		Waiting: int64(len(o.waiting)), Bytes: o.bytes, Refused: o.refused.Load(),
		Accepted: o.accepted.Load(), Delivered: o.delivered.Load(), Failures: o.failures.Load(),
	}
	first := uint64(0)
	for n, w := range o.waiting {
		if first == 0 || n < first {
			first, s.Oldest = n, w.at
		}
	}
	return s
}

// Close lets go of the directory. Nothing may be under way any more: Run has
// returned, and what is held was left or delivered.
func (o *Outbox) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	o.mu.Unlock()
	return o.life.guarded(o.db.Close)
}

// Deliver hands a message over. It returns nil once the message needs to be
// kept here no longer, and an error that wraps [ErrRefused] if that will never
// be.
type Deliver func(context.Context, Item) error
