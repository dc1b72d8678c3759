package link

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/copies"
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/pack"
	"github.com/raptorflow/tercet/internal/tiers/seal"
)

// Replicas returns the way by which copies reach the nodes of the configured
// domain, packed as its nodes pack them. It sends and asks; it does not listen.
func Replicas(nc *nats.Conn, c *config.Config) (node.Replicas, error) {
	p, err := Packer(c)
	if err != nil {
		return nil, err
	}
	n, err := copies.New(nc, c.Domain)
	if err != nil {
		return nil, err
	}
	return packing{n, p}, nil
}

// Packer returns what packs and opens copies as the domain's nodes do.
func Packer(c *config.Config) (*pack.Packer, error) {
	if _, err := SealKeys(c); err != nil {
		return nil, err // which says where the keys came from
	}
	ring, err := seal.Parse(c.SealKeys)
	if c.SealKeysFile != "" {
		ring, err = seal.ReadFile(c.SealKeysFile)
	}
	if err != nil {
		return nil, err
	}
	return pack.New(pack.Config{Domain: c.Domain, Keys: ring, MaxPayload: int(c.MaxValue)})
}

// packing packs what is sent. What is fetched stays as it came: nobody here looks
// into values.
type packing struct {
	*copies.NATS
	p *pack.Packer
}

// Send implements [node.Replicas].
func (r packing) Send(ctx context.Context, to events.NodeID, s node.Shipment) error {
	packed := make([]tiers.Entry, len(s.Entries))
	for i, e := range s.Entries {
		packed[i] = r.p.Pack(e)
	}
	s.Entries = packed
	return r.NATS.Send(ctx, to, s)
}
