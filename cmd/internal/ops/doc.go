// Package ops is what the services have in common for whoever operates them:
// logging, signals, and an HTTP interface with /healthz, /readyz and /metrics.
package ops
