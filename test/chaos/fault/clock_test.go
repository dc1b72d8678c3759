package fault

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// The code adds a signed number of seconds and fits where it is put.
func TestShiftedClock(t *testing.T) {
	code := shifted(-45)
	if len(code) != 25 || code[len(code)-1] != 0xc3 {
		t.Fatalf("%x", code)
	}
	if got := int64(binary.LittleEndian.Uint64(code[13:])); got != -45 {
		t.Errorf("it adds %d", got)
	}
	// The jump passes over the addition, to the return.
	if at := 11 + int(code[10]); !bytes.Equal(code[at:], []byte{0xc3}) {
		t.Errorf("another clock ends at %d: %x", at, code[at:])
	}
}
