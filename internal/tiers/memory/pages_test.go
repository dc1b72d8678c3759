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
			if unsafe.SliceData(got[i]) != unsafe.SliceData(x.want[i]) || len(got[i]) != len(x.want[i]) {
				t.Errorf("%s: stretch %d is another", x.name, i)
			}
		}
	}
}
