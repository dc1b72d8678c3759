package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/raptorflow/tercet/cmd/internal/link"
	"github.com/raptorflow/tercet/internal/config"
	"github.com/raptorflow/tercet/internal/server/resp"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/pkg/client"
)

// images makes this node's snapshots, when one is due and when somebody asks.
type images struct {
	member *client.Client
	cfg    config.Snapshots
	keep   snapshot.Retention
	log    *slog.Logger
}

// newImages returns nil where there is no store of snapshots.
func newImages(member *client.Client, c *config.Config, log *slog.Logger) *images {
	if member.Catalogue() == nil {
		return nil
	}
	return &images{member: member, cfg: c.Snapshots, keep: link.Retention(c), log: log}
}

// troubled is how long a store that fails is left alone.
const troubled = time.Minute

// run makes snapshots by the schedule until ctx is done. It may be called of nil.
func (s *images) run(ctx context.Context) error {
	if s == nil || s.cfg.Every == 0 {
		return nil
	}
	select {
	case <-s.member.Ready():
	case <-ctx.Done():
		return nil
	}
	for {
		wait, err := s.due(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("scheduled snapshot failed", "error", err)
		}
		// Somebody else may wait for the same moment: not all should look at once.
		wait += rand.N(s.cfg.Every/16 + time.Millisecond)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// due makes what is due, and returns when to look again.
func (s *images) due(ctx context.Context) (time.Duration, error) {
	all, _, err := s.member.Snapshots(ctx)
	if err != nil {
		return troubled, err
	}
	schedule := snapshot.Schedule{Every: s.cfg.Every, FullEvery: s.cfg.FullEvery}
	wait, base := schedule.Next(time.Now(), all, snapshot.Full)
	if wait > 0 {
		return wait, nil
	}
	if _, err := s.create(ctx, snapshot.Full, base); err != nil {
		return troubled, err
	}
	if s.cfg.Fences {
		if _, err := s.create(ctx, snapshot.Fences, nil); err != nil {
			return s.cfg.Every, err
		}
	}
	pruned, err := s.member.Catalogue().Prune(ctx, s.keep)
	if len(pruned) > 0 {
		s.log.Info("pruned snapshots", "ids", pruned)
	}
	return s.cfg.Every, err
}

// create makes one snapshot; a full one where its base is gone or damaged.
func (s *images) create(ctx context.Context, kind snapshot.Kind, base *snapshot.Manifest) (snapshot.Manifest, error) {
	began := time.Now()
	m, err := s.member.CreateSnapshot(ctx, kind, base)
	if err != nil && base != nil && ctx.Err() == nil {
		s.log.Warn("no increment can be made; making a snapshot of everything", "base", base.ID, "error", err)
		m, err = s.member.CreateSnapshot(ctx, kind, nil)
	}
	if err == nil {
		s.log.Info("made a snapshot", "id", m.ID, "kind", m.Kind, "base", m.Base, "rows", m.Rows, "copies", m.Copies, "bytes", m.Size, "took", time.Since(began).Round(time.Millisecond))
	}
	return m, err
}

// demand makes one that somebody asks for.
func (s *images) demand(ctx context.Context, kind snapshot.Kind, increment bool) (snapshot.Manifest, error) {
	var base *snapshot.Manifest
	if increment {
		all, _, err := s.member.Snapshots(ctx)
		if err != nil {
			return snapshot.Manifest{}, err
		}
		_, base = snapshot.Schedule{FullEvery: 1 << 30}.Next(time.Now(), all, kind)
	}
	return s.create(ctx, kind, base)
}

// order makes snapshots for Redis clients; nil of nil.
func (s *images) order() func(context.Context, resp.SnapshotOrder) (string, error) {
	if s == nil {
		return nil
	}
	return func(ctx context.Context, o resp.SnapshotOrder) (string, error) {
		kind := snapshot.Full
		if o.Fences {
			kind = snapshot.Fences
		}
		m, err := s.demand(ctx, kind, o.Increment)
		return m.ID, err
	}
}

// handler serves /v1/{domain}/snapshots; nil of nil.
func (s *images) handler() http.Handler {
	if s == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if r.Method == http.MethodPost {
			err = s.post(w, r)
		} else {
			err = s.list(w, r)
		}
		if err != nil {
			s.problem(w, r, err)
		}
	})
}

func (s *images) problem(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errBody):
		status = http.StatusBadRequest
	case errors.Is(err, snapshot.ErrNoBase):
		status = http.StatusConflict
	default:
		s.log.Warn("request for snapshots failed", "method", r.Method, "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": err.Error()})
}

func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
	return nil
}

type refusal struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

func (s *images) list(w http.ResponseWriter, r *http.Request) error {
	all, refused, err := s.member.Snapshots(r.Context())
	if err != nil {
		return err
	}
	began := s.member.Beginning()
	out := struct {
		Snapshots []snapshot.Manifest `json:"snapshots"`
		Refused   []refusal           `json:"refused"`
		BeganWith string              `json:"began_with"`
	}{Snapshots: append([]snapshot.Manifest{}, all...), Refused: []refusal{}}
	for _, x := range refused {
		out.Refused = append(out.Refused, refusal{x.ID, x.Err.Error()})
	}
	if began.Snapshot != nil {
		out.BeganWith = began.Snapshot.ID
	}
	return answer(w, http.StatusOK, out)
}

var errBody = errors.New(`want a body like {"kind": "full", "increment": false}`)

func (s *images) post(w http.ResponseWriter, r *http.Request) error {
	q := struct {
		Kind      snapshot.Kind `json:"kind"`
		Increment bool          `json:"increment"`
	}{Kind: snapshot.Full}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil && !errors.Is(err, io.EOF) || q.Kind != snapshot.Full && q.Kind != snapshot.Fences {
		return errBody
	}
	// It takes as long as it takes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	m, err := s.demand(r.Context(), q.Kind, q.Increment)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, m)
}
