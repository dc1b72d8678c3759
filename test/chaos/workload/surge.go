package workload

import (
	"fmt"
	"time"
)

// Surge is a disturbance that clients make by themselves.
type Surge string

// The surges.
const (
	// HotKey: all ask for the first key of their lane.
	HotKey Surge = "hot-key"
	// Skew: a few keys get most of the reads.
	Skew Surge = "skew"
	// Stampede: the domain is cleared, and all ask for the herd's keys.
	Stampede Surge = "thundering-herd"
)

// Surge begins a disturbance, which lasts for d, and says how it shows.
func (w *Workload) Surge(s Surge, d time.Duration) (proof string, err error) {
	switch s {
	case HotKey, Skew, Stampede:
	default:
		return "", fmt.Errorf("no surge is called %q", s)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.surges[s] = w.now() + d
	if s == Stampede {
		w.herd++
	}
	return fmt.Sprintf("%d clients act so until %v", w.mix.Clients, (w.now() + d).Round(time.Millisecond)), nil
}

// surging reports whether a surge is on, and how often the herd was let loose.
func (w *Workload) surging(s Surge) (bool, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now() < w.surges[s], w.herd
}
