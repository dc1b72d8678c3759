package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/raptorflow/tercet/cmd/internal/ops"
)

// reloads remembers how the attempts to read the rules again went. It is safe
// for concurrent use; the zero value is ready.
type reloads struct {
	mu               sync.Mutex
	adopted, refused uint64
	last             time.Time // of the last adoption; zero: the rules are those of the start
	fault            error     // why the files as they are now are not in force; nil: they are
}

// watched returns adopt with its outcomes noted.
func (r *reloads) watched(adopt func(context.Context, []string) error) func(context.Context, []string) error {
	return func(ctx context.Context, texts []string) error {
		err := adopt(ctx, texts)
		r.done(err)
		return err
	}
}

func (r *reloads) done(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault = err; err != nil {
		r.refused++
		return
	}
	r.adopted++
	r.last = time.Now()
}

// note is the line of /readyz about rules that are not in force. It says where
// to look and not what is wrong there: whoever may probe a service need not
// read its rules.
func (r *reloads) note() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		return ""
	}
	where, _, _ := strings.Cut(r.fault.Error(), ": ")
	return "rules: the files are refused and the earlier rules stay in force: " + where
}

func (r *reloads) samples() ops.Samples {
	return func() []ops.Sample {
		r.mu.Lock()
		defer r.mu.Unlock()
		refusing := 0.0
		if r.fault != nil {
			refusing = 1
		}
		all := []ops.Sample{
			{Name: "tercet_invalidator_rule_reloads_total", Help: "Times that changed rules came into force.", Value: float64(r.adopted)},
			{Name: "tercet_invalidator_refused_rule_reloads_total", Help: "Times that changed rules were refused.", Value: float64(r.refused)},
			{Name: "tercet_invalidator_rules_refused", Help: "1 while the rule files hold something else than the running rules.", Value: refusing},
		}
		if !r.last.IsZero() {
			all = append(all, ops.Sample{Name: "tercet_invalidator_rules_adopted_timestamp_seconds",
				Help: "When rules last came into force.", Value: float64(r.last.Unix())})
		}
		return all
	}
}
