// Package turn holds the words and the rules by which the nodes of a domain
// load a missing key once: a turn is the right to load it, for a while, and
// whoever may use what that load finds waits for its announcement instead of
// loading too.
//
// Turns save loads and nothing else. That two nodes hold a turn for one key, or
// one goes on after it has lost its own, costs a load and never a wrong
// answer: copies are judged by their births, wherever they come from.
//
// [Table] grants turns in one process. It is pure: it is told the time and
// locks nothing. Redis grants by a script of the same rules; see
// internal/tiers/redis.
package turn
