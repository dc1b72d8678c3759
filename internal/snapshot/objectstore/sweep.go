package objectstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Sweep implements [snapshot.Sweeper]. Parts carry no name but their upload's
// number, so that those of all the bucket's objects are looked at.
func (s *Store) Sweep(ctx context.Context, _ string, before time.Time) (swept int, err error) {
	stream, err := s.js.Stream(ctx, "OBJ_"+s.name)
	if err != nil {
		return 0, err
	}
	parts := "$O." + s.name + ".C."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(parts+">"))
	if err != nil {
		return 0, err
	}
	// Listed behind the parts: whose writer has finished meanwhile is in it.
	all, err := s.bucket.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, err
	}
	whole := make(map[string]bool, len(all))
	for _, o := range all {
		whole[parts+o.NUID] = true
	}
	for subject := range info.State.Subjects {
		if whole[subject] {
			continue
		}
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // somebody else was quicker
		}
		if err != nil {
			return swept, err
		}
		if !last.Time.Before(before) {
			continue // somebody is writing it
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return swept, err
		}
		swept++
	}
	return swept, nil
}
