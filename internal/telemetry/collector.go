package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one number of a snapshot S.
type metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	label string // the value of its one label; empty: none
	value func(*S) float64
}

// collector takes one snapshot for each scrape and reads its metrics out.
type collector[S any] struct {
	snapshot func() S
	metrics  []metric[S]
	// more sends what is not one number of a snapshot.
	more func(*S, chan<- prometheus.Metric)
	also []*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
	for _, d := range c.also {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	for _, m := range c.metrics {
		if m.label == "" {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
		} else {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s), m.label)
		}
	}
	if c.more != nil {
		c.more(&s, out)
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tercet_"+name, help, labels, nil)
}

func counter[S any](name, help string, value func(*S) uint64) metric[S] {
	return metric[S]{desc(name+"_total", help), prometheus.CounterValue, "", func(s *S) float64 { return float64(value(s)) }}
}

// seconds is a counter of time.
func seconds[S any](name, help string, value func(*S) time.Duration) metric[S] {
	return metric[S]{desc(name+"_seconds_total", help), prometheus.CounterValue, "", func(s *S) float64 { return value(s).Seconds() }}
}

func gauge[S any](name, help string, value func(*S) uint64) metric[S] {
	return metric[S]{desc(name, help), prometheus.GaugeValue, "", func(s *S) float64 { return float64(value(s)) }}
}

// family is a counter with one label, a metric for each of its values.
func family[S any](name, help, label string, values ...labelled[S]) []metric[S] {
	d := desc(name+"_total", help, label)
	out := make([]metric[S], len(values))
	for i, v := range values {
		out[i] = metric[S]{d, prometheus.CounterValue, v.label, func(s *S) float64 { return float64(v.value(s)) }}
	}
	return out
}

type labelled[S any] struct {
	label string
	value func(*S) uint64
}

func join[S any](parts ...[]metric[S]) []metric[S] {
	var all []metric[S]
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
