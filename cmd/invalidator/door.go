package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/cmd/internal/ops"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/invalidator/intake"
)

const doorPattern = "POST /v1/{domain}/events"

// door lets events in over HTTP.
type door struct {
	nc     *nats.Conn // nil where nothing listens
	intake *intake.Handler
}

// newDoor connects to NATS a second time: acknowledgements of events that are
// stored must not wait behind those of the log.
func newDoor(ctx context.Context, c *config.Config, log *slog.Logger) (door, error) {
	if c.HTTP.Addr == config.Off {
		return door{}, nil
	}
	nc, err := link.Keep(ctx, c.NATS, "tercet invalidator events", log)
	if err != nil {
		return door{}, err
	}
	h, err := link.NewIntake(nc, c.Invalidator)
	if err != nil {
		nc.Close()
		return door{}, err
	}
	return door{nc, h}, nil
}

// handler takes events for the domains that are known: a sender who misspelt
// one should hear of it, though events belong to no domain.
func (d door) handler(known func(domain string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known(r.PathValue("domain")) {
			http.Error(w, "no rule is about this domain", http.StatusNotFound)
			return
		}
		d.intake.ServeHTTP(w, r)
	})
}

func (d door) close() {
	if d.nc != nil {
		d.nc.Close()
	}
}

func (d door) samples() ops.Samples {
	return func() []ops.Sample {
		if d.intake == nil {
			return nil
		}
		s := d.intake.Stats()
		sample := func(name, help string, v uint64) ops.Sample {
			return ops.Sample{Name: "tercet_intake_" + name, Help: help, Value: float64(v)}
		}
		return []ops.Sample{
			sample("events_total", "Events that came over HTTP and are stored.", s.Stored),
			sample("repeated_events_total", "Those among them that were stored before.", s.Repeated),
			sample("refused_requests_total", "Requests that were not understood.", s.Refused),
			sample("failed_requests_total", "Requests whose events are not known to be stored.", s.Failed),
		}
	}
}
