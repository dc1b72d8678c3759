// Package gauge watches what processes take: goroutines, open files, memory. It
// asks /proc and, where there is one, the process's own metrics.
package gauge

import "time"

// Harness is the name and kind of the process that plays the scenario, members
// that are embedded in it included.
const Harness = "harness"

// Process is one that is watched.
type Process struct {
	Name, Kind string
	Pid        int
	// Metrics is the URL of its Prometheus metrics; empty: it has none.
	Metrics string
}

// Sample is what a process took at one moment. -1: nobody could tell.
type Sample struct {
	At         time.Duration
	Name, Kind string
	Pid        int
	Goroutines int
	Files      int
	RSS        int64 // bytes
}
