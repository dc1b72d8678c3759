package main

// faulty is a fault of the protocol, the scenario that shows it, and the judges
// of whom one has to find it.
type faulty struct {
	name     string
	scenario string
	by       []string
}

// The scenarios. They are small, since there are many faults: one NATS server,
// and the lanes in which the fault shows.
const (
	quiet = `
name: prove-quiet
why: reads and writes, and nothing else
duration: 12s
fleet: {nats: 1, lease: 2s, invalidators: 1}
workload: {weights: {register: 6, everywhere: 1, loaded: 3}}
`
	lagging = `
name: prove-lagging
why: nodes hear nothing of the log for less than a lease, so that they may serve and must not serve all
duration: 16s
fleet: {nats: 1, lease: 6s, invalidators: 1}
workload: {weights: {register: 6, everywhere: 4}}
faults:
  - {fault: cut, target: node-a|nats, at: 2s, for: 3s}
  - {fault: cut, target: node-b|nats, at: 7s, for: 3s}
  - {fault: cut, target: node-c|nats, at: 12s, for: 3s}
`
	cutOff = `
name: prove-cut-off
why: nodes are cut off from the log for longer than a lease
duration: 18s
fleet: {nats: 1, lease: 2s, invalidators: 1}
workload: {weights: {register: 6, everywhere: 3}}
faults:
  - {fault: cut, target: node-a|nats, at: 3s, for: 6s}
  - {fault: cut, target: node-b|nats, at: 10s, for: 6s}
`
	restarts = `
name: prove-restarts
why: nodes are killed and start again
duration: 18s
fleet: {nats: 1, lease: 2s, invalidators: 1}
workload: {generation: 3s, weights: {register: 6, loaded: 1}}
faults:
  - {fault: kill, target: node-a, at: 3s, for: 3s}
  - {fault: kill, target: node-b, at: 7s, for: 3s}
  - {fault: kill, target: node-c, at: 11s, for: 3s}
`
	rollback = `
name: prove-rollback
why: Redis comes back with an older dump
duration: 18s
fleet: {nats: 1, lease: 2s, invalidators: 1}
workload: {weights: {register: 6, loaded: 3}}
faults:
  - {fault: redis-rolled-back, target: redis-0, at: 4s}
  - {fault: redis-rolled-back, target: redis-0, at: 11s}
`
)

var faults = []faulty{
	{"fence-leaves-copy", quiet, []string{"G1", "G4", "G2"}},
	{"no-broad-check-at-read", quiet, []string{"G1", "G4", "G2"}},
	{"birth-one-too-high", quiet, []string{"G1", "G4", "G2"}},
	{"key-fences-not-kept", quiet, []string{"G1", "G4", "G2"}},
	{"token-ignored", lagging, []string{"G2"}},
	{"strong-without-pulse", lagging, []string{"G4", "G1"}},
	{"everywhere-is-logged", lagging, []string{"G5"}},
	{"bound-ignored", lagging, []string{"G3"}},
	{"no-lease", cutOff, []string{"G1", "G5"}},
	{"late-reads-serve-cache", cutOff, []string{"G1", "G3", "G4", "G2"}},
	{"broad-fences-forgotten", restarts, []string{"G1", "G7"}},
	{"skip-join-gate", restarts, []string{"G1", "G7", "G4", "G2"}},
	{"shared-trusted", rollback, []string{"G1", "G6"}},
}
