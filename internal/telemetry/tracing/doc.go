// Package tracing carries OpenTelemetry's spans along with what Tercet sends:
// a fence's cause holds the trace context of the domain event that led to it,
// and whoever applies the fence goes on with that trace.
//
// It stands on OpenTelemetry's API alone. Without an SDK in the process no span
// is recorded, and a trace context that came in still travels on.
package tracing
