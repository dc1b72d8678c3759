package node

import (
	"fmt"

	"github.com/raptorflow/tercet/internal/tiers"
)

// checkLoaded is check of what an origin answered; that there is no value needs
// no approval.
func (n *Node) checkLoaded(key string, l Loaded) error {
	if l.NotModified {
		return ErrNotModified
	}
	if l.Flags&tiers.FlagNegative != 0 {
		return nil
	}
	return n.check(key, l.Payload)
}

// check refuses a payload that is too large or that the embedding service does
// not want cached, before anything is kept of it.
func (n *Node) check(key string, payload []byte) error {
	if len(payload) > n.cfg.MaxValue {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), n.cfg.MaxValue)
	}
	if n.cfg.Validate == nil {
		return nil
	}
	if err := n.cfg.Validate(key, payload); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}
