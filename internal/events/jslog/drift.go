package jslog

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/mutant"
)

// DriftError is an [events.ErrDrift]: a stream is not as [Create] made it.
type DriftError struct {
	Stream string
	// Field is the setting's name in JetStream's API, such as "deny_purge".
	Field string
	// Have and Want are its values as JSON; "absent" if there is none.
	Have, Want string
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("stream %s: %v: %s is %s, want %s; undo the change, or create another domain", e.Stream, events.ErrDrift, e.Field, e.Have, e.Want)
}

func (e *DriftError) Unwrap() error { return events.ErrDrift }

// ErrExists reports a domain that can't be created because one of that name
// exists with other settings.
var ErrExists = errors.New("domain exists with other settings")

// ExistsError is an [ErrExists].
type ExistsError struct {
	Domain string
	// Field is the name of the first setting that differs.
	Field string
	// Have is the existing domain's value and Want the one asked for, as JSON.
	Have, Want string
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("create domain %q: %v: %s is %s, not %s; settings are fixed for a domain's life", e.Domain, ErrExists, e.Field, e.Have, e.Want)
}

func (e *ExistsError) Unwrap() error { return ErrExists }

// harmless names the settings of a stream that operators may change: none of
// them touches what the log holds or how it is numbered.
var harmless = []string{"description", "placement", "compression", "metadata", "max_consumers", "consumer_limits", "republish"}

// drift reports the first setting in which have differs from want to the log's
// harm.
func drift(have, want jetstream.StreamConfig) error {
	if mutant.On(mutant.DriftIgnored) {
		return nil
	}
	if have.Replicas > want.Replicas {
		have.Replicas = want.Replicas // kept on more servers than promised
	}
	field, h, w, err := difference(have, want, harmless)
	if err != nil || field == "" {
		return err
	}
	return &DriftError{Stream: want.Name, Field: field, Have: h, Want: w}
}

// difference compares two values by their JSON forms, so that no field is
// forgotten, and returns the first that differs.
func difference[T any](have, want T, ignore []string) (field, h, w string, err error) {
	a, err := fields(have)
	if err != nil {
		return "", "", "", err
	}
	b, err := fields(want)
	if err != nil {
		return "", "", "", err
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(ignore, name) || reflect.DeepEqual(a[name], b[name]) {
			continue
		}
		return name, text(a[name]), text(b[name]), nil
	}
	return "", "", "", nil
}

func fields[T any](v T) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("compare %T: %w", v, err)
	}
	return m, nil
}

func text(b json.RawMessage) string {
	if b == nil {
		return "absent"
	}
	return string(b)
}
