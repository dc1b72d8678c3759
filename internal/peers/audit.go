package peers

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// Auditor carries sightings to other nodes and brings back their opinions, as
// requests over the subject tercet.<domain>.audit.<incarnation>. It is safe for
// concurrent use.
type Auditor struct {
	nc      *nats.Conn
	subject string
}

var _ node.Auditors = (*Auditor)(nil)

// NewAuditor returns the auditor of a domain over a connection, which it does
// not close.
func NewAuditor(nc *nats.Conn, domain string) (*Auditor, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	return &Auditor{nc: nc, subject: "tercet." + domain + ".audit."}, nil
}

// Consult asks one member for its opinion.
func (a *Auditor) Consult(ctx context.Context, member events.Incarnation, s node.Sighting) (node.Opinion, error) {
	m, err := a.nc.RequestWithContext(ctx, a.subject+member.String(), appendSighting(nil, s))
	if err != nil {
		return node.Abstains, fmt.Errorf("consult %s: %w", member, err)
	}
	return decodeOpinion(m.Data)
}

// advisers bounds how many opinions are formed at once; who asks beyond that
// gets none.
const advisers = 8

// Advise answers what others consult self about, until ctx is done.
func (a *Auditor) Advise(ctx context.Context, self events.Incarnation, opinion func(node.Sighting) node.Opinion) error {
	room := make(chan struct{}, advisers)
	sub, err := a.nc.Subscribe(a.subject+self.String(), func(m *nats.Msg) {
		s, err := decodeSighting(m.Data)
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
		default:
			return
		}
		go func() {
			defer func() { <-room }()
			_ = m.Respond([]byte{version, byte(opinion(s))}) // who asked does not wait for long
		}()
	})
	if err != nil {
		return fmt.Errorf("listen for sightings: %w", err)
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // a closed connection has ended it already
	for range advisers {
		room <- struct{}{} // the last opinions have been given
	}
	return ctx.Err()
}

func appendSighting(b []byte, s node.Sighting) []byte {
	b = append(b, version)
	b = msgp.AppendInt(b, s.Partition)
	b = msgp.AppendUint64(b, uint64(s.Epoch))
	b = msgp.AppendUint64(b, uint64(s.Birth))
	b = msgp.AppendUint64(b, uint64(s.Claim))
	b = msgp.AppendString(b, s.Key)
	b = msgp.AppendArrayHeader(b, uint32(len(s.Tags)))
	for _, t := range s.Tags {
		b = msgp.AppendString(b, t)
	}
	return msgp.AppendBytes(b, s.Digest[:])
}

func decodeSighting(b []byte) (node.Sighting, error) {
	var s node.Sighting
	r := reader{b: b}
	r.version()
	s.Partition = r.int()
	s.Epoch = events.Epoch(r.uint())
	s.Birth = events.Position(r.uint())
	s.Claim = events.Position(r.uint())
	s.Key = field(&r, msgp.ReadStringBytes)
	n := field(&r, msgp.ReadArrayHeaderBytes)
	if n > events.MaxTags {
		return node.Sighting{}, errMessage
	}
	for range n {
		s.Tags = append(s.Tags, field(&r, msgp.ReadStringBytes))
	}
	if len(r.b) > 0 { // an earlier version sends none, which proves nothing
		r.fixed(s.Digest[:])
	}
	return s, r.end()
}

func decodeOpinion(b []byte) (node.Opinion, error) {
	if len(b) < 2 || b[0] != version || node.Opinion(b[1]) > node.Objects {
		return node.Abstains, errMessage
	}
	return node.Opinion(b[1]), nil
}
