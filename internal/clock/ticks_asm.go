//go:build amd64 || arm64

package clock

// ticks reads the processor's counter, which goes on while the process is
// stopped. It is used to tell how old a reading is, never to measure time.
func ticks() uint64
