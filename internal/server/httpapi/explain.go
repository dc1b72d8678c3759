package httpapi

import (
	"net/http"
	"time"

	"github.com/raptorflow/tercet/internal/node"
)

type explanation struct {
	Key        string            `json:"key"`
	Partition  int               `json:"partition"`
	Epoch      string            `json:"epoch"`
	Applied    uint64            `json:"applied"`
	FreshForMS int64             `json:"fresh_for_ms"`
	Tiers      []tierExplanation `json:"tiers"`
	Served     []served          `json:"served,omitempty"`
}

// served is an answer that was sampled.
type served struct {
	At      time.Time `json:"at"`
	Epoch   string    `json:"epoch"`
	Birth   uint64    `json:"birth"`
	Applied uint64    `json:"applied"`
}

type tierExplanation struct {
	Tier    string     `json:"tier"`
	Verdict string     `json:"verdict"`
	Found   bool       `json:"found"`
	Epoch   string     `json:"epoch,omitempty"`
	Birth   uint64     `json:"birth,omitempty"`
	Size    int        `json:"size,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Expiry  *time.Time `json:"expiry,omitempty"`
	Tags    []string   `json:"tags,omitempty"`
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := s.deadline(r, node.Logged)
	defer cancel()
	x, err := s.cache.Explain(ctx, r.PathValue("key"))
	if err != nil {
		return err
	}
	out := explanation{
		Key: x.Key, Partition: x.Partition, Epoch: x.Epoch.String(), Applied: uint64(x.Applied),
		FreshForMS: x.FreshFor.Milliseconds(), Tiers: []tierExplanation{},
	}
	for _, t := range x.Tiers {
		e := tierExplanation{Tier: t.Tier.String(), Verdict: t.Verdict, Found: t.Found}
		if t.Found {
			e.Epoch, e.Birth, e.Size, e.Tags = t.Header.Epoch.String(), uint64(t.Header.Birth), t.Size, t.Header.Tags
			e.Created, e.Expiry = instant(t.Header.Created), instant(t.Header.Expiry)
		}
		out.Tiers = append(out.Tiers, e)
	}
	for _, a := range x.Served {
		out.Served = append(out.Served, served{a.At.UTC(), a.Epoch.String(), uint64(a.Birth), uint64(a.Applied)})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type member struct {
	Node        string   `json:"node"`
	Incarnation string   `json:"incarnation"`
	Pulse       uint64   `json:"pulse"`
	Applied     uint64   `json:"applied"`
	Addresses   []string `json:"addresses"`
	Weight      uint32   `json:"weight"`
}

func (s *Server) members(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		Members []member `json:"members"`
	}{[]member{}}
	for _, m := range s.cache.Members() {
		addresses := m.Addresses
		if addresses == nil {
			addresses = []string{}
		}
		out.Members = append(out.Members, member{
			Node: string(m.Node), Incarnation: m.Incarnation.String(), Pulse: uint64(m.Pulse),
			Applied: uint64(m.Applied), Addresses: addresses, Weight: m.Weight,
		})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
