package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/raptorflow/tercet/internal/node"
)

// Switches returns the metrics of the tiers' kill switches: of those tiers that the
// node has.
func Switches(snapshot func() []node.TierState) prometheus.Collector {
	on := desc("tier_on", "Whether the node uses the tier (1), or goes on without it because it was switched off (0).", "tier")
	return &collector[[]node.TierState]{
		snapshot: snapshot,
		also:     []*prometheus.Desc{on},
		more: func(states *[]node.TierState, out chan<- prometheus.Metric) {
			for _, t := range *states {
				if !t.Present {
					continue
				}
				v := 0.0
				if t.On {
					v = 1
				}
				out <- prometheus.MustNewConstMetric(on, prometheus.GaugeValue, v, t.Tier.String())
			}
		},
	}
}
