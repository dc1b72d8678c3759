package memory

import (
	"github.com/coocood/freecache"
	"golang.org/x/sys/unix"
)

// askHugePages asks for huge pages under a cache that nothing was put into. A
// hit in a large cache touches a place that nobody has touched lately: with
// small pages the processor looks up where that is in main memory, too. A
// system that refuses leaves the cache as it is, only slower.
func askHugePages(cache *freecache.Cache) {
	for _, b := range stretches(buffers(cache)) {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	}
}
