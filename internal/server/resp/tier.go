package resp

import (
	"context"

	"github.com/raptorflow/tercet/internal/node"
)

// cmdTercetTier lists the tiers, or switches one: TERCET.TIER [tier ON|OFF].
func cmdTercetTier(c *conn, _ context.Context, args [][]byte) error {
	switch len(args) {
	case 0:
		c.listTiers()
		return nil
	case 2:
	default:
		return errSyntax
	}
	tier, err := node.ParseSource(word(args[0]))
	if err != nil {
		return err
	}
	switch word(args[1]) {
	case "on":
		err = c.srv.cache.SwitchOn(tier)
	case "off":
		err = c.srv.cache.SwitchOff(tier)
	default:
		return errSyntax
	}
	if err != nil {
		return err
	}
	c.out.ok()
	return nil
}

func (c *conn) listTiers() {
	all := c.srv.cache.TierStates()
	c.out.dict(len(all))
	for _, t := range all {
		c.out.text(t.Tier.String())
		switch {
		case !t.Present:
			c.out.text("none")
		case t.On:
			c.out.text("on")
		default:
			c.out.text("off")
		}
	}
}
