package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/events"
)

// Witness is the highest point of a partition's history that must survive the
// log. The zero Witness stands for none.
type Witness struct {
	Epoch    events.Epoch
	Position events.Position
	Digest   events.Digest
}

const witnessLen = 16 + 16 + 32

func (w Witness) encode() string {
	return fmt.Sprintf("%016x%016x%s", uint64(w.Epoch), uint64(w.Position), w.Digest)
}

// errNoWitness reports text that is no witness.
var errNoWitness = errors.New("malformed witness")

func decodeWitness(s string) (Witness, error) {
	var w Witness
	if len(s) != witnessLen {
		return w, errNoWitness
	}
	epoch, err := strconv.ParseUint(s[:16], 16, 64)
	if err != nil {
		return w, errNoWitness
	}
	position, err := strconv.ParseUint(s[16:32], 16, 64)
	if err != nil {
		return w, errNoWitness
	}
	if _, err := hex.Decode(w.Digest[:], []byte(s[32:])); err != nil {
		return Witness{}, errNoWitness
	}
	w.Epoch, w.Position = events.Epoch(epoch), events.Position(position)
	return w, nil
}

func (t *Tier) witnessName(partition int) string {
	return t.prefix + "witness:" + strconv.Itoa(partition)
}

// RaiseWitness stores to as the partition's witness in one step with these
// comparisons, and returns the witness that is stored afterwards:
//
//   - none is stored, or something that is none: to is stored;
//   - one of to's epoch is stored, at its position or higher: it stays. At an
//     equal position the caller compares digests: two that differ prove two
//     histories;
//   - one that is from, or lower in from's epoch, is stored: to replaces it.
//     The caller has compared from with the history that to is of, or knows its
//     epoch to be one that to's epoch followed;
//   - any other stays, for the caller to compare and to ask again. It may be the
//     only evidence of a history that was lost. Epochs have no order, so that
//     nothing else could tell a late raise of a history that is over either.
//
// It is safe to repeat. The error is a [tiers.ErrUnavailable]; the witness may
// have been raised nevertheless.
func (t *Tier) RaiseWitness(ctx context.Context, partition int, from, to Witness) (Witness, error) {
	if to.Epoch == 0 {
		return Witness{}, fmt.Errorf("%w witness: no epoch", events.ErrInvalid)
	}
	s, err := t.script(ctx, to.Epoch, raiseSHA, raiseText, t.witnessName(partition), from.encode(), to.encode()).Text()
	if err != nil {
		return Witness{}, t.unavailable("raise witness", err)
	}
	w, err := decodeWitness(s)
	if err != nil {
		return Witness{}, t.unavailable("raise witness", err)
	}
	return w, nil
}

// ReadWitness returns the partition's witness, the zero Witness if there is
// none, or what lies there is none. The error is a [tiers.ErrUnavailable].
func (t *Tier) ReadWitness(ctx context.Context, partition int) (Witness, error) {
	cmd := goredis.NewStringCmd(ctx, "get", t.witnessName(partition))
	err := t.do(ctx, anyEpoch, cmd)
	switch {
	case errors.Is(err, goredis.Nil):
		return Witness{}, nil
	case err != nil && goredis.HasErrorPrefix(err, "WRONGTYPE"):
		t.count.corrupt.Add(1)
		return Witness{}, nil
	case err != nil:
		return Witness{}, t.unavailable("read witness", err)
	}
	w, err := decodeWitness(cmd.Val())
	if err != nil {
		t.count.corrupt.Add(1)
		return Witness{}, nil
	}
	return w, nil
}

// anyEpoch stands where an operation does not depend on one.
const anyEpoch = ^events.Epoch(0)
