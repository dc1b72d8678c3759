package httpapi

import (
	"net/http"

	"github.com/raptorflow/tercet/internal/node"
)

type tierState struct {
	Tier    string   `json:"tier"`
	Present bool     `json:"present"`
	On      bool     `json:"on"`
	Advice  []string `json:"advice,omitempty"`
}

// tiers lists which tiers this node has and uses.
func (s *Server) tiers(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		Tiers []tierState `json:"tiers"`
	}{[]tierState{}}
	for _, t := range s.cache.TierStates() {
		out.Tiers = append(out.Tiers, tierState{t.Tier.String(), t.Present, t.On, t.Advice})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// switchTier switches one of them.
func (s *Server) switchTier(w http.ResponseWriter, r *http.Request) error {
	tier, err := node.ParseSource(r.PathValue("tier"))
	if err != nil {
		return err
	}
	var in struct {
		On *bool `json:"on"`
	}
	b, err := body(w, r, 4096)
	if err != nil {
		return err
	}
	if err := parse(b, "switch", &in); err != nil {
		return err
	}
	switch {
	case in.On == nil:
		return invalid("the body has to say whether the tier is on")
	case *in.On:
		err = s.cache.SwitchOn(tier)
	default:
		err = s.cache.SwitchOff(tier)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}
