// Package wire gives processes hosts of their own: a network namespace each, with
// a cable to a switch that the harness holds. Where a proxy cuts a link, the
// kernels at both of its ends still answer each other; where a cable is out, a
// packet is gone: no reset, no end, no answer to who connects.
//
// The switch is a namespace too, so that nothing of the machine's own network is
// changed, not even by an end of a cable. What a host offers is found on
// loopback at the same port, and what it wants from loopback at the same port of
// the switch; connections are carried across by the harness.
//
// Namespaces have no names and are kept by threads of the harness and by the
// processes on the hosts. When the harness ends, by whatever end, its processes
// are killed with it, and then nothing keeps the namespaces.
//
// It takes Linux and the right to make namespaces; [ErrNotPermitted] otherwise.
package wire
