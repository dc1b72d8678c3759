package invalidator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
	"github.com/raptorflow/tercet/internal/invalidator/rules"
)

// DeadSubject is put before a message's subject to make its dead letter's.
const DeadSubject = "events-dead."

// Headers of a dead letter. The message's own headers are kept, but for those
// that instruct the server.
const (
	HeaderReason   = "Tercet-Dead-Reason"   // for people
	HeaderField    = "Tercet-Dead-Field"    // the offending field, where there is one
	HeaderRule     = "Tercet-Dead-Rule"     // the first rule that failed
	HeaderEvent    = "Tercet-Dead-Event"    // source and id, as in the fence's cause
	HeaderReached  = "Tercet-Dead-Reached"  // "true" if all it could mean was fenced, else "false"
	HeaderStream   = "Tercet-Dead-Stream"   // where the message came from,
	HeaderSequence = "Tercet-Dead-Sequence" // and its place there
	HeaderSubject  = "Tercet-Dead-Subject"
	HeaderMsgID    = "Tercet-Dead-Msg-Id" // its Nats-Msg-Id
	// HeaderOmitted stands where the body did not fit beside the headers; it
	// is still in the stream.
	HeaderOmitted = "Tercet-Dead-Body-Omitted"
)

// deadLetters stores messages that no retry mends, and lets the others pass.
// It is the router's outermost middleware.
func (i *Invalidator) deadLetters(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		_, err := next(m)
		var p *poison
		if err == nil || !errors.As(err, &p) {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(m.Context(), i.config.AckWait)
		defer cancel()
		letter, reached := deadLetter(m, p)
		if err := i.store(ctx, letter); err != nil {
			return nil, fmt.Errorf("store dead letter: %w", err) // delivered again later
		}
		i.stats.deadLetters.Add(1)
		if !reached {
			i.stats.unreached.Add(1)
		}
		i.log.WarnContext(ctx, "event became a dead letter", "subject", letter.Subject, "message", m.UUID, "reached", reached, "error", p.err)
		return nil, nil
	}
}

// store publishes a letter and waits until it is kept. A redelivered message
// that was put aside already is recognised by its id.
func (i *Invalidator) store(ctx context.Context, letter *nats.Msg) error {
	_, err := i.deps.JetStream.PublishMsg(ctx, letter)
	if errors.Is(err, nats.ErrMaxPayload) {
		letter.Data = nil
		letter.Header.Set(HeaderOmitted, "true")
		_, err = i.deps.JetStream.PublishMsg(ctx, letter)
	}
	return err
}

func deadLetter(m *message.Message, p *poison) (letter *nats.Msg, reached bool) {
	d := deliveryOf(m)
	letter = putAside(m, "dead", p.Error())
	letter.Subject = DeadSubject + d.subject
	set := func(name, value string) { setHeader(letter, name, value) }
	if p.event != nil {
		set(HeaderEvent, p.event.Source+"#"+p.event.ID)
	}
	var decode *domainevent.DecodeError
	faults := evalErrors(p.err)
	reached = reachOf(p.err, faults)
	switch {
	case errors.As(p.err, &decode):
		set(HeaderField, decode.Field)
	case len(faults) > 0:
		set(HeaderRule, faults[0].Rule)
		set(HeaderField, faults[0].Field)
	}
	set(HeaderReached, strconv.FormatBool(reached))
	return letter, reached
}

// putAside returns a copy of a message for another stream, which says where it
// came from and why it is there. Put aside twice in a row, it is stored once:
// kind tells apart what it is put aside for.
func putAside(m *message.Message, kind, reason string) *nats.Msg {
	d := deliveryOf(m)
	copy := nats.NewMsg(d.subject)
	copy.Data = m.Payload
	for name, value := range m.Metadata {
		// Nats-Expected-…, Nats-Rollup and the like tell the server what to do
		// with the message that they came with.
		if !strings.HasPrefix(strings.ToLower(name), "nats-") && name != HeaderAgain {
			copy.Header.Set(name, value)
		}
	}
	setHeader(copy, HeaderReason, reason)
	setHeader(copy, HeaderStream, d.stream)
	setHeader(copy, HeaderSequence, strconv.FormatUint(d.sequence, 10))
	setHeader(copy, HeaderSubject, d.subject)
	setHeader(copy, HeaderMsgID, m.Metadata[jetstream.MsgIDHeader])
	// The stream's time tells a message from one at the same sequence of a
	// stream that was created anew.
	copy.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s-%s-%d-%d", kind, d.stream, d.sequence, d.time.UnixNano()))
	return copy
}

func setHeader(m *nats.Msg, name, value string) {
	if value != "" {
		m.Header.Set(name, headerText(value))
	}
}

// reachOf reports whether every fault within err is a rule's whose reach was
// fenced. Of anything else, what it means is not known.
func reachOf(err error, faults []*rules.EvalError) bool {
	if len(faults) == 0 || len(faults) != leaves(err) {
		return false
	}
	for _, f := range faults {
		if !f.Reached {
			return false
		}
	}
	return true
}

func leaves(err error) int {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return 1
	}
	n := 0
	for _, e := range joined.Unwrap() {
		n += leaves(e)
	}
	return n
}

// headerText makes a text fit for a header: one line of bounded length.
func headerText(s string) string {
	const most = 2048
	s = strings.NewReplacer("\r", " ", "\n", "; ").Replace(s)
	if len(s) > most {
		s = s[:most]
	}
	return s
}

// delivery is what a message's transport knows of it.
type delivery struct {
	subject, stream string
	sequence        uint64
	delivered       uint64 // how often, this time included
	time            time.Time
	// leave gives the message's place among those in flight to another; what is
	// left of its work is waiting.
	leave func()
}

type deliveryKey struct{}

func deliveryOf(m *message.Message) delivery {
	d, _ := m.Context().Value(deliveryKey{}).(delivery)
	return d
}
