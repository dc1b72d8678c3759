package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/internal/replay"
)

// pulsed is the last pulse of a member, and where it stands.
type pulsed struct {
	*events.Pulse
	at events.Position
}

// membersOf returns who pulsed in a partition within its last two leases and has
// not left, by name: the nodes that live, without joining them.
func membersOf(ctx context.Context, d *jslog.Domain, partition int) ([]pulsed, error) {
	s := d.Retained(partition)
	since := time.Now().Add(-2 * d.Settings().Lease)
	r, err := replay.Resolve(ctx, partition, s, replay.Time(since), replay.Last())
	if err != nil || r.Len() == 0 {
		return nil, err
	}
	last := map[events.Incarnation]pulsed{}
	err = s.Read(ctx, r.First, r.Last, func(batch []events.Delivery) error {
		for _, x := range batch {
			record, err := events.DecodeRecord(x.Data)
			if err != nil {
				continue
			}
			for _, c := range record.Changes {
				if p, ok := c.(*events.Pulse); ok && p.Leave {
					delete(last, p.Incarnation)
				} else if ok {
					last[p.Incarnation] = pulsed{p, x.Position}
				}
			}
		}
		return nil
	})
	var out []pulsed
	for _, p := range last {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b pulsed) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Incarnation.String(), b.Incarnation.String()))
	})
	return out, err
}

// find returns the member that a word names: its name, an address that it
// announced, or that address's host and port.
func find(members []pulsed, word string) (pulsed, error) {
	var found []pulsed
	for _, m := range members {
		if string(m.Node) == word || slices.ContainsFunc(m.Addresses, func(a string) bool {
			u, err := url.Parse(a)
			return a == strings.TrimSuffix(word, "/") || err == nil && u.Host == word
		}) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return pulsed{}, fmt.Errorf("%w: no member is called or reached by %s; there are: %s", errNoMember, replay.Quote(word), names(members))
	}
	return pulsed{}, usagef("%s names %d members", replay.Quote(word), len(found))
}

func names(members []pulsed) string {
	var all []string
	for _, m := range members {
		all = append(all, strings.Join(append([]string{string(m.Node)}, m.Addresses...), " "))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// http returns where the member's HTTP interface is; empty: it announced none.
func (p pulsed) http() string {
	for _, a := range p.Addresses {
		if strings.HasPrefix(a, "http://") || strings.HasPrefix(a, "https://") {
			return a
		}
	}
	return ""
}
