// Package sim runs whole fleets in virtual time: the real shell of a node
// (internal/node with its pure cores, the real memory tier and the real group
// commit, and the members' witness of internal/peers over a network of its own) over a
// log in memory and simulated disks, shared tier, witness, peers, copies between nodes and
// clocks, all of which fail as their originals do. A seed is one run: it decides the settings, the operations, the faults and every delay.
//
// [Run] must be called inside a testing/synctest bubble. It records every
// operation and fault with its virtual time, keeps the truth (an origin with
// the history of each row, and every record that the log ever held), and
// afterwards lets judges look at every read:
//
//   - G1/G3 nothing fenced longer ago than the read's bound, or the lease;
//   - G2 nothing older than the session's token;
//   - G4 a strong read sees every fence that landed before it was invoked;
//   - G4b rows written under brackets agree with the origin at every instant;
//   - G5 nothing that an Everywhere write overwrote before the read began;
//   - G6, G7 and G9 are the same obligations, counted apart for reads after a
//     tier was rolled back, on a node that was restarted, and after late or
//     repeated messages;
//   - G8 nothing of an old history is served a lease after the log changed; where the
//     members are the only witness, for who was told, and while one who was is left;
//   - liveness: healed, every node serves, agrees with the origin, and
//     Everywhere writes return.
//
// Not covered: real technology, which test/chaos runs; the wire forms of
// peers, of copies and of the shared tier; load once per fleet (G10).
//
// Goroutines that wake at the same instant run in the scheduler's order, so
// that a seed does not decide everything: running it again reproduces most
// failures, not all.
package sim
