// Package http fetches values from HTTP servers: it turns a key into a URL by
// the longest prefix that matches and judges the answer by its headers.
//
// Guarantees:
//
//   - What a key contains never changes the server, the path's depth or the
//     parameters of a URL: it is escaped, and redirects to other hosts are not
//     followed.
//   - An answer is bounded in size and time, and requests at once per origin are
//     bounded.
//   - What the server forbids a shared cache to store (RFC 9111: no-store,
//     private, no-cache, Vary: *) comes back marked so; 404 and 410 come back
//     as the knowledge that there is no such value.
//
// Not promised: revalidation, authentication, ranges. Cookies are neither sent
// nor kept.
//
// It is called by cmd/node and cmd/warmer, which make loaders of it.
package http
