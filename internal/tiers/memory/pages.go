package memory

import (
	"reflect"
	"unsafe"

	"github.com/coocood/freecache"
)

// buffers returns the ring buffers that cache keeps everything in, for advice
// to the operating system; none of a freecache whose fields are not known.
func buffers(cache *freecache.Cache) [][]byte {
	segments := reflect.ValueOf(cache).Elem().FieldByName("segments")
	if !segments.IsValid() || segments.Kind() != reflect.Array {
		return nil
	}
	all := make([][]byte, 0, segments.Len())
	for i := range segments.Len() {
		ring := segments.Index(i).FieldByName("rb")
		if !ring.IsValid() || ring.Kind() != reflect.Struct {
			return nil
		}
		data := ring.FieldByName("data")
		if !data.IsValid() || data.Kind() != reflect.Slice || data.Type().Elem().Kind() != reflect.Uint8 {
			return nil
		}
		all = append(all, unsafe.Slice((*byte)(data.UnsafePointer()), data.Len()))
	}
	return all
}

// hugePage is the size of the pages that large caches ask for.
const hugePage = 2 << 20

// stretch is a stretch of memory by its addresses. It is no slice: it covers
// parts of several allocations, and ends where none may be, which nothing that
// the garbage collector looks at may point to.
type stretch struct{ from, to uintptr }

// stretches returns what of buffers fills huge pages: whole ones, of which
// neighbouring buffers may hold a part each. Buffers lie in the heap in the
// order in which they were made, as a rule; one that does not is a stretch of
// its own.
func stretches(buffers [][]byte) []stretch {
	var all []stretch
	for _, b := range buffers {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		if n := len(all); n > 0 && len(b) > 0 && all[n-1].to == from {
			all[n-1].to += uintptr(len(b))
			continue
		}
		all = append(all, stretch{from, from + uintptr(len(b))})
	}
	whole := all[:0]
	for _, s := range all {
		s.from, s.to = (s.from+hugePage-1)/hugePage*hugePage, s.to/hugePage*hugePage
		if s.from < s.to {
			whole = append(whole, s)
		}
	}
	return whole
}

const (
	segments = 256     // of a freecache
	heapPage = 8 << 10 // the unit of the heap's large objects
	// coarse is the least number of pages to a segment of which one more or less
	// does not matter.
	coarse = 16
)

// staggered returns a size near to bytes for a freecache, whose segments then
// take an odd number of the heap's pages each. Segments fill from their
// beginnings, and a processor's cache finds a place for a line by its address,
// modulo a power of two: beginnings that lie such a power apart, on the
// unbroken addresses of huge pages, would quarrel over few places while most
// stay empty.
func staggered(bytes int) int {
	pages := bytes / segments / heapPage
	if pages < coarse {
		return bytes
	}
	return (pages | 1) * heapPage * segments
}
