// Package server holds what a node's servers share: the [Cache] that they
// stand in front of, and the way they listen. The servers themselves are
// package resp, for Redis clients, and package httpapi.
//
// A server promises what the node behind it promises, read level by read
// level, and nothing of its own; it adds authentication, limits and a wire
// form.
package server
