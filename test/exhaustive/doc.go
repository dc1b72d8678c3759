// Package exhaustive searches every interleaving of a small scope: two nodes, a
// writer, loads, a few pulses each, a shared tier that loses, delays and
// returns whatever it ever held, a crash, a bracket whose writer dies and is
// resolved, pulses that are proved by their acknowledgement, readers who take
// what another node has loaded. What a
// record means and what a read may do is asked of the real pure machine
// (internal/coherence, internal/consistency); the shell around it is restated
// here in the smallest steps that another process could see, so that the search
// is complete where a simulation draws.
//
// Judged in each state are G1 to G5, G4b and G9 of docs/GUARANTEES.md. The
// search is bounded by the scope's clock, pulses and loads, and nothing else:
// it ends when no state is left. Each remedy that stands in the shell has a
// variant of the machine without it, which the search must find wrong; the
// remedies inside the pure machine are switched off by test/mutants.
package exhaustive
