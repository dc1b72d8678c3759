package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/test/chaos/fault"
	"github.com/raptorflow/tercet/test/chaos/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/scenario"
)

// healWithin bounds the injection and the healing of one fault.
const healWithin = 3 * time.Minute

// storm injects faults and keeps the timeline.
type storm struct {
	fleet    *fleet.Fleet
	surge    func(name string, d time.Duration) (string, error)
	binaries string
	begun    time.Time
	out      io.Writer

	mu    sync.Mutex
	busy  map[string]bool // names under a fault
	line  []judge.Fault
	freed chan struct{} // closed when a name is free again, and replaced
}

func newStorm(f *fleet.Fleet, begun time.Time, out io.Writer) *storm {
	return &storm{fleet: f, begun: begun, out: out, busy: map[string]bool{}, freed: make(chan struct{})}
}

// play injects what a scenario plans and returns once all is healed.
func (s *storm) play(ctx context.Context, sc *scenario.Scenario, seed uint64) {
	var all sync.WaitGroup
	end := s.begun.Add(sc.Duration)
	for _, m := range plan(sc, seed) {
		all.Go(func() {
			if fault.Wait(ctx, time.Until(s.begun.Add(m.at))) == nil {
				s.strike(ctx, m, end)
			}
		})
	}
	all.Go(func() {
		for m := range rounds(sc.Rotation, seed) {
			if fault.Wait(ctx, sc.Rotation.Gap) != nil || time.Until(end) < m.fault.For {
				return
			}
			s.strike(ctx, m, end)
		}
	})
	all.Wait()
}

// strike injects one fault, lets it last, heals it, and notes what came of it.
func (s *storm) strike(ctx context.Context, m moment, end time.Time) {
	kind, _ := fault.Find(m.fault.Fault) // the scenario was checked
	note := judge.Fault{Kind: kind.Name, Target: m.fault.Target, At: time.Since(s.begun)}
	dice := rand.New(rand.NewPCG(m.seed, 3))
	target, err := s.take(ctx, m.fault.Target, dice)
	if err != nil {
		note.Missing = err.Error()
		s.note(note)
		return
	}
	defer s.free(target)
	note.At = time.Since(s.begun)
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), healWithin)
	in, err := fault.Inject(patient, kind, fault.Scene{
		Fleet: s.fleet, Dice: dice, Target: target, For: m.fault.For, With: m.fault.With, Surge: s.surge, Binaries: s.binaries,
	})
	cancel()
	note.Target, note.What, note.Proof = target, in.What, in.Proof
	note.History, note.Tier, note.Restarts = in.History, in.Tier, in.Restarts
	note.Struck = time.Since(s.begun)
	if !in.Since.IsZero() {
		note.At = in.Since.Sub(s.begun)
	}
	if in.Target != "" {
		note.Target = in.Target
	}
	if err != nil {
		note.Missing = err.Error()
	}
	fmt.Fprintf(s.out, "%8s  %-18s %-18s %s\n", time.Since(s.begun).Round(time.Millisecond*100), kind.Name, note.Target, either(note.Missing, note.Proof))
	if in.Heal != nil {
		if err == nil {
			_ = fault.Wait(ctx, min(m.fault.For, max(time.Until(end), 0)))
		}
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), healWithin)
		err := in.Heal(patient)
		cancel()
		if err != nil {
			note.Missing = strings.TrimPrefix(note.Missing+"; not healed: "+err.Error(), "; ")
			fmt.Fprintf(s.out, "%8s  %-18s %-18s not healed: %v\n", time.Since(s.begun).Round(time.Millisecond*100), kind.Name, note.Target, err)
		}
		note.Until = time.Since(s.begun)
	}
	s.note(note)
}

func either(a, b string) string {
	if a != "" {
		return "NOT INJECTED: " + a
	}
	return b
}

func (s *storm) note(f judge.Fault) {
	s.mu.Lock()
	s.line = append(s.line, f)
	s.mu.Unlock()
}

// timeline returns what was injected, by its beginning.
func (s *storm) timeline() []judge.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.line)
	slices.SortFunc(all, func(a, b judge.Fault) int { return int(a.At - b.At) })
	return all
}

// errBusy reports that everybody who could have been struck stayed under
// another fault, or did not run.
var errBusy = errors.New("whoever could be struck is under another fault or does not run")

// lookAgain is how often a target that could not be struck is looked for again.
const lookAgain = 500 * time.Millisecond

// take finds who is to be struck and keeps other faults off; it waits for one
// that is free and runs.
func (s *storm) take(ctx context.Context, target string, dice *rand.Rand) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healWithin)
	defer cancel()
	for {
		s.mu.Lock()
		freed := s.freed
		s.mu.Unlock()
		// The leader is asked for over the network: not under the lock.
		name, ok, err := fault.Resolve(s.fleet, target, dice, func(name string) bool { return s.isBusy(name) || s.fleet.Down(name) })
		if errors.Is(err, fault.ErrNotHere) {
			return "", err
		}
		if err == nil && ok && s.seize(name) {
			return name, nil
		}
		again := time.NewTimer(lookAgain)
		select {
		case <-freed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return "", errors.Join(errBusy, err)
		}
		again.Stop()
	}
}

func (s *storm) isBusy(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[name]
}

// seize marks both ends of a link, but not "nats" or "redis", which stand for
// many.
func (s *storm) seize(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(target, "|")
	for _, p := range parts {
		if s.busy[p] {
			return false
		}
	}
	for _, p := range parts {
		if strings.Contains(p, "-") || len(parts) == 1 {
			s.busy[p] = true
		}
	}
	return true
}

func (s *storm) free(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range strings.Split(target, "|") {
		delete(s.busy, p)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}
