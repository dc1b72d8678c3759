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

// stretches returns what of buffers fills huge pages: whole ones, of which
// neighbouring buffers may hold a part each. Buffers lie in the heap in the
// order in which they were made, as a rule; one that does not is a stretch of
// its own.
func stretches(buffers [][]byte) [][]byte {
	var all [][]byte
	for _, b := range buffers {
		if n := len(all); n > 0 && len(b) > 0 && unsafe.Add(unsafe.Pointer(unsafe.SliceData(all[n-1])), len(all[n-1])) == unsafe.Pointer(unsafe.SliceData(b)) {
			all[n-1] = unsafe.Slice(unsafe.SliceData(all[n-1]), len(all[n-1])+len(b))
			continue
		}
		all = append(all, b)
	}
	whole := all[:0]
	for _, b := range all {
		skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % hugePage)
		if skip >= len(b) {
			continue
		}
		if b = b[skip : skip+(len(b)-skip)/hugePage*hugePage]; len(b) > 0 {
			whole = append(whole, b)
		}
	}
	return whole
}
