package node

import (
	"github.com/cespare/xxhash/v2"

	"github.com/raptorflow/tercet/internal/events"
)

// Slot returns the hash slot of key.
func Slot(key string) int { return int(xxhash.Sum64String(key) % events.Slots) }

// Partition returns the partition of key among n.
func Partition(key string, n int) int {
	if n == 1 {
		return 0
	}
	return Slot(key) % n
}
