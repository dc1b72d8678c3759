package visit

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/trial/fleet"
	"github.com/raptorflow/tercet/test/chaos/judge"
	"github.com/raptorflow/tercet/test/chaos/workload"
)

// A visit finds a node that serves, shows when its link did not, and leaves
// nothing behind in the domain.
func TestVisit(t *testing.T) {
	written := 0
	f, err := fleet.Start(t.Context(), fleet.Config{
		Domain: "theirs", Lease: 2 * time.Second, Rules: []byte(strings.Replace(workload.Rules, "[chaos]", "[theirs]", 1)), Listen: "127.0.0.1",
		Load: func(context.Context, string) ([]byte, []string, error) { return nil, nil, node.ErrNotFound },
		Observer: func(member int, _ time.Time, _ events.Mark, changes []events.Change) {
			for _, c := range changes {
				switch c.(type) {
				case *events.Put, *events.Invalidate, *events.Intent:
					if member == 0 {
						written++
					}
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := workload.Endpoint{Name: "node-a"}
	for _, a := range f.Addresses() {
		u, err := url.Parse(a.URL)
		if err != nil {
			t.Fatal(err)
		}
		switch a.What {
		case "node-a for Redis clients":
			e.RESP = u.Host
		case "node-a over HTTP":
			e.HTTP = u.Host
		}
	}
	o, err := Play(t.Context(), Config{
		Domain: "theirs", Nodes: []workload.Endpoint{e}, Lease: 2 * time.Second, Duration: time.Second, Seed: 1, Out: t.Output(),
		Mix: workload.Mix{Clients: 4, Rate: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Case.Faults) != len(disturbances) {
		t.Errorf("%d faults, want %d", len(o.Case.Faults), len(disturbances))
	}
	for _, v := range o.Verdicts {
		if v.Expected && (v.Failed() || v.Judged == 0) {
			// A second without service is more than a visit of a second allows.
			if v.Name != "unavailable" {
				t.Errorf("%s: %d judged: %s", v.Name, v.Judged, v.First)
			}
		}
	}
	out := 0
	for _, s := range judge.Services {
		out += len(o.Case.Outages(s))
	}
	if out == 0 {
		t.Error("nobody noticed that the link was cut")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if written != 0 {
		t.Errorf("%d records were written by who only reads", written)
	}
}
