package peers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
	"github.com/raptorflow/tercet/internal/node"
)

// Witness keeps testimonies with all members of a domain, each in its memory:
// what a member was told outlives whoever told it. It serves one node, and is
// safe for concurrent use.
//
// A raise is told to everybody, at once or within ten milliseconds, and not waited
// for; so what the others have raised is here, and reading costs nothing. Only the
// first reading of a partition waits for what the others know. Who is told of a
// raise that does not follow from what it keeps says so, and the next operation
// of whoever raised returns that, to be compared.
type Witness struct {
	party Party
	self  events.Incarnation
	end   func()

	mu    sync.Mutex
	parts map[int]*kept
}

// kept is what one partition's testimony is here.
type kept struct {
	t node.Testimony
	// objections are what other members keep, or have told, and what t does not
	// follow from: each is to be compared, since it may be all that is left of a
	// history that was lost. resolved is the last that was.
	objections []node.Testimony
	resolved   node.Testimony
	asked      time.Time
	answered   chan struct{} // closed when the first question's time is over
	// What is to be told: from what was told last to t.
	told    node.Testimony
	toldAt  time.Time
	telling *time.Timer
}

var _ node.Witness = (*Witness)(nil)

const (
	// witnessPatience is how long a node that starts waits for what others
	// know.
	witnessPatience = 100 * time.Millisecond
	// askEvery is how often it asks again, without waiting: it may have missed
	// what was told while its connection was down.
	askEvery = time.Second
	// tellEvery is the least time between two tellings, and how far behind the
	// others may be.
	tellEvery = 10 * time.Millisecond
	// mostObjections bounds what waits to be compared. Who keeps one that found no
	// room objects again.
	mostObjections = 64
	// mostPartitions bounds what a message may ask to be kept.
	mostPartitions = 1024
)

// NewWitness begins to keep testimonies for the members of a domain, as self,
// who hears what the others tell at party.
func NewWitness(party Party, self events.Incarnation) (*Witness, error) {
	w := &Witness{party: party, self: self, parts: make(map[int]*kept)}
	var err error
	if w.end, err = party.Listen(w.hear); err != nil {
		return nil, fmt.Errorf("listen for testimonies: %w", err)
	}
	return w, nil
}

// Close ends the keeping.
func (w *Witness) Close() {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.parts {
		if k.telling != nil {
			k.telling.Stop()
		}
	}
}

// of returns what is kept of a partition. It needs mu.
func (w *Witness) of(partition int) *kept {
	k := w.parts[partition]
	if k == nil {
		k = &kept{}
		w.parts[partition] = k
	}
	return k
}

// Read returns what is kept here, or what another member has objected.
func (w *Witness) Read(ctx context.Context, partition int) (node.Testimony, error) {
	w.mu.Lock()
	k := w.of(partition)
	first := k.answered == nil
	if first {
		k.answered = make(chan struct{})
		time.AfterFunc(witnessPatience, func() { close(k.answered) })
	}
	answered, ask := k.answered, time.Since(k.asked) > askEvery && !mutant.On(mutant.MemberJoinsUnasked)
	if ask {
		k.asked = time.Now()
	}
	w.mu.Unlock()
	if ask {
		// A question that is lost is asked again.
		_ = w.party.Tell(appendRaising(nil, raising{partition: partition, who: w.self}))
	}
	select {
	case <-answered:
	case <-ctx.Done():
		return node.Testimony{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(k.objections) > 0 && !mutant.On(mutant.ObjectionUnheard) {
		return k.objections[0], nil
	}
	return k.t, nil
}

// Keeps returns what is kept of a partition, and behind it what other members have
// objected and nobody compared yet; none if nothing is kept. It asks nobody.
func (w *Witness) Keeps(partition int) []node.Testimony {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of(partition).all()
}

// Raise raises what is kept here, and tells the others.
func (w *Witness) Raise(_ context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.of(partition)
	if i := slices.Index(k.objections, from); i >= 0 {
		// It was compared. Whoever keeps it can follow from it.
		k.objections = slices.Delete(k.objections, i, i+1)
		k.resolved, k.told = from, from
	}
	if len(k.objections) > 0 && !mutant.On(mutant.ObjectionUnheard) {
		return k.objections[0], nil
	}
	if k.t == to {
		return to, nil
	}
	if !k.t.Yields(from, to) {
		return k.t, nil
	}
	if k.told == (node.Testimony{}) {
		k.told = from
	}
	k.t = to
	w.tell(partition, k)
	return to, nil
}

// tell tells the others, now or soon. It needs mu.
func (w *Witness) tell(partition int, k *kept) {
	if k.telling != nil {
		return
	}
	if wait := tellEvery - time.Since(k.toldAt); wait > 0 {
		k.telling = time.AfterFunc(wait, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			k.telling = nil
			w.publish(partition, k)
		})
		return
	}
	w.publish(partition, k)
}

func (w *Witness) publish(partition int, k *kept) {
	q := raising{partition: partition, who: w.self, from: k.told, to: k.t}
	k.told, k.toldAt = k.t, time.Now()
	// What a broken connection loses, the next telling makes good.
	_ = w.party.Tell(appendRaising(nil, q))
}

// raising is what members say to each other: a raise from one testimony to
// another; a question, if to is none; or the answer to either, with kept set.
type raising struct {
	partition      int
	who            events.Incarnation
	from, to, kept node.Testimony
}

// hear takes in what another member says.
func (w *Witness) hear(b []byte, answer func([]byte) error) {
	q, err := decodeRaising(b)
	if err != nil || q.who == w.self {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.of(q.partition)
	none := node.Testimony{}
	say := func(t node.Testimony) {
		_ = answer(appendRaising(nil, raising{partition: q.partition, who: w.self, kept: t}))
	}
	switch {
	case q.kept != none: // an answer
		k.learn(none, q.kept)
	case q.to == none: // a question
		for _, t := range k.all() {
			say(t)
		}
	case !k.learn(q.from, q.to) && k.t != none:
		say(k.t)
	}
}

// all returns what is kept, and the objections behind it.
func (k *kept) all() []node.Testimony {
	if k.t == (node.Testimony{}) {
		return slices.Clone(k.objections)
	}
	return append([]node.Testimony{k.t}, k.objections...)
}

// learn takes over what another member keeps if it follows from what is kept
// here, and else remembers it, to be compared. An objection gives way only to
// what follows from it.
func (k *kept) learn(from, to node.Testimony) bool {
	switch {
	case k.t == to:
		return true
	case k.t == from: // both none, or the same
		k.t, k.told = to, to
		return true
	case to == k.resolved, slices.Contains(k.objections, to):
		return false
	}
	if mutant.On(mutant.ObjectionOverwritten) {
		k.objections = k.objections[:0]
	}
	if i := slices.Index(k.objections, from); i >= 0 {
		k.objections[i] = to
	} else if len(k.objections) < mostObjections {
		k.objections = append(k.objections, to)
	}
	return false
}

func appendRaising(b []byte, q raising) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, q.partition)
	b = msgp.AppendBytes(b, q.who[:])
	for _, t := range []node.Testimony{q.from, q.to, q.kept} {
		b = msgp.AppendUint64(b, uint64(t.Epoch))
		b = msgp.AppendUint64(b, uint64(t.Position))
		b = msgp.AppendBytes(b, t.Digest[:])
	}
	return b
}

func decodeRaising(b []byte) (raising, error) {
	var q raising
	r := reader{b: b}
	r.version()
	q.partition = r.int()
	r.fixed(q.who[:])
	for _, t := range []*node.Testimony{&q.from, &q.to, &q.kept} {
		t.Epoch = events.Epoch(r.uint())
		t.Position = events.Position(r.uint())
		r.fixed(t.Digest[:])
	}
	if q.partition < 0 || q.partition >= mostPartitions {
		r.bad = true
	}
	return q, r.end()
}
