package events_test

import (
	"bytes"
	"errors"
	"math"
	"runtime/metrics"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
)

func FuzzDecodeRecord(f *testing.F) {
	for _, s := range samples() {
		b, err := events.AppendRecord(nil, s.record)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{1, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r events.Record
		var err error
		// The runtime counts by and by, and for everybody: the least is nearest.
		least := uint64(math.MaxUint64)
		for i := 0; i < 3 && least > allocationBound(len(data)); i++ {
			before := allocated()
			r, err = events.DecodeRecord(data)
			least = min(least, allocated()-before)
		}
		if least > allocationBound(len(data)) {
			t.Fatalf("%d bytes of input made it allocate %d", len(data), least)
		}
		if err != nil {
			var d *events.DecodeError
			if !errors.As(err, &d) {
				t.Fatalf("error of type %T", err)
			}
			return
		}
		once, err := events.AppendRecord(nil, r)
		if err != nil {
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		back, err := events.DecodeRecord(once)
		if err != nil {
			t.Fatalf("what was encoded can't be decoded: %v", err)
		}
		twice, err := events.AppendRecord(nil, back)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encodes as %x, then as %x (%v)", once, twice, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add(events.ID{Publisher: events.Incarnation{1, 15: 0xff}, Counter: 77}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := events.ParseID(s)
		switch {
		case err == nil && id.String() != s:
			t.Fatalf("%q reads as %q", s, id)
		case err != nil && !errors.Is(err, events.ErrBadID):
			t.Fatalf("error %v", err)
		}
	})
}

// A record of the smallest changes there are, of the shortest names, and of
// lengths that lie must not cost more than its size.
func TestDecodingAllocatesInProportion(t *testing.T) {
	smallest := []byte{events.WireVersion, 0xdc, 0x40, 0x00} // 16384 changes
	for range 16384 {
		smallest = append(smallest, 0x9a, 0x02, 0x90, 0x90, 0x90, 0x90, 0xc3, 0xc2, 0xa0, 0xa0, 0xa0)
	}
	names := []byte{events.WireVersion, 0x91, 0x9a, 0x02}
	for range 4 {
		names = append(names, 0xdd, 0x00, 0x01, 0x00, 0x00) // 65536 names
		names = append(names, bytes.Repeat([]byte{0xa1, ':'}, 65536)...)
	}
	names = append(names, 0xc2, 0xc2, 0xa0, 0xa0, 0xa0)
	for what, data := range map[string][]byte{"smallest changes": smallest, "shortest names": names} {
		if _, err := events.DecodeRecord(data); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before := allocated()
		_, _ = events.DecodeRecord(data)
		used := allocated() - before
		if used > allocationBound(len(data)) {
			t.Errorf("%s: %d bytes of input made it allocate %d", what, len(data), used)
		}
	}
}

// allocationBound is the small multiple that the package promises.
func allocationBound(input int) uint64 { return 64*uint64(input) + 64<<10 }

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
