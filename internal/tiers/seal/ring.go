package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// Ring holds keys by id. The first seals; all of them open. To change keys, add
// the new one at the end everywhere, then move it to the front everywhere, and
// take the old one out once what it sealed has expired. Safe for concurrent use.
type Ring struct {
	newest uint32
	ids    []uint32
	keys   map[uint32]cipher.AEAD
}

const (
	idLen    = 4
	nonceLen = chacha20poly1305.NonceSizeX
	// Overhead is how many bytes a sealed value is longer.
	Overhead = idLen + nonceLen + chacha20poly1305.Overhead
)

// ErrNotOpened reports a value that none of the ring's keys has sealed for this
// place, or that was changed.
var ErrNotOpened = errors.New("sealed value does not open")

// Parse reads a ring from id:key pairs, separated by commas, spaces or lines; an
// id is a number, a key 32 bytes in base64 or hexadecimal. It returns
// [events.ErrInvalid], without any part of a key, and a nil ring for an empty
// text.
func Parse(text string) (*Ring, error) {
	pairs := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if len(pairs) == 0 {
		return nil, nil
	}
	r := &Ring{keys: make(map[uint32]cipher.AEAD)}
	for i, pair := range pairs {
		bad := func(why string) (*Ring, error) {
			return nil, fmt.Errorf("%w seal key %d of %d: %s", events.ErrInvalid, i+1, len(pairs), why)
		}
		name, encoded, ok := strings.Cut(pair, ":")
		id, err := strconv.ParseUint(name, 10, 32)
		if !ok || err != nil {
			return bad("want id:key, the id a number")
		}
		key, err := decode(encoded)
		if err != nil {
			return bad("want 32 bytes in base64 or hexadecimal")
		}
		if _, twice := r.keys[uint32(id)]; twice {
			return bad("its id stands twice")
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return bad("unusable")
		}
		r.keys[uint32(id)], r.ids = aead, append(r.ids, uint32(id))
	}
	r.newest = r.ids[0]
	return r, nil
}

func decode(encoded string) (key []byte, err error) {
	if len(encoded) == 2*chacha20poly1305.KeySize {
		key, err = hex.DecodeString(encoded)
	} else {
		key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	}
	if err == nil && len(key) != chacha20poly1305.KeySize {
		err = errors.New("length")
	}
	return key, err
}

// ReadFile is [Parse] of a file.
func ReadFile(path string) (*Ring, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(string(b))
}

// String tells the ring's ids, that of the sealing key first.
func (r *Ring) String() string { return fmt.Sprintf("seal keys %v", r.ids) }

// GoString is String: no verb prints a key.
func (r *Ring) GoString() string { return r.String() }

// Seal appends plain, sealed for place, to dst.
func (r *Ring) Seal(dst, plain, place []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, r.newest)
	var nonce [nonceLen]byte
	_, _ = rand.Read(nonce[:]) // never fails
	dst = append(dst, nonce[:]...)
	return r.keys[r.newest].Seal(dst, nonce[:], plain, bound(place))
}

// Open appends what was sealed for place to dst, or returns [ErrNotOpened].
func (r *Ring) Open(dst, sealed, place []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, fmt.Errorf("%w: %d bytes", ErrNotOpened, len(sealed))
	}
	id := binary.BigEndian.Uint32(sealed)
	key := r.keys[id]
	if key == nil {
		return nil, fmt.Errorf("%w: key %d is not in the ring", ErrNotOpened, id)
	}
	plain, err := key.Open(dst, sealed[idLen:idLen+nonceLen], sealed[idLen+nonceLen:], bound(place))
	if err != nil {
		return nil, fmt.Errorf("%w under key %d", ErrNotOpened, id)
	}
	return plain, nil
}

func bound(place []byte) []byte {
	if mutant.On(mutant.SealIgnoresPlace) {
		return nil
	}
	return place
}
