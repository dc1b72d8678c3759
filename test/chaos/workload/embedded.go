package workload

import (
	"context"
	"errors"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
	"github.com/raptorflow/tercet/test/history"
)

// embedded is a member of the domain in this process. Unlike other surfaces it
// is shared by all clients.
type embedded struct {
	name   string
	client *client.Client
	origin *origin
}

var (
	_ surface   = (*embedded)(nil)
	_ publisher = (*embedded)(nil)
)

func (e *embedded) member() string { return e.name }
func (e *embedded) via() string    { return "embedded" }
func (e *embedded) close()         {} // it outlives who uses it

func level(r read) client.Level {
	switch r.level {
	case "strong":
		return client.Strong()
	case "bounded":
		return client.Bounded(r.bound)
	case "session":
		if t, err := client.ParseToken(r.token); err == nil {
			return client.Session(t)
		}
	}
	return client.Eventual()
}

func (e *embedded) token() string { return e.client.Token().String() }

func clientTrouble(err error) string {
	switch {
	case errors.Is(err, client.ErrNotServing), errors.Is(err, client.ErrNotLanded):
		return "refused"
	case errors.Is(err, client.ErrIndeterminate):
		return "indeterminate"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}

func (e *embedded) told(key string, v client.Value, err error) answer {
	switch {
	case errors.Is(err, client.ErrNotFound):
		return answer{outcome: history.Miss, token: e.token()}
	case err != nil:
		return answer{trouble: clientTrouble(err)}
	case v.Stale:
		return answer{trouble: "stale"}
	}
	a := found(key, v.Bytes)
	a.token = e.token()
	return a
}

func (e *embedded) get(ctx context.Context, key string, r read) answer {
	v, err := e.client.Get(ctx, key, client.At(level(r)))
	return e.told(key, v, err)
}

// load is get that asks the origin for what is not there.
func (e *embedded) load(ctx context.Context, key string, r read, l client.Loader) answer {
	v, err := e.client.GetOrLoad(ctx, key, l, client.At(level(r)))
	return e.told(key, v, err)
}

func (e *embedded) getMany(ctx context.Context, keys []string, r read) []answer {
	got, err := e.client.GetMany(ctx, keys, client.At(level(r)))
	return e.toldMany(keys, got, err)
}

func (e *embedded) loadMany(ctx context.Context, keys []string, r read, l client.BatchLoader) []answer {
	got, err := e.client.GetOrLoadMany(ctx, keys, l, client.At(level(r)))
	return e.toldMany(keys, got, err)
}

func (e *embedded) toldMany(keys []string, got map[string]client.Value, err error) []answer {
	out := make([]answer, len(keys))
	var batch *client.BatchError
	errors.As(err, &batch)
	for i, key := range keys {
		v, ok := got[key]
		switch {
		case ok:
			out[i] = e.told(key, v, nil)
		case err != nil && batch == nil:
			out[i] = answer{trouble: clientTrouble(err)}
		case batch != nil && batch.Errors[key] != nil:
			out[i] = e.told(key, v, batch.Errors[key])
		default:
			out[i] = answer{outcome: history.Miss, token: e.token()}
		}
	}
	return out
}

func (e *embedded) wrote(t client.Token, err error) answer {
	switch {
	case err == nil:
		return answer{outcome: history.Done, token: t.String()}
	case errors.Is(err, client.ErrNotLanded):
		return answer{outcome: history.Nothing, trouble: "refused"}
	}
	return answer{trouble: clientTrouble(err)}
}

func concern(everywhere bool) []client.WriteOption {
	if everywhere {
		return []client.WriteOption{client.Everywhere()}
	}
	return nil
}

func (e *embedded) set(ctx context.Context, key string, value int64, _ string, everywhere bool) answer {
	return e.wrote(e.client.Set(ctx, key, encode(key, value), append(concern(everywhere), client.Tags(tagOf(key)))...))
}

func (e *embedded) invalidate(ctx context.Context, s events.Scope, _ string, everywhere bool) answer {
	return e.wrote(e.client.Invalidate(ctx, client.Invalidation{Keys: s.Keys, Tags: s.Tags, Prefixes: s.Prefixes, All: s.All}, concern(everywhere)...))
}

// bracket writes a row inside a bracket. What did not land may be the bracket's
// end, so that only a resolver's word says that nothing was committed.
func (e *embedded) bracket(ctx context.Context, key string, value int64) answer {
	t, err := e.origin.bracket(ctx, e.client, key, value)
	switch {
	case err == nil:
		return answer{outcome: history.Done, token: t.String()}
	case errors.Is(err, sqlbracket.ErrAborted):
		return answer{outcome: history.Nothing, trouble: "aborted"}
	}
	return answer{trouble: clientTrouble(err)}
}

func (e *embedded) publish(ctx context.Context, id, kind string, data map[string]string) answer {
	err := e.client.Publish(ctx, client.DomainEvent{Type: kind, Source: eventSource, ID: id, Data: data})
	if err != nil {
		return answer{trouble: clientTrouble(err)}
	}
	return answer{outcome: history.Done}
}
