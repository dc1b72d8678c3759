package tiers

import (
	"encoding/binary"

	"github.com/raptorflow/tercet/internal/events"
)

// Mark returns what an encoded entry of this build's format begins with, and
// how it carries epoch, from its ninth byte on: for who has to recognise one without
// decoding it, as a script in the shared tier does.
func Mark(epoch events.Epoch) (beginning, encoded string) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(epoch))
	return string([]byte{magic, format}), string(b[:])
}
