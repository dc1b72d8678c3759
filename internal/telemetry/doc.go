// Package telemetry turns what the parts of a node count into Prometheus
// metrics, named tercet_<noun>_<unit>, counters with _total behind it, and
// tells which build runs.
//
// A registry is made for each process and handed on; there is no global one.
// Everything is read when somebody scrapes: the parts count with or without
// it, and nothing on a hot path knows of this package.
//
// Metric names are an interface: dashboards and alerts are made of them. They
// are added, not changed. Labels have few values, never keys or tags.
package telemetry
