package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Trace is what happened in a run, with virtual times.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (t *Trace) now() time.Duration { return time.Since(t.start) }

func (t *Trace) add(who, format string, args ...any) {
	line := fmt.Sprintf("%11.6f  %-6s ", t.now().Seconds(), who) + fmt.Sprintf(format, args...)
	t.mu.Lock()
	t.lines = append(t.lines, line)
	t.mu.Unlock()
}

// String returns the trace, a line for each event.
func (t *Trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// logged lets a node's log lines into the trace.
type logged struct {
	t     *Trace
	who   string
	attrs string
}

func (l logged) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l logged) Handle(_ context.Context, r slog.Record) error {
	s := l.attrs
	r.Attrs(func(a slog.Attr) bool { s += " " + a.String(); return true })
	l.t.add(l.who, "  says: %s%s", r.Message, s)
	return nil
}

func (l logged) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l logged) WithGroup(string) slog.Handler      { return l }
