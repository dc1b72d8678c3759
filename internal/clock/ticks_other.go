//go:build !amd64 && !arm64

package clock

func ticks() uint64 { return uint64(monotonic()) }
