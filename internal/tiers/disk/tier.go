package disk

import (
	"context"
	"errors"

	"github.com/raptorflow/tercet/internal/tiers"
)

type tier struct {
	s         *Store
	partition func(string) int
}

var _ tiers.Tier = tier{}

// Tier returns the store behind the port that all tiers share.
func (s *Store) Tier(partition func(string) int) tiers.Tier {
	return tier{s: s, partition: partition}
}

func (t tier) Get(_ context.Context, key string, dst []byte) (tiers.Entry, error) {
	found, err := t.s.Lookup(key, dst)
	switch {
	case errors.Is(err, ErrCorruptRow):
		return nil, tiers.ErrMiss
	case err != nil:
		return nil, err
	case found.Entry == nil || found.Entry.Ended(t.s.cfg.Now()) || found.Entry.Birth() < found.Fence.Soft:
		return nil, tiers.ErrMiss
	}
	return found.Entry, nil
}

func (t tier) Put(_ context.Context, e tiers.Entry) error {
	return t.s.Fill(t.partition(e.Key()), e, func(f tiers.Fence) bool { return e.Birth() >= f.Soft })
}

func (t tier) Remove(_ context.Context, keys ...string) error {
	for _, k := range keys {
		if err := t.s.Remove(t.partition(k), k); err != nil {
			return err
		}
	}
	return nil
}

// Clear drops every value and keeps the fences. Values are found by a walk,
// since they lie beside the fences.
func (t tier) Clear(ctx context.Context) error {
	const chunk = 256
	for p := range t.s.cfg.Partitions {
		for from := ""; ; {
			if err := ctx.Err(); err != nil {
				return errors.Join(tiers.ErrUnavailable, err)
			}
			keys, next, err := t.s.valued(p, from, chunk)
			if err != nil {
				return err
			}
			if err := t.s.Remove(p, keys...); err != nil {
				return err
			}
			if from = next; from == "" {
				break
			}
		}
	}
	return nil
}

// valued returns keys that have a value, whatever its state, and where to go
// on.
func (s *Store) valued(partition int, from string, limit int) (keys []string, next string, err error) {
	rows := 0
	err = s.walk("clear", partition, kindKey, from, func(name, row []byte) error {
		if len(keys) >= limit || rows >= limit*rowsPerEntry {
			next = string(name[nameHead:])
			return errEnough
		}
		rows++
		if _, held, err := parseRow(name, row); err == nil && len(held) > 0 {
			keys = append(keys, string(name[nameHead:]))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, "", err
	}
	return keys, next, nil
}
