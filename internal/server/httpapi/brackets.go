package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/node"
)

// bracket is an open bracket in one partition's log.
type bracket struct {
	ID        string    `json:"id"`
	Partition int       `json:"partition"`
	Keys      []string  `json:"keys,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
	Prefixes  []string  `json:"prefixes,omitempty"`
	Globs     []string  `json:"globs,omitempty"`
	All       bool      `json:"all,omitempty"`
	Deadline  time.Time `json:"deadline"`
	AgeMillis int64     `json:"age_ms"`
	Overdue   bool      `json:"overdue"`
	Writer    string    `json:"writer,omitempty"`
	Decider   string    `json:"decider,omitempty"`
}

// brackets lists what is open, as far as this node has applied the log; the
// oldest first.
func (s *Server) brackets(w http.ResponseWriter, _ *http.Request) error {
	out := struct {
		Brackets []bracket `json:"brackets"`
	}{[]bracket{}}
	open := s.cache.Brackets()
	slices.SortStableFunc(open, func(a, b node.OpenBracket) int { return int((b.Age - a.Age) / time.Millisecond) })
	for _, b := range open {
		out.Brackets = append(out.Brackets, bracket{
			ID: b.ID.String(), Partition: b.Partition,
			Keys: b.Scope.Keys, Tags: b.Scope.Tags, Prefixes: b.Scope.Prefixes, Globs: b.Scope.Globs, All: b.Scope.All,
			Deadline: time.UnixMilli(b.Deadline).UTC(), AgeMillis: b.Age.Milliseconds(), Overdue: b.Overdue,
			Writer: string(b.Writer), Decider: b.Decider,
		})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// resolve ends a bracket in its writer's stead. The node can't prove that the
// writer's commit is impossible, so whoever asks has to say so.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request) error {
	id, err := events.ParseBracketID(r.PathValue("id"))
	if err != nil {
		return err
	}
	var in struct {
		Impossible bool `json:"commit_is_impossible"`
	}
	b, err := body(w, r, 4096)
	if err != nil {
		return err
	}
	if err := parse(b, "acknowledgement", &in); err != nil {
		return err
	}
	if !in.Impossible {
		return invalid("a bracket that ends while its writer can still commit leaves a stale copy: " +
			"make the commit impossible, then say so with commit_is_impossible")
	}
	ctx, cancel := s.deadline(r, node.Logged)
	defer cancel()
	t, err := s.cache.EndBracket(ctx, id)
	if err == nil {
		s.logger.Warn("bracket was resolved by hand", "bracket", id.String())
	}
	return s.written(w, r, t, err)
}
