package jslog

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
)

// Create makes a domain: its streams, and in each log the record that opens
// the first epoch. Where the domain exists with the same settings it completes
// what an interrupted Create left out and otherwise does nothing; with other
// settings it returns an *[ExistsError], and for streams that were changed
// since a *[DriftError].
func Create(ctx context.Context, nc *nats.Conn, domain string, s events.Settings) error {
	if err := events.ValidateDomain(domain); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("create domain %q: %w", domain, err)
	}
	want, err := streams(domain, s)
	if err != nil {
		return err
	}
	// The first log carries the settings: of two creators who disagree, the
	// one who makes it wins, and the other touches nothing else.
	for p, c := range want {
		if err := createStream(ctx, js, domain, s, c); err != nil {
			return err
		}
		if p < s.Partitions {
			if err := openEpoch(ctx, nc, c); err != nil {
				return fmt.Errorf("create domain %q: open the epoch of partition %d: %w", domain, p, err)
			}
		}
	}
	return nil
}

func createStream(ctx context.Context, js jetstream.JetStream, domain string, s events.Settings, want jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, want)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("create domain %q: stream %s: %w", domain, want.Name, err)
	}
	have, err := js.Stream(ctx, want.Name)
	if err != nil {
		return fmt.Errorf("create domain %q: look up stream %s: %w", domain, want.Name, err)
	}
	config := have.CachedInfo().Config
	if want.Metadata != nil {
		old, err := readSettings(domain, config)
		if err != nil {
			return err
		}
		field, h, w, err := difference(old, s, nil)
		if err != nil {
			return err
		}
		if field != "" {
			return &ExistsError{Domain: domain, Field: field, Have: h, Want: w}
		}
	}
	return drift(config, want)
}

// openEpoch publishes the first record of a log, unless there is one.
func openEpoch(ctx context.Context, nc *nats.Conn, c jetstream.StreamConfig) error {
	epoch, err := events.NewEpoch(rand.Reader)
	if err != nil {
		return err
	}
	publisher, err := events.NewIncarnation(rand.Reader)
	if err != nil {
		return err
	}
	data, err := events.AppendRecord(nil, events.Record{Changes: []events.Change{
		&events.EpochChange{Epoch: epoch, Why: "domain created"},
	}})
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	id := events.ID{Publisher: publisher, Counter: 1}
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = js.Publish(attempt, c.Subjects[0], data,
			jetstream.WithMsgID(id.String()),
			jetstream.WithExpectStream(c.Name),
			// Someone else's epoch, or anything else, came first: fine.
			jetstream.WithExpectLastSequence(0))
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &api) && isWrongLastSequence(api.ErrorCode):
			return nil
		case ctx.Err() != nil:
			return err
		}
		// No leader yet, or no answer: with the same id, and at an empty log
		// only, another attempt can't open a second epoch.
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func isWrongLastSequence(c jetstream.ErrorCode) bool {
	return c == jetstream.JSErrCodeStreamWrongLastSequence || c == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// Delete removes a domain with all that its logs hold, for good. A domain that
// doesn't exist is [events.ErrNoDomain].
func Delete(ctx context.Context, nc *nats.Conn, domain string) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("delete domain %q: %w", domain, err)
	}
	s, err := lookSettings(ctx, js, domain)
	if err != nil {
		return err
	}
	all, err := streams(domain, s)
	if err != nil {
		return err
	}
	// Backwards: the first log goes last, so that an interrupted Delete can be
	// run again.
	for i := len(all) - 1; i >= 0; i-- {
		err := js.DeleteStream(ctx, all[i].Name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete domain %q: stream %s: %w", domain, all[i].Name, err)
		}
	}
	return nil
}

// lookSettings reads a domain's settings from its first log.
func lookSettings(ctx context.Context, js jetstream.JetStream, domain string) (events.Settings, error) {
	if err := events.ValidateDomain(domain); err != nil {
		return events.Settings{}, err
	}
	first, err := js.Stream(ctx, LogStream(domain, 0))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return events.Settings{}, fmt.Errorf("domain %q: %w; create it with: tercet domain create %s", domain, events.ErrNoDomain, domain)
	}
	if err != nil {
		return events.Settings{}, fmt.Errorf("look up domain %q: %w", domain, err)
	}
	return readSettings(domain, first.CachedInfo().Config)
}

func readSettings(domain string, c jetstream.StreamConfig) (events.Settings, error) {
	var s events.Settings
	stored, ok := c.Metadata[settingsKey]
	if !ok {
		return s, &DriftError{Stream: c.Name, Field: "metadata " + settingsKey, Have: "absent", Want: "the domain's settings"}
	}
	if err := json.Unmarshal([]byte(stored), &s); err != nil {
		return s, fmt.Errorf("settings of domain %q in stream %s: %w", domain, c.Name, err)
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("settings of domain %q in stream %s: %w", domain, c.Name, err)
	}
	return s, nil
}
