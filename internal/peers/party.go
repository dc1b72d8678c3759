package peers

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
)

// Party is where the members of a domain tell each other something, all at
// once. What is told may be lost, repeated or late. It serves one member, and is safe
// for concurrent use.
type Party interface {
	// Tell tells everybody, and does not wait for it. Answers come to who told,
	// by what it listens with. An error means that nobody was told.
	Tell(b []byte) error
	// Listen calls hear, which must not block, with what members tell, and with
	// answers to what was told here, until end is called. Answer answers
	// whoever told b.
	Listen(hear func(b []byte, answer func([]byte) error)) (end func(), err error)
}

// party is one by a subject of NATS, over a connection that it does not close.
type party struct {
	nc             *nats.Conn
	subject, inbox string
}

// WitnessParty returns where the members of a domain tell each other of their
// testimonies, the subject tercet.<domain>.ack.witness, over a connection that it does
// not close. A closed connection ends the listening.
func WitnessParty(nc *nats.Conn, domain string) (Party, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return nil, err
	}
	return &party{nc: nc, subject: "tercet." + domain + ".ack.witness", inbox: nats.NewInbox()}, nil
}

func (p *party) Tell(b []byte) error { return p.nc.PublishRequest(p.subject, p.inbox, b) }

func (p *party) Listen(hear func(b []byte, answer func([]byte) error)) (end func(), err error) {
	heard := func(m *nats.Msg) { hear(m.Data, m.Respond) }
	answers, err := p.nc.Subscribe(p.inbox, heard)
	if err != nil {
		return nil, err
	}
	told, err := p.nc.Subscribe(p.subject, heard)
	if err != nil {
		return nil, errors.Join(err, answers.Unsubscribe())
	}
	return func() {
		// A closed connection has ended them already.
		_ = told.Unsubscribe()
		_ = answers.Unsubscribe()
	}, nil
}
