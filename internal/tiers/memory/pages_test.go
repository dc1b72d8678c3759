package memory

import (
	"testing"
	"unsafe"

	"github.com/coocood/freecache"
)

// If this fails, freecache has changed, and large caches are slower than they
// need be.
func TestBuffersAreFound(t *testing.T) {
	const size = 64 << 20
	c := freecache.NewCache(size)
	if err := c.Set([]byte("key"), []byte("a value to be found"), 0); err != nil {
		t.Fatal(err)
	}
	all, sum, holder := buffers(c), 0, 0
	err := c.PeekFn([]byte("key"), func(v []byte) error {
		at := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
		for _, b := range all {
			from := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
			if sum += len(b); from <= at && at+uintptr(len(v)) <= from+uintptr(len(b)) {
				holder++
			}
		}
		return nil
	})
	if err != nil || len(all) != 256 || sum != size || holder != 1 {
		t.Fatalf("%d buffers of %d bytes, of which %d hold the value; %v", len(all), sum, holder, err)
	}
}

func TestStretches(t *testing.T) {
	const mib = 1 << 20
	arena := make([]byte, 24*mib)
	arena = arena[int(-uintptr(unsafe.Pointer(unsafe.SliceData(arena)))%hugePage):][:20*mib]
	at := func(from, to int) []byte { return arena[from*mib/2 : to*mib/2] } // in halves of a MiB
	for _, x := range []struct {
		name    string
		buffers [][]byte
		want    [][]byte
	}{
		{"none", nil, nil},
		{"a part", [][]byte{at(1, 4)}, nil},
		{"less than its offset", [][]byte{at(1, 2)}, nil},
		{"one and what is around it", [][]byte{at(3, 9)}, [][]byte{at(4, 8)}},
		{"of two halves", [][]byte{at(0, 2), at(2, 4)}, [][]byte{at(0, 4)}},
		{"with a hole", [][]byte{at(0, 5), at(6, 12)}, [][]byte{at(0, 4), at(8, 12)}},
		{"out of order", [][]byte{at(8, 12), at(0, 4)}, [][]byte{at(8, 12), at(0, 4)}},
	} {
		got := stretches(x.buffers)
		if len(got) != len(x.want) {
			t.Errorf("%s: %d stretches, want %d", x.name, len(got), len(x.want))
			continue
		}
		for i := range got {
			from := uintptr(unsafe.Pointer(unsafe.SliceData(x.want[i])))
			if want := (stretch{from, from + uintptr(len(x.want[i]))}); got[i] != want {
				t.Errorf("%s: stretch %d is another", x.name, i)
			}
		}
	}
}

// A cache of a size that is no multiple of pages ends its buffers where no
// pointer may point; with the race detector on, one that does ends the process.
func TestOddSizes(t *testing.T) {
	for _, size := range []int{256<<20/10*9 + 77, 64<<20/10*9 + 1, 5<<20 + 333} {
		askHugePages(freecache.NewCache(size))
	}
}

// A segment takes an odd number of pages, whatever the size of the cache, and
// young what main leaves.
func TestSegmentsAreStaggered(t *testing.T) {
	for _, size := range []int{32 << 20, 64 << 20, 100_000_000, 256 << 20, 1 << 30} {
		a := newAdmission(size)
		if pages := a.mainBytes / segments / heapPage; pages%2 == 0 {
			t.Errorf("%d bytes: %d pages to a segment", size, pages)
		}
		if a.mainBytes+a.youngBytes != size {
			t.Errorf("%d bytes: main has %d, young %d", size, a.mainBytes, a.youngBytes)
		}
		if share := 100 * a.youngBytes / size; share < youngShare-6 || share > youngShare+1 {
			t.Errorf("%d bytes: %d %% of them are young", size, share)
		}
	}
	if got := staggered(5 << 20); got != 5<<20 {
		t.Errorf("a small cache became one of %d bytes", got)
	}
}
