package peers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// Witness keeps testimonies with all members of a domain, each in its memory:
// what a member was told outlives whoever told it, as long as the one or the other
// runs. Whoever asks gets the strongest of the answers. It serves one node, and
// is safe for concurrent use.
//
// Subject: tercet.<domain>.ack.witness, answered to the inbox that is named.
type Witness struct {
	nc      *nats.Conn
	subject string
	self    events.Incarnation
	others  func() []events.Incarnation
	sub     *nats.Subscription

	mu     sync.Mutex
	kept   map[int]node.Testimony // by partition
	missed map[events.Incarnation]int
}

var _ node.Witness = (*Witness)(nil)

const (
	// witnessPatience is how long the members have to answer, and silentPatience
	// if none of them has answered of late.
	witnessPatience = 100 * time.Millisecond
	silentPatience  = 10 * time.Millisecond
	// mostMissed is how many answers in a row a member may owe until nobody
	// waits for it any more. One that answers again is waited for again.
	mostMissed = 2
	// mostPartitions bounds what a message may ask to be kept.
	mostPartitions = 1024
)

// ErrAlone reports that no other member answered for the witness.
var ErrAlone = errors.New("no member answers for the witness")

// NewWitness begins to keep testimonies for the members of a domain, as self,
// over a connection that it does not close. others names the members that are
// known to run; with none of them this process is the only witness.
func NewWitness(nc *nats.Conn, domain string, self events.Incarnation, others func() []events.Incarnation) (*Witness, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	w := &Witness{
		nc: nc, subject: "tercet." + domain + ".ack.witness", self: self, others: others,
		kept: make(map[int]node.Testimony), missed: make(map[events.Incarnation]int),
	}
	var err error
	w.sub, err = nc.Subscribe(w.subject, func(m *nats.Msg) {
		q, err := decodeRaising(m.Data)
		if err != nil || q.who == self {
			return
		}
		q.kept = w.raise(q)
		q.who = self
		_ = m.Respond(appendRaising(nil, q)) // who asked goes on without
	})
	if err != nil {
		return nil, fmt.Errorf("listen for testimonies: %w", err)
	}
	return w, nil
}

// Close ends the keeping. A closed connection has ended it already.
func (w *Witness) Close() { _ = w.sub.Unsubscribe() }

// Read returns the highest testimony that a member keeps; ErrAlone if others are
// known, none answers, and this process was told nothing.
func (w *Witness) Read(ctx context.Context, partition int) (node.Testimony, error) {
	all, err := w.ask(ctx, raising{partition: partition})
	if err != nil {
		return node.Testimony{}, err
	}
	strongest := all[0]
	for _, t := range all[1:] {
		if strongest == (node.Testimony{}) || t.Epoch != 0 && (t.Epoch != strongest.Epoch || t.Position > strongest.Position) {
			strongest = t
		}
	}
	return strongest, nil
}

// Raise has every member replace what it keeps, as [node.Testimony.Yields] says,
// and returns to if all that answered keep it now, else what one of them keeps;
// ErrAlone if others are known and none answers.
func (w *Witness) Raise(ctx context.Context, partition int, from, to node.Testimony) (node.Testimony, error) {
	all, err := w.ask(ctx, raising{partition: partition, from: from, to: to})
	if err != nil {
		return node.Testimony{}, err
	}
	kept := to
	for _, t := range all {
		if t != to && (kept == to || t.Epoch == to.Epoch && (kept.Epoch != to.Epoch || t.Position > kept.Position)) {
			kept = t
		}
	}
	return kept, nil
}

// raising is a question: raise from one testimony to another, or, if to is
// none, read. Its answer has kept set.
type raising struct {
	partition      int
	who            events.Incarnation
	from, to, kept node.Testimony
}

// raise answers q from what this process keeps.
func (w *Witness) raise(q raising) node.Testimony {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.kept[q.partition]
	if q.to.Epoch != 0 && t.Yields(q.from, q.to) {
		t = q.to
		w.kept[q.partition] = t
	}
	return t
}

// ask asks everyone, this process included, and returns what they keep.
func (w *Witness) ask(ctx context.Context, q raising) ([]node.Testimony, error) {
	q.who = w.self
	awaited, patience := w.awaited()
	answers := []node.Testimony{w.raise(q)}
	if len(awaited) == 0 {
		return answers, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	inbox, err := w.nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAlone, err)
	}
	defer func() { _ = inbox.Unsubscribe() }()
	if err := w.nc.PublishRequest(w.subject, inbox.Subject, appendRaising(nil, q)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAlone, err)
	}
	for len(awaited) > 0 {
		m, err := inbox.NextMsgWithContext(ctx)
		if err != nil {
			break
		}
		a, err := decodeRaising(m.Data)
		if err != nil || a.partition != q.partition {
			continue
		}
		answers = append(answers, a.kept)
		delete(awaited, a.who)
		w.note(a.who, true)
	}
	for who := range awaited {
		w.note(who, false)
	}
	if own := answers[0]; len(answers) == 1 && (own == q.to || own == (node.Testimony{})) {
		return nil, ErrAlone
	}
	return answers, nil // what this process was told speaks against the question even alone
}

// awaited returns who is to be waited for, and how long: everyone who is known to run, but
// none that did not answer of late, if somebody is left then.
func (w *Witness) awaited() (map[events.Incarnation]bool, time.Duration) {
	all, lively := make(map[events.Incarnation]bool), make(map[events.Incarnation]bool)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.others() {
		if i == w.self {
			continue
		}
		all[i] = true
		if w.missed[i] < mostMissed {
			lively[i] = true
		}
	}
	for i := range w.missed {
		if !all[i] {
			delete(w.missed, i)
		}
	}
	if len(lively) == 0 {
		return all, silentPatience
	}
	return lively, witnessPatience
}

func (w *Witness) note(i events.Incarnation, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if answered {
		delete(w.missed, i)
	} else {
		w.missed[i]++
	}
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
