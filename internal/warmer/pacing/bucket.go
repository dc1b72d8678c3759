package pacing

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrConfig reports a limit that breaks a rule.
var ErrConfig = errors.New("invalid pacing configuration")

// Bucket lets rate per second pass, and up to burst at once after a rest: in
// any span d at most burst + rate × d.
type Bucket struct {
	rate   float64 // tokens per second
	burst  float64
	tokens float64 // 0 <= tokens <= burst
	latest time.Time
}

// NewBucket returns a full bucket. rate is tokens per second, above 0; burst is
// 1 or more.
func NewBucket(rate float64, burst int) (*Bucket, error) {
	if !(rate > 0) || math.IsInf(rate, 0) || burst < 1 {
		return nil, fmt.Errorf("%w: bucket of %v per second and burst %d, want both positive", ErrConfig, rate, burst)
	}
	return &Bucket{rate: rate, burst: float64(burst), tokens: float64(burst)}, nil
}

// Take takes one token if there is one, and otherwise returns how long it
// takes until there is.
func (b *Bucket) Take(now time.Time) (wait time.Duration, ok bool) {
	b.fill(now)
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	// Rounded up: who comes back after the wait must find the token.
	return time.Duration(math.Ceil((1 - b.tokens) / b.rate * float64(time.Second))), false
}

func (b *Bucket) fill(now time.Time) {
	if b.latest.IsZero() || !now.After(b.latest) {
		if b.latest.IsZero() {
			b.latest = now
		}
		return
	}
	const slack = 1e-9 // what rounding takes from a token must not cost another wait
	b.tokens = min(b.burst, b.tokens+now.Sub(b.latest).Seconds()*b.rate)
	if frac := math.Ceil(b.tokens) - b.tokens; frac < slack {
		b.tokens = math.Ceil(b.tokens)
	}
	b.latest = now
}
