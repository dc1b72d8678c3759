// Package httpapi is a node's HTTP interface: values, invalidations and
// explanations under /v1/{domain}/, health and metrics beside them. The
// document that it serves at /openapi.yaml describes every route; a test holds
// the two together.
//
// Guarantees:
//
//   - A PUT, DELETE or invalidation is answered when it is in the log and
//     applied here. The answer's Tercet-Token, given to any node with a later
//     GET, makes that read see the write (G2).
//   - Errors are application/problem+json (RFC 9457) with a type that a
//     program can tell them by.
//   - A request without the token is told nothing, except at /healthz and
//     /readyz, which tell no more than their status.
//   - Bodies, headers and durations are bounded.
//
// Not promised: that the bytes of a value come back with the Content-Type they
// were put with; values are bytes here as everywhere.
package httpapi
