package clocktest

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// Bubble runs f as [synctest.Test] does, in virtual time. Under the race
// detector it lends the process a single processor until f has returned: a
// bubble keeps one race context for all its timers, and a timer that is due
// before anyone waits for it fires on the goroutine that looks at it, so that
// two processors use the context at once and the detector's own state breaks
// (https://go.dev/issue/78156: "CHECK failed" or a segmentation fault, at
// random). Races are found all the same, since the detector judges what orders
// two accesses, not whether they met.
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if RaceEnabled {
		alone.enter()
		defer alone.leave()
	}
	synctest.Test(t, f)
}

// alone counts the bubbles that run, which may be those of parallel tests.
var alone processors

type processors struct {
	mu      sync.Mutex
	bubbles int
	before  int // GOMAXPROCS, to be set again after the last bubble
}

func (p *processors) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bubbles++; p.bubbles == 1 {
		p.before = runtime.GOMAXPROCS(1)
	}
}

func (p *processors) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bubbles--; p.bubbles == 0 {
		runtime.GOMAXPROCS(p.before)
	}
}
