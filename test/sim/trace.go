package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Trace is what happened in a run, with virtual times. It is put into words
// when somebody reads it, which for most runs is never.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	lines []line
}

// line is one event. What args point to does not change any more.
type line struct {
	at     time.Duration
	who    string
	format string
	args   []any
}

func (l line) String() string {
	return fmt.Sprintf("%11.6f  %-6s ", l.at.Seconds(), l.who) + fmt.Sprintf(l.format, l.args...)
}

func (t *Trace) now() time.Duration { return time.Since(t.start) }

func (t *Trace) add(who, format string, args ...any) {
	l := line{t.now(), who, format, args}
	t.mu.Lock()
	t.lines = append(t.lines, l)
	t.mu.Unlock()
}

// String returns the trace, a line for each event.
func (t *Trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines {
		b.WriteString(l.String())
		b.WriteByte('\n')
	}
	return b.String()
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
