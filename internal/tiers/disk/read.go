package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/raptorflow/tercet/internal/tiers"
)

// Found is what the store knows of a key.
type Found struct {
	// Fence is the key's own, or the floor below which fences of keys are not
	// told apart any more; zero if neither was ever raised.
	Fence tiers.Fence
	// Entry is the value, nil if there is none. Its birth is no lower than
	// Fence.Hard. It may have expired, and broad fences may cover it.
	Entry tiers.Entry
}

type nameBuf struct{ b []byte }

// names holds buffers for row names, which pebble lets escape.
var names = sync.Pool{New: func() any { return &nameBuf{b: make([]byte, 0, 256)} }}

// Lookup returns what is known of key, by one read; the entry is in dst if its
// capacity suffices and in new memory otherwise, and belongs to the caller.
//
// A damaged value is counted and not returned; its fence is. [ErrCorruptRow]
// reports that the fence can't be read either: copies of key that are not
// newer than the applied position can't be trusted then. The other error is
// [tiers.ErrUnavailable].
func (s *Store) Lookup(key string, dst []byte) (Found, error) {
	if !s.enter() {
		return Found{}, s.unavailable()
	}
	defer s.exit()
	partition := s.cfg.Partition(key)
	if !s.filter.mayHave(key) {
		return Found{Fence: s.floors.absent(partition)}, nil
	}
	if s.pending.n.Load() > 0 {
		var found Found
		if s.pending.row(partition, key, func(c change) {
			if found.Fence = c.fence; c.held != nil {
				found.Entry = append(dst[:0], c.held...)
			}
		}) {
			return s.sampled(key, found), nil
		}
	}
	c, err := s.cursors.take(s.db)
	if err != nil {
		return Found{}, s.failed("lookup", err)
	}
	if c != nil {
		return s.lookupBy(c, partition, key, dst)
	}
	n := names.Get().(*nameBuf)
	defer names.Put(n)
	n.b = append(appendName(n.b[:0], partition, kindKey), key...)
	row, closer, err := s.db.Get(n.b)
	if err != nil {
		if err == pebble.ErrNotFound {
			return Found{Fence: s.floors.absent(partition)}, nil
		}
		return Found{}, s.failed("lookup", err)
	}
	found, err := s.foundIn(key, n.b, row, dst)
	if cerr := closer.Close(); cerr != nil {
		return Found{}, s.failed("lookup", cerr)
	}
	return found, err
}

// lookupBy is Lookup by a cursor, which it gives back.
func (s *Store) lookupBy(c *cursor, partition int, key string, dst []byte) (Found, error) {
	c.name = append(appendName(c.name[:0], partition, kindKey), key...)
	var row []byte
	there := c.it.SeekPrefixGE(c.name)
	err := c.it.Error()
	if there && err == nil {
		row, err = c.it.ValueAndErr()
	}
	if err != nil {
		c.close()
		return Found{}, s.failed("lookup", err)
	}
	found := Found{Fence: s.floors.absent(partition)}
	if there {
		found, err = s.foundIn(key, c.name, row, dst)
	}
	s.cursors.give(c)
	return found, err
}

// foundIn is what key's row says, without a value that can't be one.
func (s *Store) foundIn(key string, name, row, dst []byte) (found Found, err error) {
	var held []byte
	if found.Fence, held, err = parseRow(name, row); err != nil {
		s.corrupt.Add(1)
		return Found{}, err
	}
	if len(held) > 0 {
		if found.Entry, err = s.value(dst, held, key, found.Fence); err != nil {
			s.corrupt.Add(1)
			return Found{Fence: found.Fence}, nil
		}
	}
	return s.sampled(key, found), nil
}

// sampled counts a value that was found in what its key is worth.
func (s *Store) sampled(key string, found Found) Found {
	if found.Entry != nil && s.heat != nil {
		s.heat.sample(key)
	}
	return found
}

// Version returns the row version of key's latest Put, if one was kept. Its
// errors are those of [Store.Lookup].
func (s *Store) Version(key string) (v uint64, ok bool, err error) {
	partition := s.cfg.Partition(key)
	if v, ok, found := s.pending.version(partition, key); found {
		return v, ok, nil
	}
	blob, err := s.sealed("version", append(appendName(nil, partition, kindVersion), key...))
	if err != nil || blob == nil {
		return 0, false, err
	}
	if len(blob) != 8 {
		s.corrupt.Add(1)
		return 0, false, ErrCorruptRow
	}
	return binary.LittleEndian.Uint64(blob), true, nil
}

// Meta returns the blob that was kept under name, nil if there is none. Its
// errors are those of [Store.Lookup].
func (s *Store) Meta(partition int, name string) ([]byte, error) {
	if err := s.drained(); err != nil {
		return nil, err
	}
	return s.sealed("meta", append(appendName(nil, partition, kindMeta), name...))
}

func (s *Store) sealed(op string, name []byte) ([]byte, error) {
	if !s.enter() {
		return nil, s.unavailable()
	}
	defer s.exit()
	row, closer, err := s.db.Get(name)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failed(op, err)
	}
	row = append([]byte{}, row...)
	if err := closer.Close(); err != nil {
		return nil, s.failed(op, err)
	}
	blob, err := unseal(row)
	if err != nil {
		s.corrupt.Add(1)
		return nil, err
	}
	return blob, nil
}

// Broad calls fn with every broad fence of partition, in the order of kind and
// name, until fn returns an error, which it returns. [ErrCorruptRow] reports
// one that can't be read.
func (s *Store) Broad(partition int, fn func(kind byte, name string, f tiers.Fence) error) error {
	return s.walk("broad fences", partition, kindBroad, "", func(name, row []byte) error {
		f, _, err := parseRow(name, row)
		rest := name[nameHead:]
		if err != nil || len(rest) == 0 {
			s.corrupt.Add(1)
			return ErrCorruptRow
		}
		return fn(rest[0], string(rest[1:]), f)
	})
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// rowsPerEntry bounds how many rows a Scan visits for each entry wanted.
const rowsPerEntry = 64

// Scan calls fn with entries of partition in the order of their keys,
// beginning at from, at most limit, until fn returns false; those that have
// expired are left out. The entry is valid during the call only. It returns
// the key to go on from, empty at the end. It may return early, with few or no
// entries, where many rows hold fences only.
func (s *Store) Scan(partition int, from string, limit int, fn func(tiers.Entry) bool) (next string, err error) {
	now := s.cfg.Now()
	entries, rows := 0, 0
	var buf tiers.Entry
	err = s.walk("scan", partition, kindKey, from, func(name, row []byte) error {
		key := string(name[nameHead:])
		if entries >= limit || rows >= limit*rowsPerEntry {
			next = key
			return errEnough
		}
		rows++
		fence, held, err := parseRow(name, row)
		if err != nil || len(held) == 0 {
			return nil // lookups report it
		}
		e, err := s.value(buf, held, key, fence)
		if err != nil {
			return nil
		}
		if buf = e[:0]; e.Ended(now) {
			return nil
		}
		entries++
		if !fn(e) {
			limit = 0
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return "", err
	}
	return next, nil
}

// walk calls fn with the rows of one kind, beginning at from, until fn returns
// an error, which it returns.
func (s *Store) walk(op string, partition int, kind byte, from string, fn func(name, row []byte) error) error {
	if err := s.drained(); err != nil {
		return err
	}
	if !s.enter() {
		return s.unavailable()
	}
	defer s.exit()
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: append(appendName(nil, partition, kind), from...),
		UpperBound: appendName(nil, partition, kind+1),
	})
	if err != nil {
		return s.failed(op, err)
	}
	stop := error(nil)
	for ok := it.First(); ok; ok = it.Next() {
		row, err := it.ValueAndErr()
		if err != nil {
			return s.failed(op, errors.Join(err, it.Close()))
		}
		if stop = fn(it.Key(), row); stop != nil {
			break
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return s.failed(op, err)
	}
	return stop
}

// Fill stores e, which the read path found further out or loaded. It returns
// [tiers.ErrOutdated] if e was born before the key's hard fence, a copy with a
// later birth is here, or alive, which is called with the key's fence, says
// no; [tiers.ErrTooLarge], and drops an older copy, if e is larger than
// [Config].MaxEntry; [ErrCorruptRow] if the key's fence can't be read; and
// [tiers.ErrUnavailable], as [tiers.ErrStalled] while the disk can't keep up. It
// does not keep e.
//
// No batch commits between the check and the store: alive runs on the writer's
// goroutine, and must neither block nor call the store.
func (s *Store) Fill(partition int, e tiers.Entry, alive func(tiers.Fence) bool) error {
	if s.death.stalled.Load() {
		return errStalled
	}
	// The store may die, and return, before the writer is done with e.
	e = append(tiers.Entry(nil), e...)
	return s.submit(&fill{partition: partition, e: e, alive: alive, done: make(chan error, 1)})
}

// FillAll stores copies of one partition, each as Fill would, in one write: for
// those that can wait for company, at a fraction of the price. What is refused
// is counted only; the error is [tiers.ErrUnavailable] or [tiers.ErrStalled]. It
// keeps es and their bytes, which must not change any more.
func (s *Store) FillAll(partition int, es []tiers.Entry, alive func(tiers.Entry, tiers.Fence) bool) error {
	if s.death.stalled.Load() {
		return errStalled
	}
	return s.submit(&fillAll{partition: partition, es: es, alive: alive, done: make(chan error, 1)})
}

var (
	errStalled = fmt.Errorf("disk tier: %w", tiers.ErrStalled)
	errFull    = fmt.Errorf("disk tier: %w: its budget is taken", tiers.ErrStalled)
)

// Remove drops the values of keys and keeps their fences. Its error is
// [tiers.ErrUnavailable].
func (s *Store) Remove(partition int, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	return s.submit(&remove{partition: partition, keys: slices.Clone(keys), done: make(chan error, 1)})
}
