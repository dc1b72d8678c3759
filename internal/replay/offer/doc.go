// Package offer brings a running node the values that its domain's log still
// holds: to warm one that is new, or to give one back what it lost.
//
// A value from the log is a copy like any other. It is offered with the birth
// that its Put gave it, by the way that copies take between nodes, with a voucher:
// a position and the digest that the log itself has there. The node keeps it only
// if it has lived through the same history and its own fences leave the copy
// alive; so a value is never written anew, and offering an old one, or offering
// twice, changes nothing (G6, G9).
//
// Not offered: what is dead at the log's end or has expired, what did not ride in
// the log, and, where the log was trimmed since its epoch began, values with a row
// version: the higher one that they lost to may have been trimmed.
package offer
