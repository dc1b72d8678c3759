// Bench measures each raw part (freecache, go-redis, pebble, JetStream) beside
// Tercet's path over it: in one process, in turns of a few milliseconds, with
// every value checked. See README.md.
//
// It is a module of its own so that what is only compared never becomes a
// dependency of those who use Tercet.
package main
