package client

import (
	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
	"github.com/raptorflow/tercet/internal/peers"
)

// buildWitness lets the members keep what must outlive the log, where Redis
// does not.
func (c *Client) buildWitness(settings events.Settings, deps *node.Deps) error {
	party, err := peers.WitnessParty(c.nc, c.cfg.Domain)
	if err != nil {
		return err
	}
	if c.witness, err = peers.NewWitness(party, deps.Incarnation); err != nil {
		return err
	}
	deps.Witness = c.witness
	if c.l2 != nil {
		deps.Witness = peers.WithReserve(witnessPort{c.l2}, c.witness, settings.Partitions)
	}
	return nil
}
