package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

// Config says what a packer does.
type Config struct {
	// Domain is bound into what is sealed.
	Domain string
	// Keys seal, if there are any; nil: nothing is secret.
	Keys *seal.Ring
	// Plain leaves out compression. What others have compressed still opens.
	Plain bool
	// Dictionaries help with small JSON: samples of what values have in common,
	// a few KiB. The first is written with, all of them are read with. All
	// members must have them before one writes with them.
	Dictionaries [][]byte
	// MaxPayload is the largest payload that is unpacked, in bytes; default
	// [tiers.MaxPayload].
	MaxPayload int
}

var (
	// ErrDamaged reports a packed payload that can't be unpacked.
	ErrDamaged = errors.New("packed payload is damaged")
	// ErrTooLarge reports a packed payload that says it is larger than the limit.
	ErrTooLarge = errors.New("packed payload is too large")
	// ErrNotSealed reports a plain entry where only sealed ones count.
	ErrNotSealed = errors.New("entry is not sealed")
)

// Packer packs and opens entries. Safe for concurrent use.
type Packer struct {
	cfg      Config
	squeeze  *compressor
	counters counters
}

// counters of a packer; times in nanoseconds.
type counters struct {
	packed, left, saved, opened                atomic.Uint64
	damaged, tooLarge, notOpened, packs, reads atomic.Uint64
}

// New returns a packer. Its errors are those of dictionaries.
func New(cfg Config) (*Packer, error) {
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = tiers.MaxPayload
	}
	c, err := newCompressor(cfg.Dictionaries)
	return &Packer{cfg: cfg, squeeze: c}, err
}

// Pack returns e as it should lie outside: e itself, if there is nothing to do.
func (p *Packer) Pack(e tiers.Entry) tiers.Entry {
	payload := e.Payload()
	if e.Packed() || p.cfg.Keys == nil && (p.cfg.Plain || len(payload) < leastWithDictionary) {
		return e
	}
	began := time.Now()
	defer func() { p.counters.packs.Add(uint64(time.Since(began))) }()
	body := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(payload)), uint64(len(payload)))
	m, size := stored, len(body)
	if !p.cfg.Plain {
		body, m = p.squeeze.compress(body, payload)
	}
	if m == stored {
		if p.counters.left.Add(1); p.cfg.Keys == nil {
			return e
		}
		body = append(body, payload...)
	} else {
		p.counters.packed.Add(1)
		p.counters.saved.Add(uint64(len(payload) - (len(body) - size)))
	}
	if p.cfg.Keys == nil {
		out := e.Shell(tiers.FlagPacked, 1+len(body))
		return append(append(out, byte(m)), body...).Close()
	}
	out := e.Shell(tiers.FlagPacked, 1+len(body)+seal.Overhead)
	place := p.place(out, byte(m)|sealedBit)
	return tiers.Entry(p.cfg.Keys.Seal(append(out, byte(m)|sealedBit), body, place)).Close()
}

// place is what a sealed payload is bound to. shell may have a payload.
func (p *Packer) place(shell tiers.Entry, method byte) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 256), uint64(len(p.cfg.Domain)))
	b = append(b, p.cfg.Domain...)
	return append(shell.AppendPlace(b), method)
}

// Open returns the entry that e, which was parsed, was packed from: e itself, if
// it is not packed. Errors: [ErrDamaged], [ErrTooLarge], [ErrNotSealed],
// [seal.ErrNotOpened]; all are counted.
func (p *Packer) Open(e tiers.Entry) (tiers.Entry, error) {
	if !e.Packed() {
		if p.cfg.Keys != nil && !mutant.On(mutant.UnsealedServed) {
			p.counters.notOpened.Add(1)
			return nil, ErrNotSealed
		}
		return e, nil
	}
	began := time.Now()
	out, err := p.open(e)
	p.counters.reads.Add(uint64(time.Since(began)))
	switch {
	case err == nil:
		p.counters.opened.Add(1)
	case errors.Is(err, ErrTooLarge):
		p.counters.tooLarge.Add(1)
	case errors.Is(err, ErrDamaged):
		p.counters.damaged.Add(1)
	default:
		p.counters.notOpened.Add(1)
	}
	return out, err
}

func (p *Packer) open(e tiers.Entry) (tiers.Entry, error) {
	b := e.Payload()
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: no method", ErrDamaged)
	}
	m, body := b[0], b[1:]
	switch {
	case m&sealedBit != 0 && p.cfg.Keys == nil:
		return nil, fmt.Errorf("%w: there are no keys", seal.ErrNotOpened)
	case m&sealedBit != 0:
		var err error
		if body, err = p.cfg.Keys.Open(nil, body, p.place(e, m)); err != nil {
			return nil, err
		}
	case p.cfg.Keys != nil:
		return nil, ErrNotSealed
	}
	size, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, fmt.Errorf("%w: no size", ErrDamaged)
	}
	if size > uint64(p.cfg.MaxPayload) && !mutant.On(mutant.BombsInflate) {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, p.cfg.MaxPayload)
	}
	shell := e.Shell(0, int(size))
	out, err := p.squeeze.restore(shell, body[n:], method(m&^sealedBit), int(size))
	if err != nil {
		return nil, err
	}
	return tiers.Entry(out).Close(), nil
}

// OpenBytes is [Packer.Open] of what was not parsed and may be anything: bytes
// that are no entry come back as they are, for whoever parses them to refuse.
// Nil: it did not open.
func (p *Packer) OpenBytes(b []byte) []byte {
	if p.cfg.Keys == nil && !tiers.LooksPacked(b) {
		return b
	}
	e, err := tiers.Parse(b)
	if err != nil {
		return b
	}
	if e, err = p.Open(e); err != nil {
		return nil
	}
	return e
}

// Stats are counters since the packer was made.
type Stats struct {
	// Packed are entries that were compressed, Left those that were not worth
	// it; SavedBytes is by how much the packed ones got smaller.
	Packed, Left, SavedBytes uint64
	// Opened are packed or sealed entries that were restored.
	Opened uint64
	// Damaged, TooLarge and NotOpened are entries that were not: each is a miss.
	// NotOpened counts what was tampered with, moved, or sealed under a key that
	// is not here.
	Damaged, TooLarge, NotOpened uint64
	// PackTime and OpenTime are the time spent, together.
	PackTime, OpenTime time.Duration
}

// Stats returns the counters, read one after the other.
func (p *Packer) Stats() Stats {
	c := &p.counters
	return Stats{
		Packed: c.packed.Load(), Left: c.left.Load(), SavedBytes: c.saved.Load(), Opened: c.opened.Load(),
		Damaged: c.damaged.Load(), TooLarge: c.tooLarge.Load(), NotOpened: c.notOpened.Load(),
		PackTime: time.Duration(c.packs.Load()), OpenTime: time.Duration(c.reads.Load()),
	}
}
