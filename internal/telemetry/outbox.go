package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/raptorflow/tercet/internal/outbox"
)

// Outbox returns the metrics of a process's outbox.
func Outbox(snapshot func() outbox.Stats) prometheus.Collector {
	type stats = outbox.Stats
	age := desc("outbox_oldest_seconds", "How long the oldest message has been waiting; 0 if none is.")
	return &collector[stats]{
		snapshot: snapshot,
		metrics: []metric[stats]{
			gauge("outbox_waiting", "Messages that are not delivered yet.", func(s *stats) uint64 { return uint64(s.Waiting) }),
			gauge("outbox_bytes", "Bytes that they take.", func(s *stats) uint64 { return uint64(s.Bytes) }),
			gauge("outbox_refused", "Messages that were refused for good and are set aside; should be 0.", func(s *stats) uint64 { return uint64(s.Refused) }),
			counter("outbox_accepted", "Messages accepted.", func(s *stats) uint64 { return s.Accepted }),
			counter("outbox_delivered", "Messages delivered.", func(s *stats) uint64 { return s.Delivered }),
			counter("outbox_failures", "Deliveries that failed and are tried again.", func(s *stats) uint64 { return s.Failures }),
		},
		also: []*prometheus.Desc{age},
		more: func(s *stats, out chan<- prometheus.Metric) {
			seconds := 0.0
			if !s.Oldest.IsZero() {
				seconds = time.Since(s.Oldest).Seconds()
			}
			out <- prometheus.MustNewConstMetric(age, prometheus.GaugeValue, seconds)
		},
	}
}
