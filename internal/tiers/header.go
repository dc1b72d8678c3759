package tiers

import (
	"math"
	"time"

	"github.com/raptorflow/tercet/internal/events"
)

// Header is everything about an entry but its payload.
type Header struct {
	Key   string
	Epoch events.Epoch
	// Birth is the position that the node had applied when the entry's load
	// began, or its Put's own. It never rises.
	Birth events.Position
	// Created is when the value was loaded or put. All times are kept to the
	// millisecond, rounded down.
	Created time.Time
	// Expiry is when the entry ends; zero: never.
	Expiry time.Time
	// SoftExpiry is when a refresh is due; zero: never.
	SoftExpiry time.Time
	// StaleUntil is how long the entry is kept past its expiry, as a fallback;
	// zero: not at all.
	StaleUntil time.Time
	Version    events.Version
	Tags       []string
	// Validator is what the origin named this value by; at most [MaxValidator]
	// bytes.
	Validator string
	Flags     Flags
	Codec     Codec
}

func (h *Header) extended() bool { return !h.StaleUntil.IsZero() || h.Validator != "" }

// Header decodes everything but the payload into values that share no memory
// with e.
func (e Entry) Header() Header {
	h := Header{
		Key:        string(e[e.keyAt() : e.keyAt()+e.keyLen()]),
		Epoch:      e.Epoch(),
		Birth:      e.Birth(),
		Created:    fromMilli(e.CreatedMilli()),
		Expiry:     fromMilli(e.ExpiryMilli()),
		SoftExpiry: fromMilli(e.SoftExpiryMilli()),
		Version:    e.Version(),
		Validator:  e.Validator(),
		Flags:      e.Flags(),
		Codec:      e.Codec(),
	}
	if until := e.StaleUntilMilli(); until != math.MinInt64 {
		h.StaleUntil = fromMilli(until)
	}
	for t := range e.Tags() {
		h.Tags = append(h.Tags, string([]byte(t)))
	}
	return h
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
