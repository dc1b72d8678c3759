package server

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Secret is a password or token that clients must give. The zero Secret asks
// for none. It does not keep the text, and prints as nothing.
type Secret struct {
	sum [sha256.Size]byte
	set bool
}

// NewSecret returns the secret of text; the zero Secret for "".
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{sum: sha256.Sum256([]byte(text)), set: true}
}

// Required reports whether clients must give it.
func (s Secret) Required() bool { return s.set }

// Matches reports whether given is the secret, in a time that depends on the
// length of given alone.
func (s Secret) Matches(given []byte) bool {
	sum := sha256.Sum256(given)
	return subtle.ConstantTimeCompare(sum[:], s.sum[:]) == 1 && s.set
}

// String hides what there is to hide.
func (Secret) String() string { return "********" }

// GoString hides what there is to hide.
func (Secret) GoString() string { return "server.Secret{}" }
