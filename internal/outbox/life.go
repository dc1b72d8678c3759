package outbox

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// life ends when pebble would end the process. It is pebble's logger.
type life struct {
	log  *slog.Logger
	dead chan struct{}
	once sync.Once
	why  error // set before dead is closed
}

func newLife(log *slog.Logger) *life { return &life{log: log, dead: make(chan struct{})} }

func (l *life) end(why error) {
	l.once.Do(func() {
		l.why = fmt.Errorf("%w: %w", ErrBroken, why)
		close(l.dead)
		l.log.Error("outbox is dead; what it holds is delivered when it is opened again", "cause", why)
	})
}

func (l *life) Infof(string, ...any) {}

func (l *life) Errorf(format string, args ...any) {
	l.log.Warn("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf does not return: pebble relies on that. Its goroutine stays for the
// rest of the process, and [life.guarded] does not wait for it.
func (l *life) Fatalf(format string, args ...any) {
	l.end(fmt.Errorf(format, args...))
	select {}
}

func (l *life) listener() *pebble.EventListener {
	e := &pebble.EventListener{
		BackgroundError: func(err error) { l.end(err) },
		DataCorruption:  func(i pebble.DataCorruptionInfo) { l.end(fmt.Errorf("corrupt file %s: %w", i.Path, i.Details)) },
	}
	e.EnsureDefaults(l)
	return e
}

// guarded runs f, which calls pebble, and returns early if that dies meanwhile.
func (l *life) guarded(f func() error) error {
	select {
	case <-l.dead:
		return l.why
	default:
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-l.dead:
		return l.why
	}
}
