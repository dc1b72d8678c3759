package turntest

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/turn"
)

// Granter grants turns.
type Granter interface {
	Take(ctx context.Context, r turn.Request) (turn.Answer, error)
	Extend(ctx context.Context, c turn.Claim, d time.Duration) (bool, error)
	Release(ctx context.Context, c turn.Claim) (turn.Ended, error)
}

// Subject is a granter under test.
type Subject struct {
	Granter
	// Pass lets d pass for it.
	Pass func(d time.Duration)
}

// Epoch is the one that the suite's keys lie in.
const Epoch events.Epoch = 0x1122334455667788

// Length is how long the suite's turns are.
const Length = 500 * time.Millisecond

// Claim returns the claim of the node with that number.
func Claim(key string, node uint64, since events.Position) turn.Claim {
	c := turn.Claim{Epoch: Epoch, Key: key, Since: since, Token: events.ID{Counter: node}}
	binary.BigEndian.PutUint64(c.Token.Publisher[:], node)
	return c
}

// Run runs the suite. open returns a granter that nobody else uses.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, test := range map[string]func(k *keeper){
		"OneAtATime":         oneAtATime,
		"Ends":               ends,
		"Extended":           extended,
		"Forgotten":          forgotten,
		"NoUse":              noUse,
		"LateRelease":        lateRelease,
		"AskedTwice":         askedTwice,
		"KeysAndEpochsApart": apart,
	} {
		t.Run(name, func(t *testing.T) { test(&keeper{t, open(t)}) })
	}
}

// keeper fails the test where a granter answers otherwise than it must.
type keeper struct {
	t *testing.T
	Subject
}

func (k *keeper) take(c turn.Claim, need events.Position) turn.Answer {
	k.t.Helper()
	a, err := k.Take(k.t.Context(), turn.Request{Claim: c, Need: need, For: Length})
	if err != nil {
		k.t.Fatal(err)
	}
	return a
}

func (k *keeper) granted(c turn.Claim, need events.Position) {
	k.t.Helper()
	if a := k.take(c, need); !a.Granted || a.Held {
		k.t.Fatalf("%+v, want a turn", a)
	}
}

func (k *keeper) held(c turn.Claim, need events.Position) {
	k.t.Helper()
	if a := k.take(c, need); a.Granted || !a.Held || a.Left <= 0 || a.Left > Length {
		k.t.Fatalf("%+v, want to wait for at most %v", a, Length)
	}
}

func (k *keeper) released(c turn.Claim, want turn.Ended) {
	k.t.Helper()
	if e, err := k.Release(k.t.Context(), c); err != nil || e != want {
		k.t.Fatalf("%+v, %v, want %+v", e, err, want)
	}
}

func (k *keeper) extended(c turn.Claim, want bool) {
	k.t.Helper()
	if ok, err := k.Extend(k.t.Context(), c, Length); err != nil || ok != want {
		k.t.Fatalf("%v, %v, want %v", ok, err, want)
	}
}

func oneAtATime(k *keeper) {
	a, b := Claim("k", 1, 7), Claim("k", 2, 9)
	k.granted(a, 3)
	k.held(b, 7)
	k.released(a, turn.Ended{Waited: true})
	k.granted(b, 7)
	k.released(b, turn.Ended{})
}

func ends(k *keeper) {
	k.granted(Claim("k", 1, 7), 0)
	k.Pass(Length + Length/10)
	k.granted(Claim("k", 2, 7), 0)
}

func extended(k *keeper) {
	a, b := Claim("k", 1, 7), Claim("k", 2, 7)
	k.granted(a, 0)
	for range 4 {
		k.Pass(Length / 2)
		k.extended(a, true)
		k.held(b, 0)
	}
	k.extended(b, false)
}

// A server that restarted, or an owner that took another's place, has
// forgotten the turns; their holders bring them back.
func forgotten(k *keeper) {
	a := Claim("k", 1, 7)
	k.extended(a, true)
	k.held(Claim("k", 2, 7), 0)
	k.released(a, turn.Ended{Waited: true})
}

// A load that began too early for whoever asks does not keep it waiting.
func noUse(k *keeper) {
	old, young := Claim("k", 1, 7), Claim("k", 2, 12)
	k.granted(old, 0)
	k.granted(young, 8)
	k.held(Claim("k", 3, 12), 8)
	k.held(Claim("k", 3, 12), 7)
	k.extended(old, false)
	k.released(old, turn.Ended{Lost: true, Waited: true})
	k.held(Claim("k", 3, 12), 0)
	k.released(young, turn.Ended{Waited: true})
}

// A holder that lost its turn does not end the next one's.
func lateRelease(k *keeper) {
	slow, next := Claim("k", 1, 7), Claim("k", 2, 7)
	k.granted(slow, 0)
	k.Pass(Length + Length/10)
	k.granted(next, 0)
	k.released(slow, turn.Ended{Lost: true, Waited: true})
	k.held(Claim("k", 3, 7), 0)
	k.released(next, turn.Ended{Waited: true})
}

// Whoever repeats a request whose answer was lost gets the same answer.
func askedTwice(k *keeper) {
	a := Claim("k", 1, 7)
	k.granted(a, 0)
	k.granted(a, 0)
	k.held(Claim("k", 2, 7), 0)
}

func apart(k *keeper) {
	k.granted(Claim("k", 1, 7), 0)
	k.granted(Claim("l", 2, 7), 0)
	other := Claim("k", 3, 7)
	other.Epoch++
	k.granted(other, 0)
}
