// Package backtest tells what a set of rules would have made of events that
// happened already, and how that differs from what another set makes of them.
//
// It counts what rules would ask for. It knows neither what was cached nor what
// was read, so that two sets that ask for the same number of names may differ
// much in misses. It is pure; memory is bounded whatever the number of events.
package backtest
