package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SnapshotCounts is what a node has counted of its snapshots.
type SnapshotCounts struct {
	Made, Failed, Bytes uint64
	Took                time.Duration
	LastBytes           uint64
	LastTook            time.Duration
	// Newest is when the newest in the store was made; zero: none is known.
	Newest time.Time
}

// Snapshots returns the metrics of a node's snapshots. The newest one's age is
// left out while none is known.
func Snapshots(snapshot func() SnapshotCounts) prometheus.Collector {
	type stats = SnapshotCounts
	age := desc("snapshot_age_seconds", "Age of the newest full snapshot in the store, whoever made it.")
	last := desc("snapshot_last_seconds", "How long the last snapshot took that this node made.")
	return &collector[stats]{
		snapshot: snapshot,
		metrics: []metric[stats]{
			counter("snapshots_made", "Snapshots that this node made.", func(s *stats) uint64 { return s.Made }),
			counter("snapshots_failed", "Snapshots that could not be made.", func(s *stats) uint64 { return s.Failed }),
			counter("snapshot_bytes", "Bytes that the snapshots took in the store.", func(s *stats) uint64 { return s.Bytes }),
			seconds("snapshot", "Time that making them took.", func(s *stats) time.Duration { return s.Took }),
			gauge("snapshot_last_bytes", "Bytes of the last snapshot that this node made.", func(s *stats) uint64 { return s.LastBytes }),
		},
		also: []*prometheus.Desc{age, last},
		more: func(s *stats, out chan<- prometheus.Metric) {
			out <- prometheus.MustNewConstMetric(last, prometheus.GaugeValue, s.LastTook.Seconds())
			if !s.Newest.IsZero() {
				out <- prometheus.MustNewConstMetric(age, prometheus.GaugeValue, time.Since(s.Newest).Seconds())
			}
		},
	}
}
