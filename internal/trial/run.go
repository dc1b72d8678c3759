package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/raptorflow/tercet/internal/trial/fleet"
	"github.com/raptorflow/tercet/internal/trial/input"
	"github.com/raptorflow/tercet/internal/trial/play"
)

// Summary is what a run came to.
type Summary = play.Summary

// ErrIncoherent reports a run that saw what a coherent fleet never shows.
var ErrIncoherent = errors.New("the fleet was not coherent")

// Run starts a fleet, plays the workload on it, prints to out and returns what
// it came to. ctx ends it early.
//
// Errors wrap [ErrIncoherent] if the run saw a fault, [ErrOptions], those of
// package input, or say what could not be started.
func Run(ctx context.Context, o Options, out io.Writer) (Summary, error) {
	began := time.Now()
	o, err := o.withDefaults()
	if err != nil {
		return Summary{}, err
	}
	palette := play.Plain
	if o.Color {
		palette = play.Color
	}
	show := play.NewShow(out, palette)
	w, err := open(o)
	if err != nil {
		return Summary{}, err
	}
	show.Phase("Tercet trial: %s", w.Name)
	show.Detail("%d reads and %d change events, seed %d", w.Reads, w.Changes, o.Seed)

	bounded, cancel := context.WithDeadline(ctx, began.Add(limit))
	defer cancel()
	origin, arrivals := play.NewOrigin(w), play.NewArrivals(fleet.Size)
	f, err := fleet.Start(bounded, fleet.Config{
		Domain: w.Domain, Lease: lease, Rules: w.Rules,
		Load: origin.Load, Observer: arrivals.Applied,
		Listen: listen(o),
	})
	if err != nil {
		return Summary{}, err
	}
	s, err := playOn(bounded, f, w, origin, arrivals, show, o)
	s.Seed, s.Seconds = o.Seed, time.Since(began).Seconds()
	s.Print(show)
	if o.Keep && err == nil {
		keep(ctx, f, show)
	}
	err = errors.Join(err, f.Close())
	if o.JSON {
		err = errors.Join(err, s.PrintJSON(show))
	}
	return s, errors.Join(err, verdict(&s))
}

func open(o Options) (*input.Workload, error) {
	opts := input.Options{Seed: o.Seed, MaxReads: o.MaxReads}
	if o.Input == "" {
		return input.Shop(opts), nil
	}
	return input.Open(o.Input, opts)
}

// listen is where the servers can be reached by others: only a fleet that is
// kept needs that.
func listen(o Options) string {
	if o.Keep {
		return "127.0.0.1"
	}
	return ""
}

func playOn(ctx context.Context, f *fleet.Fleet, w *input.Workload, origin *play.Origin, arrivals *play.Arrivals, show *play.Show, o Options) (Summary, error) {
	show.Detail("started: NATS with JetStream, Redis stand-in, 3 nodes (L1 memory, L2 Redis, L3 disk), invalidator, warmer")
	show.Phase("Playing for %v", o.Duration)
	return play.Play(ctx, play.Config{
		Workload: w, Fleet: f, Origin: origin, Arrivals: arrivals, Show: show,
		Duration: o.Duration, Bound: bound,
	})
}

// keep leaves the fleet up until ctx ends.
func keep(ctx context.Context, f *fleet.Fleet, show *play.Show) {
	show.Phase("The fleet stays up until you press Ctrl-C")
	for _, a := range f.Addresses() {
		show.Detail("%-22s %s", a.What, a.URL)
	}
	<-ctx.Done()
}

func verdict(s *Summary) error {
	if s.Coherent() {
		return nil
	}
	return fmt.Errorf("%w: %d stale reads, %d wrong values, %d events whose fence is missing",
		ErrIncoherent, s.StaleReads, s.WrongValues, s.Unfenced)
}
