package tiers

import (
	"encoding/binary"
	"math"
	"time"
)

// A copy's life has up to three ends: when it is due, so that who finds it looks
// closer (a refresh, a longer life); its expiry, behind which it is no answer any
// more; and how long it stays as a fallback after that. A tier keeps a copy until
// the last of them, and leaves all else to whoever reads it.

// MaxValidator is the longest validator of an entry, in bytes.
const MaxValidator = 1 << 10

// MaxSkew is how far ahead of the reader's clock a copy may have been made.
// Beyond that its maker's clock was wrong, or the reader's is, and its expiry
// says nothing.
const MaxSkew = 5 * time.Minute

// Due reports whether the entry is to be looked at closer at now, in Unix
// milliseconds: it is due for a refresh, has expired, or is from the future.
func (e Entry) Due(now int64) bool {
	if Flags(e[2])&flagSoftExpiry != 0 && int64(e.u64(fixedLen)) <= now {
		return true
	}
	return e.Expired(now) || e.Ahead(now)
}

// Ahead reports whether the entry was made later than [MaxSkew] after now, in
// Unix milliseconds: by a clock that can't be told from a wrong one.
func (e Entry) Ahead(now int64) bool { return e.CreatedMilli() > now+MaxSkew.Milliseconds() }

// EndMilli returns until when a tier keeps the entry, in Unix milliseconds: its
// expiry, or the end of its time as a fallback if that is later; 0: for ever.
func (e Entry) EndMilli() int64 {
	x := e.ExpiryMilli()
	if x == 0 {
		return 0
	}
	return max(x, e.StaleUntilMilli())
}

// Ended reports whether a tier need not keep the entry any longer at now, in
// Unix milliseconds.
func (e Entry) Ended(now int64) bool {
	x := e.EndMilli()
	return x != 0 && x <= now
}

// StaleUntilMilli returns how long the entry may serve as a fallback after its
// expiry, in Unix milliseconds; the least number if it may not.
func (e Entry) StaleUntilMilli() int64 {
	if !e.extended() || e.u64(e.extensionAt()) == 0 {
		return math.MinInt64
	}
	return int64(e.u64(e.extensionAt()))
}

// Validator returns what the origin named this value by (an entity tag, a
// date), as a copy; "" for none.
func (e Entry) Validator() string {
	if !e.extended() {
		return ""
	}
	at := e.keyAt() + e.keyLen() + e.tagsLen()
	return string(e[at : at+e.validatorLen()])
}

// Shortened returns e if it expires at or before the instant, in Unix
// milliseconds, and else a copy that expires then. How long it stays as a
// fallback does not change.
func (e Entry) Shortened(expiry int64) Entry {
	if x := e.ExpiryMilli(); x != 0 && x <= expiry {
		return e
	}
	short := append(Entry(nil), e...)
	binary.LittleEndian.PutUint64(short[offExpiry:], uint64(expiry))
	short.seal()
	return short
}

func (e Entry) extended() bool { return Flags(e[2])&flagExtended != 0 }

// extensionAt is where the extension begins, if there is one.
func (e Entry) extensionAt() int { return e.keyAt() - extensionLen }

func (e Entry) validatorLen() int {
	if !e.extended() {
		return 0
	}
	return int(binary.LittleEndian.Uint16(e[e.extensionAt()+8:]))
}

// plausible reports whether an extension says something, and nothing that no
// writer says.
func (e Entry) plausible() bool {
	if !e.extended() {
		return true
	}
	says := e.u64(e.extensionAt()) != 0 || e.validatorLen() > 0
	return says && e.validatorLen() <= MaxValidator && e.u64(e.extensionAt()) != 1<<63
}
