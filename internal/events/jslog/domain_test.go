package jslog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
	"github.com/raptorflow/tercet/test/process"
)

func TestCreateOpenDelete(t *testing.T) {
	nc := dial(t, process.NATS(t).URL())
	ctx := t.Context()
	if _, err := jslog.Open(ctx, nc, domain); !errors.Is(err, events.ErrNoDomain) {
		t.Fatalf("open before create: %v", err)
	}
	s := events.DefaultSettings()
	s.Partitions = 3
	s.Lease = 5 * time.Second
	for range 2 { // the second time it does nothing
		if err := jslog.Create(ctx, nc, domain, s); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, nc)
	if d.Settings() != s || d.Name() != domain {
		t.Fatalf("opened %q with %+v, created %+v", d.Name(), d.Settings(), s)
	}
	epochs := map[events.Epoch]bool{}
	for p := range s.Partitions {
		var all []events.Delivery
		enough := errors.New("enough")
		err := d.Log(p).Follow(ctx, events.Mark{}, func(b []events.Delivery) error { all = append(all, b...); return enough })
		if err != enough || len(all) != 1 {
			t.Fatalf("partition %d holds %d records: %v", p, len(all), err)
		}
		r, err := events.DecodeRecord(all[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		epochs[r.Changes[0].(*events.EpochChange).Epoch] = true
	}
	if len(epochs) != s.Partitions {
		t.Errorf("%d epochs for %d partitions", len(epochs), s.Partitions)
	}
	if err := jslog.Delete(ctx, nc, domain); err != nil {
		t.Fatal(err)
	}
	if err := jslog.Delete(ctx, nc, domain); !errors.Is(err, events.ErrNoDomain) {
		t.Fatalf("delete again: %v", err)
	}
	if names := streamNames(t, nc); len(names) != 0 {
		t.Fatalf("left behind: %v", names)
	}
}

func streamNames(t *testing.T, nc *nats.Conn) (names []string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	list := js.StreamNames(t.Context())
	for n := range list.Name() {
		names = append(names, n)
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	return names
}

func TestCreateRefusesOtherSettings(t *testing.T) {
	f := newFixture(t)
	before := streamNames(t, f.nc)
	for field, change := range map[string]func(*events.Settings){
		"lease":      func(s *events.Settings) { s.Lease *= 2 },
		"partitions": func(s *events.Settings) { s.Partitions = 2 },
		"max_ttl":    func(s *events.Settings) { s.MaxTTL /= 2 },
	} {
		s := events.DefaultSettings()
		change(&s)
		err := jslog.Create(t.Context(), f.nc, domain, s)
		var exists *jslog.ExistsError
		if !errors.As(err, &exists) || !errors.Is(err, jslog.ErrExists) || exists.Field != field {
			t.Errorf("other %s: %v", field, err)
		}
	}
	if after := streamNames(t, f.nc); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("refused creations left streams: %v, were %v", after, before)
	}
}

func TestCreateRefusesBadNamesAndSettings(t *testing.T) {
	nc := dial(t, process.NATS(t).URL())
	for _, name := range []string{"", "a.b", "a b", "A", "x>", strings.Repeat("x", 64)} {
		if err := jslog.Create(t.Context(), nc, name, events.DefaultSettings()); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
		if _, err := jslog.Open(t.Context(), nc, name); !errors.Is(err, events.ErrInvalid) {
			t.Errorf("open %q: %v", name, err)
		}
	}
	if err := jslog.Create(t.Context(), nc, domain, events.Settings{}); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("zero settings: %v", err)
	}
}

// Whoever creates a domain at the same time as others opens no second epoch.
func TestConcurrentCreatorsOpenOneEpoch(t *testing.T) {
	s := process.NATS(t)
	var all sync.WaitGroup
	for range 8 {
		nc := dial(t, s.URL())
		all.Go(func() {
			if err := jslog.Create(t.Context(), nc, domain, events.DefaultSettings()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	js, err := jetstream.New(dial(t, s.URL()))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), jslog.LogStream(domain, 0))
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.LastSeq; n != 1 {
		t.Fatalf("%d records, want the epoch alone", n)
	}
}

func TestInterruptedCreateIsCompleted(t *testing.T) {
	f := newFixture(t)
	for _, missing := range []string{jslog.WorkStream(domain), jslog.CopyStream(domain)} {
		if err := f.js(t).DeleteStream(t.Context(), missing); err != nil {
			t.Fatal(err)
		}
		if _, err := jslog.Open(t.Context(), f.nc, domain); !errors.Is(err, events.ErrNoDomain) || !strings.Contains(err.Error(), missing) {
			t.Fatalf("without %s: %v", missing, err)
		}
		if err := jslog.Create(t.Context(), f.nc, domain, events.DefaultSettings()); err != nil {
			t.Fatal(err)
		}
		open(t, f.nc)
	}
}

// P17: a log whose stream was edited is refused by Open, and ends those who
// follow it.
func TestDriftIsRefused(t *testing.T) {
	log := jslog.LogStream(domain, 0)
	for field, change := range map[string]func(*jetstream.StreamConfig){
		"max_msgs":             func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 },
		"max_bytes":            func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"max_age":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		"allow_direct":         func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"allow_msg_ttl":        func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"subjects":             func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "else") },
		"metadata tercet.settings": func(c *jetstream.StreamConfig) {
			c.Metadata = map[string]string{"tercet.settings": strings.Replace(c.Metadata["tercet.settings"], `"drift_ppm":10000`, `"drift_ppm":1`, 1)}
		},
	} {
		t.Run(field, func(t *testing.T) {
			f := newFixture(t)
			c := f.config(t, log)
			change(&c)
			if _, err := f.js(t).UpdateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			check := func(what string, err error) {
				t.Helper()
				var drift *jslog.DriftError
				if !errors.As(err, &drift) || !errors.Is(err, events.ErrDrift) || drift.Stream != log || drift.Field != field {
					t.Errorf("%s: %v, want drift of %s", what, err, field)
				}
			}
			if !strings.HasPrefix(field, "metadata") { // other settings are settings, too
				_, err := jslog.Open(t.Context(), f.nc, domain)
				check("open", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			check("follow", f.domain.Log(0).Follow(ctx, events.Mark{}, func([]events.Delivery) error { return nil }))
		})
	}
}

func TestHarmlessChangesAreNoDrift(t *testing.T) {
	f := newFixture(t)
	c := f.config(t, jslog.LogStream(domain, 0))
	c.Description = "the shop's log"
	c.Compression = jetstream.S2Compression
	if _, err := f.js(t).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	open(t, f.nc)
}
