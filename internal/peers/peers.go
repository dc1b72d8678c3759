// Package peers carries the small messages between the nodes of a domain over
// core NATS: questions ("have you applied this record?") and confirmations,
// turns to load a key, and announcements that a load has ended. They may be lost, repeated and late; nothing that a guarantee rests on
// travels here alone.
//
// Subjects: tercet.<domain>.ack for questions, tercet.<domain>.ack.<incarnation>
// for the confirmations that one asked for.
package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// NATS carries messages over a connection, which it does not close. It is safe
// for concurrent use.
type NATS struct {
	nc      *nats.Conn
	subject string
}

var _ node.Peers = (*NATS)(nil)

// New returns the messenger of a domain.
func New(nc *nats.Conn, domain string) (*NATS, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	return &NATS{nc: nc, subject: "tercet." + domain + ".ack"}, nil
}

// Ask sends q to every node.
func (n *NATS) Ask(q node.Question) error {
	return n.nc.Publish(n.subject, appendQuestion(nil, q))
}

// Confirm sends c to who asked.
func (n *NATS) Confirm(to events.Incarnation, c node.Confirmation) error {
	return n.nc.Publish(n.subject+"."+to.String(), appendConfirmation(nil, c))
}

// Listen calls the functions, which must not block, until ctx is done.
func (n *NATS) Listen(ctx context.Context, self events.Incarnation, asked func(node.Question), confirmed func(node.Confirmation)) error {
	questions, err := n.nc.Subscribe(n.subject, func(m *nats.Msg) {
		if q, err := decodeQuestion(m.Data); err == nil {
			asked(q)
		}
	})
	if err != nil {
		return fmt.Errorf("listen for questions: %w", err)
	}
	answers, err := n.nc.Subscribe(n.subject+"."+self.String(), func(m *nats.Msg) {
		if c, err := decodeConfirmation(m.Data); err == nil {
			confirmed(c)
		}
	})
	if err != nil {
		return errors.Join(fmt.Errorf("listen for confirmations: %w", err), questions.Unsubscribe())
	}
	<-ctx.Done()
	// A closed connection has ended the subscriptions already.
	_ = questions.Unsubscribe()
	_ = answers.Unsubscribe()
	return ctx.Err()
}

const version = 1

// errMessage reports bytes that are no message of ours.
var errMessage = errors.New("malformed peer message")

func appendQuestion(b []byte, q node.Question) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, q.Partition)
	b = msgp.AppendUint64(b, uint64(q.Epoch))
	b = msgp.AppendUint64(b, uint64(q.At))
	return msgp.AppendBytes(b, q.From[:])
}

func decodeQuestion(b []byte) (node.Question, error) {
	var q node.Question
	r := reader{b: b}
	r.version()
	q.Partition = r.int()
	q.Epoch = events.Epoch(r.uint())
	q.At = events.Position(r.uint())
	r.fixed(q.From[:])
	return q, r.end()
}

func appendConfirmation(b []byte, c node.Confirmation) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, c.Partition)
	b = msgp.AppendUint64(b, uint64(c.Epoch))
	b = msgp.AppendUint64(b, uint64(c.At))
	b = msgp.AppendBytes(b, c.Digest[:])
	return msgp.AppendBytes(b, c.Incarnation[:])
}

func decodeConfirmation(b []byte) (node.Confirmation, error) {
	var c node.Confirmation
	r := reader{b: b}
	r.version()
	c.Partition = r.int()
	c.Epoch = events.Epoch(r.uint())
	c.At = events.Position(r.uint())
	r.fixed(c.Digest[:])
	r.fixed(c.Incarnation[:])
	return c, r.end()
}

// reader reads fields and remembers that one failed. Nothing that it reads
// takes memory of its own.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) version() {
	if len(r.b) == 0 || r.b[0] != version {
		r.bad = true
		return
	}
	r.b = r.b[1:]
}

func field[T any](r *reader, read func([]byte) (T, []byte, error)) T {
	var zero T
	if r.bad {
		return zero
	}
	v, rest, err := read(r.b)
	if err != nil {
		r.bad = true
		return zero
	}
	r.b = rest
	return v
}

func (r *reader) int() int     { return field(r, msgp.ReadIntBytes) }
func (r *reader) uint() uint64 { return field(r, msgp.ReadUint64Bytes) }

func (r *reader) fixed(dst []byte) {
	v := field(r, msgp.ReadBytesZC)
	if len(v) != len(dst) {
		r.bad = true
		return
	}
	copy(dst, v)
}

// end tolerates fields that a later version appended.
func (r *reader) end() error {
	if r.bad {
		return errMessage
	}
	return nil
}
