package ops

import "github.com/prometheus/client_golang/prometheus"

// Sample is one value of a metric.
type Sample struct {
	// Name is the metric's; one that ends with _total is a counter, any other
	// a gauge. Help is for people.
	Name, Help string
	Value      float64
	// Label and its value; empty: none.
	Label, LabelValue string
}

// Samples is a collector that reads all values of a service at once.
type Samples func() []Sample

// Describe sends nothing: which labels there are depends on the rules.
func (Samples) Describe(chan<- *prometheus.Desc) {}

// Collect sends the values.
func (s Samples) Collect(out chan<- prometheus.Metric) {
	for _, v := range s() {
		kind := prometheus.GaugeValue
		if len(v.Name) > 6 && v.Name[len(v.Name)-6:] == "_total" {
			kind = prometheus.CounterValue
		}
		var labels, values []string
		if v.Label != "" {
			labels, values = []string{v.Label}, []string{v.LabelValue}
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(v.Name, v.Help, labels, nil), kind, v.Value, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewDesc(v.Name, v.Help, labels, nil), err)
		}
		out <- m
	}
}
