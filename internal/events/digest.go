package events

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/raptorflow/tercet/internal/mutant"
)

// Digest is the rolling digest of a history:
//
//	h(0) = 0,  h(p) = H(h(p-1), id(p))
//
// Two nodes whose digests agree at a position applied the same records up to
// it. A position and the identity of the record there prove much less: two
// histories can part and meet again in the same record (hole H1 of the
// protocol's review, docs/PROTOCOL.md).
type Digest [16]byte

// Next returns the digest after the record id has been applied on top of d.
func (d Digest) Next(id ID) Digest {
	if mutant.On(mutant.DigestOfLastOnly) {
		d = Digest{}
	}
	var b [16 + 16 + 8]byte
	copy(b[0:], d[:])
	copy(b[16:], id.Publisher[:])
	binary.BigEndian.PutUint64(b[32:], id.Counter)
	sum := sha256.Sum256(b[:])
	return Digest(sum[:16])
}

func (d Digest) sum(data []byte) Digest {
	h := sha256.New()
	h.Write(d[:])
	h.Write(data)
	return Digest(h.Sum(nil)[:16])
}

// String returns the digest as 32 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }
