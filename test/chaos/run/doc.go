// Package run plays scenarios: it starts a fleet, sends a workload at it,
// injects faults by a seeded schedule, heals them, waits until the fleet has
// settled, and has what was recorded judged.
package run
