// Package link connects the binaries to NATS as their configuration says, and
// to the domains' logs there.
package link
