package invalidator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// Letter is an event that was put aside: a dead letter, or an event that waits
// for the release of a rule.
type Letter struct {
	// Sequence is its place in the stream that it lies in.
	Sequence uint64
	Stored   time.Time
	// Subject is where the event was published.
	Subject string
	Reason  string
	// Rule and Field are empty where none is at fault; Event is source and id.
	Rule, Field, Event string
	// Reached reports that all that the event could mean was fenced.
	Reached bool
	// Stream and At are where the event came from.
	Stream string
	At     uint64
	// Omitted reports that Body is not here, but only where it came from.
	Omitted bool
	Header  nats.Header
	Body    []byte
}

// LetterFilter says which letters are meant; what is empty fits all.
type LetterFilter struct {
	Rule string
	// Subject is a pattern with * and ? for the event's subject.
	Subject string
	// Reason is a part of the reason.
	Reason string
	// Since and Until bound when the letter was stored.
	Since, Until time.Time
	// Unreached: only letters that may have left copies alive.
	Unreached bool
}

// Fits reports whether the filter means l.
func (f LetterFilter) Fits(l Letter) bool {
	return (f.Rule == "" || f.Rule == l.Rule) &&
		(f.Subject == "" || f.Subject == l.Subject || events.MatchGlob(l.Subject, f.Subject)) &&
		strings.Contains(l.Reason, f.Reason) &&
		(f.Since.IsZero() || !l.Stored.Before(f.Since)) &&
		(f.Until.IsZero() || l.Stored.Before(f.Until)) &&
		(!f.Unreached || !l.Reached)
}

// Letters are what lies in one stream of events that were put aside.
type Letters struct {
	js      jetstream.JetStream
	stream  string
	subject string // of the letters in it
}

// DeadLetters returns the messages that no retry mends.
func DeadLetters(js jetstream.JetStream) *Letters {
	return &Letters{js: js, stream: DeadStream, subject: DeadSubject + ">"}
}

// ParkedEvents returns the events that wait for the release of a rule; of any,
// if rule is empty.
func ParkedEvents(js jetstream.JetStream, rule string) *Letters {
	if rule == "" {
		return &Letters{js: js, stream: ParkedStream, subject: parkedEvent + ">"}
	}
	return &Letters{js: js, stream: ParkedStream, subject: parkedEvent + token(rule) + ".>"}
}

// ErrNoLetter reports a number that no letter has.
var ErrNoLetter = errors.New("no such letter")

// All yields the letters that lie in the stream now, the oldest first. An error
// ends it.
func (l *Letters) All(ctx context.Context, f LetterFilter) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		if err := l.each(ctx, func(letter Letter) bool { return !f.Fits(letter) || yield(letter, nil) }); err != nil {
			yield(Letter{}, err)
		}
	}
}

func (l *Letters) each(ctx context.Context, visit func(Letter) bool) error {
	stream, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return fmt.Errorf("look up %s: %w", l.stream, err)
	}
	most := stream.CachedInfo().State.LastSeq
	c, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{l.subject}})
	if err != nil {
		return fmt.Errorf("read %s: %w", l.stream, err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", l.stream, err)
	}
	if info.NumPending == 0 {
		return nil
	}
	it, err := c.Messages()
	if err != nil {
		return fmt.Errorf("read %s: %w", l.stream, err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s: %w", l.stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream > most {
			return nil
		}
		if !visit(letterOf(meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data())) || meta.NumPending == 0 {
			return nil
		}
	}
}

// Get returns the letter of a number; [ErrNoLetter] if there is none.
func (l *Letters) Get(ctx context.Context, sequence uint64) (Letter, error) {
	stream, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return Letter{}, fmt.Errorf("look up %s: %w", l.stream, err)
	}
	m, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Header.Get(HeaderSubject) == "" {
		return Letter{}, fmt.Errorf("%w: %d in %s", ErrNoLetter, sequence, l.stream)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read %s: %w", l.stream, err)
	}
	return letterOf(sequence, m.Time, m.Header, m.Data), nil
}

func letterOf(sequence uint64, stored time.Time, h nats.Header, body []byte) Letter {
	at, _ := strconv.ParseUint(h.Get(HeaderSequence), 10, 64) // 0: not known
	return Letter{
		Sequence: sequence, Stored: stored, Subject: h.Get(HeaderSubject), Reason: h.Get(HeaderReason),
		Rule: h.Get(HeaderRule), Field: h.Get(HeaderField), Event: h.Get(HeaderEvent),
		Reached: h.Get(HeaderReached) == "true", Stream: h.Get(HeaderStream), At: at,
		Omitted: h.Get(HeaderOmitted) == "true", Header: h, Body: body,
	}
}

// Retry sends a letter's event through the rules again, and removes the letter
// once the event is stored; killed in between it leaves both, which does no
// harm. The limits of the released rules do not hold for it.
func (l *Letters) Retry(ctx context.Context, letter Letter, released ...string) error {
	m := nats.NewMsg(letter.Subject)
	for name, values := range letter.Header {
		if !strings.HasPrefix(name, "Tercet-Dead-") && !strings.HasPrefix(strings.ToLower(name), "nats-") {
			m.Header[name] = slices.Clone(values)
		}
	}
	m.Data = letter.Body
	if letter.Omitted {
		body, err := l.body(ctx, letter)
		if err != nil {
			return err
		}
		m.Data = body
	}
	again := "-"
	for i, rule := range released {
		if i == 0 {
			again = ""
		} else {
			again += ","
		}
		again += strings.ReplaceAll(url.PathEscape(rule), ",", "%2C")
	}
	m.Header.Set(HeaderAgain, again)
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("again-%s-%d-%d", l.stream, letter.Sequence, letter.Stored.UnixNano()))
	if _, err := l.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("retry letter %d: %w", letter.Sequence, err)
	}
	return l.Drop(ctx, letter.Sequence)
}

// body fetches what did not fit into the letter from where the event came from.
func (l *Letters) body(ctx context.Context, letter Letter) ([]byte, error) {
	stream, err := l.js.Stream(ctx, letter.Stream)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", letter.Stream, err)
	}
	m, err := stream.GetMsg(ctx, letter.At)
	if err != nil || m.Subject != letter.Subject {
		return nil, fmt.Errorf("letter %d has no body, and it is not at %d in %s any more: %w", letter.Sequence, letter.At, letter.Stream, errors.Join(ErrNoLetter, err))
	}
	return m.Data, nil
}

// Drop removes a letter; one that is gone already is no error.
func (l *Letters) Drop(ctx context.Context, sequence uint64) error {
	stream, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return fmt.Errorf("look up %s: %w", l.stream, err)
	}
	if err := stream.DeleteMsg(ctx, sequence); err != nil {
		// The server has one answer for all that may go wrong.
		if _, there := stream.GetMsg(ctx, sequence); !errors.Is(there, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("remove letter %d: %w", sequence, err)
		}
	}
	return nil
}

// States returns all rules that were ever parked, by name.
func States(ctx context.Context, js jetstream.JetStream) ([]RuleState, error) {
	p := newParking(js, nil)
	it, pending, err := lastStates(ctx, js)
	if err != nil {
		return nil, err
	}
	defer it.Stop()
	for pending > 0 {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		pending = meta.NumPending
		p.learn(m.Data(), meta.Sequence.Stream)
	}
	return p.list(), nil
}

// Release lets a rule go: from now on its events are fenced again, with a budget
// that begins anew, and those that wait are sent through the rules once more,
// past the rule's limit. moved counts them. After an error, or when killed, it
// may be called again.
func Release(ctx context.Context, js jetstream.JetStream, rule string) (moved int, err error) {
	data, budget, err := last(ctx, js, spentSubject+token(rule))
	if err != nil {
		return 0, err
	}
	if len(data) > 0 {
		if _, err := replace(ctx, js, spentSubject+token(rule), []byte("{}"), budget); err != nil && !isStale(err) {
			return 0, fmt.Errorf("release rule %q: %w", rule, err)
		}
	}
	_, revision, err := last(ctx, js, ruleSubject+token(rule))
	if err != nil {
		return 0, err
	}
	// With this state the stream refuses whatever is still on its way to be
	// parked; so all that is to be moved lies before it.
	until, err := putState(ctx, js, RuleState{Rule: rule, Since: time.Now().UTC()}, revision)
	if err != nil {
		return 0, fmt.Errorf("release rule %q: %w", rule, err)
	}
	letters := ParkedEvents(js, rule)
	for letter, err := range letters.All(ctx, LetterFilter{}) {
		if err != nil {
			return moved, err
		}
		if letter.Sequence > until {
			break // the rule is parked again
		}
		if err := letters.Retry(ctx, letter, rule); err != nil {
			return moved, err
		}
		moved++
	}
	return moved, nil
}
