package sqloutbox_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqloutbox"
	"github.com/raptorflow/tercet/test/process"
)

// serviceEnv makes the test binary a service that writes rows and what they
// mean, until it is killed.
const serviceEnv = "SQLOUTBOX_SERVICE_OF_A_TEST"

func TestMain(m *testing.M) {
	if text := os.Getenv(serviceEnv); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// database is a real one, and how to reach it from another process too.
type database struct{ Driver, DSN string }

func (d database) dialect() sqloutbox.Dialect {
	if d.Driver == "pgx" {
		return sqloutbox.PostgreSQL()
	}
	return sqloutbox.SQLite()
}

type service struct {
	Database database
	Round    int
}

// serve commits one row after the other, each with its invalidation and event,
// and rolls back every fourth.
func serve(text string) error {
	var s service
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	db, err := sql.Open(s.Database.Driver, s.Database.DSN)
	if err != nil {
		return err
	}
	ctx, box := context.Background(), sqloutbox.New(db, s.Database.dialect(), sqloutbox.Options{})
	for n := 0; ; n++ {
		id := fmt.Sprintf("%d-%d", s.Round, n)
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO truth (id) VALUES ('%s')`, id)); err != nil {
			return err
		}
		if err := box.Invalidate(ctx, tx, client.Invalidation{Keys: []string{"k:" + id}}, client.Invalidation{Tags: []string{"\xff" + id}}); err != nil {
			return err
		}
		if err := box.Enqueue(ctx, tx, client.DomainEvent{Type: "row.changed", ID: id, Data: map[string]string{"id": id}}); err != nil {
			return err
		}
		if n%4 == 3 {
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, id)
	}
}

func onEach(t *testing.T, test func(t *testing.T, base database, db *sql.DB)) {
	for name, make := range map[string]func() database{
		"sqlite": func() database {
			file := filepath.Join(t.TempDir(), "truth.db")
			return database{"sqlite", "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"}
		},
		"postgresql": func() database { return database{"pgx", process.Postgres(t).URL()} },
	} {
		t.Run(name, func(t *testing.T) {
			base := make()
			db, err := sql.Open(base.Driver, base.DSN)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			for _, s := range []string{base.dialect().Schema(), base.dialect().Schema(), `CREATE TABLE truth (id TEXT PRIMARY KEY)`} {
				if _, err := db.ExecContext(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			test(t, base, db)
		})
	}
}

// cache is a Cache that remembers, and fails on demand.
type cache struct {
	mu     sync.Mutex
	events map[string]int
	keys   map[string]int
	tags   map[string]int
	fail   func(call int) error
	calls  int
	own    bool
}

func newCache() *cache {
	return &cache{events: map[string]int{}, keys: map[string]int{}, tags: map[string]int{}}
}

func (c *cache) trouble() error {
	c.calls++
	if c.fail != nil {
		return c.fail(c.calls)
	}
	return nil
}

func (c *cache) Publish(_ context.Context, e client.DomainEvent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.trouble(); err != nil {
		return err
	}
	data, err := json.Marshal(e.Data)
	if want := fmt.Sprintf(`{"id":"%s"}`, e.ID); err != nil || string(data) != want || e.Time.IsZero() {
		return fmt.Errorf("data %s of %+v, want %s", data, e, want)
	}
	c.events[e.ID]++
	return nil
}

func (c *cache) InvalidateMany(_ context.Context, all []client.Invalidation, _ ...client.WriteOption) (client.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.trouble(); err != nil {
		return client.Token{}, err
	}
	for _, i := range all {
		for _, k := range i.Keys {
			c.keys[k]++
		}
		for _, tag := range i.Tags {
			c.tags[tag]++
		}
	}
	return client.Token{}, nil
}

func (c *cache) OutboxStats() (client.OutboxStats, bool) { return client.OutboxStats{}, c.own }

func quiet() sqloutbox.Options {
	return sqloutbox.Options{Every: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

// relay runs a relay and returns what ends it.
func relay(t *testing.T, x *sqloutbox.Outbox, c sqloutbox.Cache) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Relay(ctx, c) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
}

func awaitEmpty(t *testing.T, x *sqloutbox.Outbox) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) { // looks at an awaited condition
		s, err := x.Stats(t.Context())
		if err == nil && s.Waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v", s, err)
		}
	}
}

// Services are killed at random instants while relays come and go. What the
// database holds was told, and nothing else.
func TestServiceIsKilledBetweenCommitAndDelivery(t *testing.T) {
	onEach(t, func(t *testing.T, base database, db *sql.DB) {
		c := newCache()
		c.fail = func(call int) error {
			if call%7 == 0 {
				return errors.New("no leader")
			}
			return nil
		}
		x := sqloutbox.New(db, base.dialect(), quiet())
		for round := range 4 {
			text, err := json.Marshal(service{base, round})
			if err != nil {
				t.Fatal(err)
			}
			s := exec.CommandContext(t.Context(), os.Args[0])
			s.Env = append(os.Environ(), serviceEnv+"="+string(text))
			s.Stderr = os.Stderr
			out, err := s.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			stop := relay(t, x, c)
			lines, left := bufio.NewScanner(out), 30+rand.IntN(60)
			for lines.Scan() {
				if left--; left == 0 {
					_ = s.Process.Kill()
				}
				if left == 15 {
					stop() // what is committed from here on is not delivered yet
				}
			}
			_ = s.Wait() // killed
			stop()
		}
		defer relay(t, x, c)()
		defer relay(t, sqloutbox.New(db, base.dialect(), quiet()), c)()
		awaitEmpty(t, x)
		rows, err := db.QueryContext(t.Context(), `SELECT id FROM truth`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		truth := map[string]bool{}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			truth[id] = true
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for id := range truth {
			if c.events[id] == 0 || c.keys["k:"+id] == 0 || c.tags["\xff"+id] == 0 {
				t.Errorf("%s was committed and not told", id)
			}
		}
		if len(truth) < 50 || len(c.events) != len(truth) || len(c.keys) != len(truth) {
			t.Errorf("%d rows, %d events and %d keys: what was rolled back was told", len(truth), len(c.events), len(c.keys))
		}
	})
}

// Relays share the rows: on PostgreSQL each is delivered once while nothing
// fails.
func TestRelaysShareTheRows(t *testing.T) {
	onEach(t, func(t *testing.T, base database, db *sql.DB) {
		x, c := sqloutbox.New(db, base.dialect(), quiet()), newCache()
		const n = 300
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			id := fmt.Sprint(i)
			if err := x.Enqueue(t.Context(), tx, client.DomainEvent{Type: "row.changed", ID: id, Data: map[string]string{"id": id}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		x.Nudge()
		o := quiet()
		o.Batch = 10
		for range 3 {
			defer relay(t, sqloutbox.New(db, base.dialect(), o), c)()
		}
		awaitEmpty(t, x)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.events) != n || base.Driver == "pgx" && c.calls != n {
			t.Errorf("%d events in %d deliveries, want %d", len(c.events), c.calls, n)
		}
	})
}

func TestRefusedRowStaysAndHoldsUpNothing(t *testing.T) {
	onEach(t, func(t *testing.T, base database, db *sql.DB) {
		x, c := sqloutbox.New(db, base.dialect(), quiet()), newCache()
		if err := x.Enqueue(t.Context(), db, client.DomainEvent{Type: "no type"}); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%v, want ErrInvalid", err)
		}
		if err := x.Invalidate(t.Context(), db, client.Invalidation{}); !errors.Is(err, client.ErrInvalid) {
			t.Errorf("%v, want ErrInvalid", err)
		}
		c.fail = func(call int) error {
			if call == 1 {
				return fmt.Errorf("append: %w", client.ErrRecordTooLarge)
			}
			return nil
		}
		for _, key := range []string{"a", "b"} {
			if err := x.Invalidate(t.Context(), db, client.Invalidation{Keys: []string{key}}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := x.Deliver(t.Context(), c); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		s, err := x.Stats(t.Context())
		if err != nil || s.Waiting != 0 || s.Refused != 1 || !s.Oldest.IsZero() || len(c.keys) != 1 {
			t.Errorf("%+v, %v; delivered %v", s, err, c.keys)
		}
		c.own = true
		if err := x.Relay(t.Context(), c); !errors.Is(err, sqloutbox.ErrClientOutbox) {
			t.Errorf("%v, want ErrClientOutbox", err)
		}
	})
}

// With a real node: the copy dies after the commit, and the event is stored.
func TestRowsReachTheCache(t *testing.T) {
	onEach(t, func(t *testing.T, base database, db *sql.DB) {
		nats := process.NATS(t)
		settings := client.DefaultSettings()
		settings.Lease = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		node, err := client.Open(ctx, client.Config{
			Domain: "shop", NATSURL: nats.URL(), L1Size: 1 << 20, Create: true, Settings: &settings, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer node.Close(context.WithoutCancel(ctx))
		value := "old"
		read := func() string {
			v, err := node.GetOrLoad(ctx, "k", func(context.Context, string) (client.Loaded, error) { return client.Loaded{Value: []byte(value)}, nil })
			if err != nil {
				return err.Error()
			}
			return string(v.Bytes)
		}
		read()
		value = "new"
		if have := read(); have != "old" {
			t.Fatalf("not cached: %s", have)
		}
		x := sqloutbox.New(db, base.dialect(), quiet())
		defer relay(t, x, node)()
		if err := x.Invalidate(ctx, db, client.Invalidation{Keys: []string{"k"}}); err != nil {
			t.Fatal(err)
		}
		x.Nudge()
		awaitEmpty(t, x)
		if have := read(); have != "new" {
			t.Errorf("the row is gone and the copy is not: %s", have)
		}
	})
}
