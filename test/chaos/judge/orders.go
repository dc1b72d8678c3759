package judge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/test/chaos/workload"
	"github.com/raptorflow/tercet/test/history"
)

// plain strips operations to what package history judges.
func (ct *court) plain(which func(workload.Op) bool) []history.Op {
	var out []history.Op
	for _, o := range ct.Ops {
		if which(o) {
			out = append(out, o.Op)
		}
	}
	return out
}

func (ct *court) g2(v *Verdict) {
	v.Expected = ct.byLane[workload.Register] > 0
	unplaced := 0
	ops := ct.plain(func(o workload.Op) bool {
		if !answered(o) || o.Level != "session" {
			return false
		}
		_, known := ct.place(o)
		if !known || o.Unplaced {
			unplaced++
		}
		return known && !o.Unplaced
	})
	if unplaced > 0 {
		v.Figures = fmt.Sprintf("%d that the observer can't place", unplaced)
	}
	if v.Judged = len(ops); v.Judged == 0 {
		return
	}
	if err := history.Sessions(ops, ct.Places); err != nil {
		for line := range strings.Lines(err.Error()) {
			v.accuse("%s", strings.TrimSpace(line))
		}
	}
}

// linearizable gives each key's history to porcupine, two at a time.
func (ct *court) linearizable(v *Verdict, ops []history.Op, check func([]history.Op) error) {
	byKey := map[string][]history.Op{}
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	keys := make(chan string)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for key := range keys {
				err := check(byKey[key])
				if err == nil {
					continue
				}
				var picture bytes.Buffer
				if wrong, ok := errors.AsType[*history.Wrong](err); ok {
					_ = wrong.Picture(&picture) // a report without it says the same in words
				}
				mu.Lock()
				v.accuse("%v", err)
				if v.Picture == nil {
					v.Picture = picture.Bytes()
				}
				mu.Unlock()
			}
		})
	}
	for key, of := range byKey {
		reads := slices.ContainsFunc(of, func(o history.Op) bool { return o.Outcome == history.Done || o.Outcome == history.Miss })
		if !reads {
			continue
		}
		for _, o := range of {
			if o.Outcome == history.Done || o.Outcome == history.Miss {
				v.Judged++
			}
		}
		keys <- key
	}
	close(keys)
	all.Wait()
	v.Figures = fmt.Sprintf("%d keys", len(byKey))
}

func (ct *court) g4(v *Verdict) {
	v.Expected = ct.byLane[workload.Register] > 0
	ct.linearizable(v, ct.plain(func(o workload.Op) bool {
		return o.Lane() == workload.Register && (o.Kind != history.Read || o.Level == "strong")
	}), history.Strong)
}

func (ct *court) g5(v *Verdict) {
	v.Expected = ct.byLane[workload.Everywhere] > 0
	ct.linearizable(v, ct.plain(func(o workload.Op) bool { return o.Lane() == workload.Everywhere }), history.Everywhere)
}

// g4b leaves out keys whose bracket was open while the log lost records: for
// those nothing is promised.
func (ct *court) g4b(v *Verdict) {
	v.Expected = ct.byLane[workload.Bracketed] > 0
	spared := map[string]bool{}
	for _, o := range ct.Ops {
		if o.Lane() != workload.Bracketed || o.Kind != history.Write {
			continue
		}
		for _, f := range ct.Faults {
			end := time.Duration(o.Return)
			if o.Outcome == history.Unknown {
				end = ct.Ended
			}
			if f.History && time.Duration(o.Call) < max(f.At, f.Until)+ct.Lease && end > f.At {
				spared[o.Key] = true
			}
		}
	}
	ct.linearizable(v, ct.plain(func(o workload.Op) bool { return o.Lane() == workload.Bracketed && !spared[o.Key] }), history.Bracketed)
	if len(spared) > 0 {
		v.Figures += fmt.Sprintf("; %d spared, with a bracket open while the log lost records", len(spared))
	}
}

// g8 looks at reads that began a lease after the log's history had changed: what
// had been written before it began to change is not served then.
func (ct *court) g8(v *Verdict) {
	late := time.Duration(float64(ct.Lease) * drift)
	written := map[string]map[int64]workload.Op{}
	for _, o := range ct.Ops {
		if o.Kind == history.Write && o.Outcome == history.Done {
			if written[o.Key] == nil {
				written[o.Key] = map[int64]workload.Op{}
			}
			written[o.Key][o.Value] = o
		}
	}
	for _, f := range ct.Faults {
		if !f.History || f.Missing != "" {
			continue
		}
		v.Expected = true
		for _, o := range ct.Ops {
			if !answered(o) || o.Lane() != workload.Register && o.Lane() != workload.Everywhere || time.Duration(o.Call) < f.struck()+late {
				continue
			}
			v.Judged++
			if w, ok := written[o.Key][o.Value]; ok && time.Duration(w.Return) < f.At {
				v.accuse("written at %s, before %s of %s at %s, and served at %s: %s", ms(time.Duration(w.Call)), f.Kind, f.Target, ms(f.At), ms(time.Duration(o.Call)), tell(o))
			}
		}
		if !slices.ContainsFunc(ct.Epochs, func(e workload.Epoch) bool { return e.At >= f.At }) {
			v.accuse("no epoch was opened after %s of %s at %s", f.Kind, f.Target, ms(f.At))
		}
	}
	for _, e := range ct.Epochs {
		v.Figures += fmt.Sprintf("epoch %v at %s (%s); ", e.ID, ms(e.At), e.Why)
	}
	v.Figures = strings.TrimSuffix(v.Figures, "; ")
	switch {
	case ct.Epoch == "never":
		v.Judged = max(v.Judged, len(ct.Ops))
		for _, e := range ct.Epochs {
			v.accuse("an epoch was opened at %s though nothing had happened to the log: %s", ms(e.At), e.Why)
		}
	case ct.Epoch == "required" && len(ct.Epochs) == 0:
		v.accuse("no epoch was opened")
	}
}

func (ct *court) lost(v *Verdict) {
	v.Expected = ct.byLane[workload.Register]+ct.byLane[workload.Everywhere]+len(ct.Accepted) > 0
	if ct.Kept == nil && v.Expected {
		v.accuse("the log could not be read at the end: %s", ct.KeptErr)
		return
	}
	announced, events := 0, 0
	const any = -1
	after := func(at time.Duration, partition int) bool {
		return slices.ContainsFunc(ct.Epochs, func(e workload.Epoch) bool { return e.At >= at && (partition == any || e.Partition == partition) })
	}
	for _, o := range ct.Ops {
		if o.Kind != history.Write || o.Outcome != history.Done || o.Lane() != workload.Register && o.Lane() != workload.Everywhere {
			continue
		}
		v.Judged++
		switch {
		case ct.Kept[o.Key][o.Value]:
		case after(time.Duration(o.Call), node.Partition(o.Key, ct.Partitions)):
			announced++
		default:
			v.accuse("acknowledged, and not in the log: %s", tell(o))
		}
	}
	for id, at := range ct.Accepted {
		v.Judged++
		events++
		if _, ok := ct.Fenced[id]; !ok && !after(at, any) {
			v.accuse("event %s was accepted at %s, and never fenced anything", id, ms(at))
		}
	}
	v.Figures = fmt.Sprintf("%d domain events among them", events)
	if announced > 0 {
		v.Figures += fmt.Sprintf("; %d acknowledged writes are gone, which an epoch announced", announced)
	}
}
