//go:build !linux

package clock

// boottime falls back to the monotonic clock, which stops during a suspension
// on some systems; the wall clock's jump then ends the lease.
func boottime() int64 { return monotonic() }
