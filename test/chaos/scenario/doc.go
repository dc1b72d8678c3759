// Package scenario reads what a chaos run consists of: a fleet, a workload,
// faults on a schedule and what is expected, as YAML. A key that is not known is
// an error with its file and line. The scenarios that ship are embedded.
package scenario
