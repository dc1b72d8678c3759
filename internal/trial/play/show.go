package play

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

// Show prints the run for people. Its methods are safe for concurrent use.
type Show struct {
	mu      sync.Mutex
	out     io.Writer
	palette Palette
	lines   int // of the table since its header
	began   time.Time
}

// NewShow prints to out, with emphasis as terminal sequences if p is
// [Color].
func NewShow(out io.Writer, p Palette) *Show {
	return &Show{out: out, palette: p, began: time.Now()}
}

// Palette says whether text may carry terminal sequences.
type Palette uint8

// The palettes.
const (
	Plain Palette = iota
	Color
)

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

func (s *Show) paint(style, text string) string {
	if s.palette == Plain {
		return text
	}
	return style + text + reset
}

// Line prints one line. What can't be printed is nobody's loss: the summary
// and the exit code tell.
func (s *Show) Line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintln(s.out, text)
}

// Phase opens a part of the run.
func (s *Show) Phase(format string, args ...any) {
	s.Line("\n" + s.paint(bold, fmt.Sprintf(format, args...)))
}

// moment tells of something that happened; details follow it.
func (s *Show) moment(format string, args ...any) {
	s.Line(fmt.Sprintf("%7s  %s %s", s.clock(), s.paint(green, "▶"), s.paint(bold, fmt.Sprintf(format, args...))))
}

// Detail adds to what was told last.
func (s *Show) Detail(format string, args ...any) {
	s.Line("           " + fmt.Sprintf(format, args...))
}

// note tells of something that did not go as it should.
func (s *Show) note(format string, args ...any) {
	s.Line(fmt.Sprintf("%7s  %s", s.clock(), s.paint(red, "! "+fmt.Sprintf(format, args...))))
}

func (s *Show) clock() string { return fmt.Sprintf("%.1fs", time.Since(s.began).Seconds()) }

// tableHead is repeated every so many rows.
const tableHead = "   time  day     reads/s     L1     L3  Redis  other origin   events  fences   to last node p50/p99  stale"

const headEvery = 15

// row is one second of the run.
type row struct {
	day            string
	reads          float64 // per second
	from           [sources]uint64
	events, fences uint64
	p50, p99       time.Duration
	stale          uint64
}

func (s *Show) row(r row) {
	total := uint64(0)
	for _, n := range r.from {
		total += n
	}
	share := func(src node.Source) string {
		if total == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f%%", 100*float64(r.from[src])/float64(total))
	}
	latency := "-"
	if r.p50 > 0 {
		latency = millis(r.p50) + " / " + millis(r.p99)
	}
	text := fmt.Sprintf("%7s  %-6s %8s %6s %6s %6s %6s %6s %8s %7s   %20s  %5d",
		s.clock(), r.day, number(uint64(r.reads)),
		share(node.FromMemory), share(node.FromDisk), share(node.FromShared), share(node.FromOwner), share(node.FromOrigin),
		number(r.events), number(r.fences), latency, r.stale)
	s.mu.Lock()
	head := s.lines%headEvery == 0
	s.lines++
	s.mu.Unlock()
	if head {
		s.Line(s.paint(dim, tableHead))
	}
	s.Line(text)
}

// sourceName names a source as people know the tiers.
func sourceName(s node.Source) string {
	switch s {
	case node.FromMemory:
		return "L1 (memory)"
	case node.FromDisk:
		return "L3 (own disk)"
	case node.FromShared:
		return "L2 (Redis)"
	case node.FromOwner:
		return "another node"
	case node.FromOrigin:
		return "the origin"
	}
	return s.String()
}

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// number groups digits by threes.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
