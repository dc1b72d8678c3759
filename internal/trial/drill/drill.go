package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/backup"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
)

// ErrFailed reports a drill in which something dead was served, or something
// promised was missing.
var ErrFailed = errors.New("drill failed")

// Options say how a drill is played. The zero value: 2,000 keys, silently.
type Options struct {
	// Keys is how many keys are written; default 2,000.
	Keys int
	// Out is told each step as it begins; nil: nobody is.
	Out io.Writer
}

// Report is what a drill came to.
type Report struct {
	Drill string `json:"drill"`
	// Steps are what was done, in order.
	Steps []Step `json:"steps"`
	// Recovery is how long it took until the fleet served again, in seconds.
	Recovery float64 `json:"recovery_seconds"`
	// Back are values that were read after it, on each node; Missing those that
	// have to be loaded again. Promised: none may be missing.
	Back     int  `json:"values_back"`
	Missing  int  `json:"values_missing"`
	Promised bool `json:"promised"`
	// Dead are answers with what had been fenced or overwritten: there must be
	// none. First is one of them.
	Dead  int    `json:"dead_served"`
	First string `json:"first_dead,omitempty"`
	// Reads are those that watched while it happened.
	Reads uint64 `json:"reads_meanwhile,omitempty"`
}

// Step is one thing that was done, and how long it took in seconds.
type Step struct {
	What string  `json:"what"`
	Took float64 `json:"seconds"`
}

// Passed reports whether the drill passed.
func (r *Report) Passed() bool {
	return r.Dead == 0 && (r.Missing == 0 || !r.Promised) && (r.Back > 0 || !r.Promised)
}

// drills are those that there are.
var drills = map[string]func(*play) error{
	"restore": (*play).restore, "rebuild": (*play).rebuild, "regression": (*play).regression, "backup": (*play).backup,
}

// Names are the drills that there are.
func Names() []string {
	var all []string
	for name := range drills {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Run plays a drill. Errors: [events.ErrInvalid] for one that there is not,
// [ErrFailed] beside the report, or what kept it from being played.
func Run(ctx context.Context, name string, o Options) (Report, error) {
	drill, ok := drills[name]
	if !ok {
		return Report{}, fmt.Errorf("%w drill %q: there are %s", events.ErrInvalid, name, strings.Join(Names(), ", "))
	}
	if o.Keys == 0 {
		o.Keys = 2000
	}
	p := &play{ctx: ctx, options: o, report: Report{Drill: name}}
	var err error
	if p.fleet, err = startFleet(ctx); err != nil {
		return p.report, err
	}
	err = drill(p)
	if err = errors.Join(err, p.fleet.close()); err != nil {
		return p.report, fmt.Errorf("drill %s: %w", name, err)
	}
	if !p.report.Passed() {
		return p.report, fmt.Errorf("%w: %s: %d dead values served, %d promised values missing", ErrFailed, name, p.report.Dead, p.report.Missing)
	}
	return p.report, nil
}

// play is one drill under way.
type play struct {
	ctx     context.Context
	options Options
	fleet   *scratchFleet
	truth   truth
	report  Report
}

// step does one thing and notes how long it took.
func (p *play) step(what string, do func() error) error {
	if p.options.Out != nil {
		fmt.Fprintf(p.options.Out, "  %-64s", what)
	}
	began := time.Now()
	err := do()
	took := time.Since(began)
	if p.options.Out != nil {
		fmt.Fprintf(p.options.Out, " %8v\n", took.Round(time.Millisecond))
	}
	p.report.Steps = append(p.report.Steps, Step{what, took.Seconds()})
	return err
}

// steps does all of them, up to the first that fails.
func (p *play) steps(all ...func() error) error {
	for _, f := range all {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) write() error {
	return p.step(fmt.Sprintf("write %d values on three nodes, change some, fence some", p.options.Keys), func() (err error) {
		p.truth, err = p.fleet.write(p.ctx, p.options.Keys)
		return err
	})
}

func (p *play) changeMore() error {
	return p.step("change others, fence others", func() error { return p.fleet.change(p.ctx, p.truth, 1) })
}

func (p *play) check(nodes ...int) error {
	return p.step("read every key and judge the answers", func() error {
		f, err := p.fleet.check(p.ctx, p.truth, nodes...)
		p.found(f)
		return err
	})
}

func (p *play) found(f findings) {
	p.report.Back += f.back
	p.report.Missing += f.missing
	p.report.Dead += f.dead
	if p.report.First == "" {
		p.report.First = f.first
	}
}

// recovering is a step whose time is the recovery's.
func (p *play) recovering(what string, do func() error) error {
	err := p.step(what, do)
	p.report.Recovery = p.report.Steps[len(p.report.Steps)-1].Took
	return err
}

// rebuild: Redis and all disks are lost. The log brings everything back.
func (p *play) rebuild() error {
	p.report.Promised = true
	return p.steps(p.write, p.changeMore,
		func() error { return p.step("lose Redis and the disks of all nodes", p.loseEverything) },
		func() error { return p.recovering("start all nodes: they replay the log", p.startAll) },
		func() error { return p.check(0, 1, 2) })
}

func (p *play) loseEverything() error {
	p.fleet.redis.FlushAll()
	for i := range p.fleet.nodes {
		if err := p.fleet.lose(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) startAll() error {
	for i := range p.fleet.nodes {
		if err := p.fleet.start(p.ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// restore: one node's disk is lost. A snapshot from before the last changes and
// the log's tail bring it back.
func (p *play) restore() error {
	p.report.Promised = true
	var taken client.Snapshot
	return p.steps(p.write,
		func() error {
			return p.step("take a snapshot of node-a", func() (err error) {
				taken, err = p.fleet.nodes[0].CreateSnapshot(p.ctx, client.SnapshotFull, nil)
				return err
			})
		},
		p.changeMore,
		func() error {
			return p.step("lose Redis and the disk of node-a", func() error {
				p.fleet.redis.FlushAll()
				return p.fleet.lose(0)
			})
		},
		func() error {
			return p.recovering("start node-a: it begins with the snapshot", func() error { return p.fleet.start(p.ctx, 0) })
		},
		func() error {
			began := p.fleet.nodes[0].Beginning()
			if began.Snapshot == nil || began.Snapshot.ID != taken.ID {
				return fmt.Errorf("node-a did not begin with the snapshot %s: %v", taken.ID, began.Refused)
			}
			return nil
		},
		func() error { return p.check(0) })
}

// backup: the log is lost, and restored from a backup of before the last changes.
func (p *play) backup() error {
	dir := filepath.Join(p.fleet.dir, "backup")
	return p.historyLost(dir, "restore the domain from the backup, with an epoch of its own", func() error {
		_, _, err := backup.Restore(p.ctx, p.fleet.nc, dir, true)
		return err
	})
}

// regression: the log goes back behind the last changes, and nobody says so.
func (p *play) regression() error {
	dir := filepath.Join(p.fleet.dir, "backup")
	return p.historyLost(dir, "roll the log back; nobody tells the nodes", func() error {
		return backup.RollBack(p.ctx, p.fleet.nc, dir)
	})
}

// historyLost takes the log's last changes away while all nodes are read.
func (p *play) historyLost(dir, what string, lose func() error) error {
	var before events.Epoch
	watching, stop := context.WithCancel(p.ctx)
	defer stop()
	watched := make(chan struct{})
	return p.steps(p.write,
		func() error {
			return p.step("back the domain's log up", func() error {
				_, err := backup.Take(p.ctx, p.fleet.nc, domain, dir, nil)
				return err
			})
		},
		p.changeMore,
		func() error {
			before = p.fleet.nodes[0].Node().Epoch("")
			go func() {
				defer close(watched)
				f, reads := p.fleet.watch(watching, p.truth)
				p.found(findings{dead: f.dead, first: f.first})
				p.report.Reads = reads
			}()
			err := p.step(what, lose)
			if err != nil {
				stop()
				<-watched
			}
			return err
		},
		func() error {
			err := p.recovering("wait until all nodes serve in another epoch", func() error { return p.otherEpoch(before) })
			stop()
			<-watched
			return err
		},
		func() error { return p.check(0, 1, 2) },
		func() error {
			return p.step("write on one node, read on the others", func() error {
				if _, err := p.fleet.nodes[0].Set(p.ctx, "after", []byte("it goes on"), client.Everywhere()); err != nil {
					return err
				}
				for _, c := range p.fleet.nodes {
					if v, err := c.Get(p.ctx, "after", client.At(client.Strong())); err != nil || string(v.Bytes) != "it goes on" {
						return fmt.Errorf("a value written after it reads as %q, %w", v.Bytes, err)
					}
				}
				return nil
			})
		})
}

// patience is how long nodes may take to come back: many leases.
const patience = time.Minute

// otherEpoch waits until every node serves in an epoch that began after before.
func (p *play) otherEpoch(before events.Epoch) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		same := p.fleet.nodes[0].Node().Epoch("")
		done := same != before && same != 0
		for _, c := range p.fleet.nodes {
			done = done && c.Node().Epoch("") == same && c.Node().Serving() == nil
		}
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the nodes did not come back: %w: %w", ctx.Err(), p.fleet.nodes[0].Node().Serving())
		case <-tick.C:
		}
	}
}
