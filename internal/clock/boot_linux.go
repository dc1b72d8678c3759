package clock

import "golang.org/x/sys/unix"

// boottime reads the clock that goes on while the machine is suspended.
func boottime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return monotonic() // kernels before 2.6.39
	}
	return ts.Nano()
}
