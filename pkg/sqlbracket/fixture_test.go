package sqlbracket_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
	"github.com/raptorflow/tercet/test/process"
)

// database is a real one, and how to reach it from another process too.
type database struct {
	Driver, DSN string
}

func (d database) dialect() sqlbracket.Dialect {
	if d.Driver == "pgx" {
		return sqlbracket.PostgreSQL()
	}
	return sqlbracket.SQLite()
}

func (d database) open() (*sql.DB, error) { return sql.Open(d.Driver, d.DSN) }

// onEach runs test on each database.
func onEach(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Parallel() // most of the time is leases that pass
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "truth.db")
		dsn := "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(300)&_pragma=synchronous(NORMAL)"
		test(t, newFixture(t, database{Driver: "sqlite", DSN: dsn}))
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, database{Driver: "pgx", DSN: process.Postgres(t).URL()}))
	})
}

// fixture is a domain with a node, a database with one row, and its markers.
type fixture struct {
	t       *testing.T
	nats    *process.NATSServer
	base    database
	db      *sql.DB
	cache   *client.Client
	markers *sqlbracket.Markers
}

var options = sqlbracket.Options{Timeout: 100 * time.Millisecond, Wait: 300 * time.Millisecond}

func newFixture(t *testing.T, base database) *fixture {
	f := &fixture{t: t, nats: process.NATS(t), base: base}
	f.db = f.must(base.open())
	t.Cleanup(func() { f.db.Close() })
	f.exec(base.dialect().Schema())
	f.exec(`CREATE TABLE stock (id TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
	f.exec(`INSERT INTO stock (id, n) VALUES ('boots', 1)`)
	f.markers = f.opened(f.db, options)
	f.cache = f.node("here")
	return f
}

func (f *fixture) must(db *sql.DB, err error) *sql.DB {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	return db
}

func (f *fixture) opened(db *sql.DB, o sqlbracket.Options) *sqlbracket.Markers {
	f.t.Helper()
	m, err := sqlbracket.Open(f.t.Context(), db, f.base.dialect(), o)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) exec(statement string) {
	f.t.Helper()
	if _, err := f.db.ExecContext(f.t.Context(), statement); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

// node opens a node of the domain.
func (f *fixture) node(name string) *client.Client {
	f.t.Helper()
	c, err := openNode(f.t.Context(), f.nats.URL(), name, f.t.TempDir())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			f.t.Error(err)
		}
	})
	return c
}

func openNode(ctx context.Context, url, name, dir string) (*client.Client, error) {
	s := client.DefaultSettings()
	s.Lease = time.Second
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return client.Open(ctx, client.Config{
		Domain: "shop", NATSURL: url, NodeID: name, DataDir: dir, L1Size: 8 << 20, Create: true, Settings: &s,
		Logger: slog.New(slog.DiscardHandler),
	})
}

var boots = client.Invalidation{Keys: []string{"stock:boots"}}

// update is a write within a transaction.
func update(n int64) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`UPDATE stock SET n = %d WHERE id = 'boots'`, n))
		return err
	}
}

// truth is what the database says.
func (f *fixture) truth() int64 {
	f.t.Helper()
	n, err := load(context.Background(), f.db)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func load(ctx context.Context, db *sql.DB) (n int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT n FROM stock WHERE id = 'boots'`).Scan(&n)
	return n, err
}

// read is what a reader of the cache is told.
func read(ctx context.Context, c *client.Client, db *sql.DB) (n int64, source string, err error) {
	v, err := c.GetOrLoad(ctx, "stock:boots", func(ctx context.Context, _ string) (client.Loaded, error) {
		n, err := load(ctx, db)
		return client.Loaded{Value: strconv.AppendInt(nil, n, 10)}, err
	})
	if err != nil {
		return 0, "", err
	}
	n, err = strconv.ParseInt(string(v.Bytes), 10, 64)
	return n, v.Source, err
}

// wants fails the test unless database and cache both say n.
func (f *fixture) wants(n int64) {
	f.t.Helper()
	got, _, err := read(f.t.Context(), f.cache, f.db)
	if truth := f.truth(); err != nil || got != n || truth != n {
		f.t.Fatalf("the cache says %d, %v, the database %d; want %d", got, err, truth, n)
	}
}

// wantsKept fails the test unless reads are answered from the cache again.
func (f *fixture) wantsKept() {
	f.t.Helper()
	if open := f.cache.Brackets(); len(open) != 0 {
		f.t.Fatalf("brackets are open: %+v", open)
	}
	read(f.t.Context(), f.cache, f.db)
	if _, source, err := read(f.t.Context(), f.cache, f.db); err != nil || source == "origin" {
		f.t.Fatalf("answered from %s, %v; want a copy", source, err)
	}
}

// open returns the one bracket that is open, once this node knows of it.
func (f *fixture) open() client.OpenBracket {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if open := f.cache.Brackets(); len(open) == 1 && open[0].Overdue {
			return open[0]
		}
		f.cache.GetOrLoad(f.t.Context(), "tick", func(context.Context, string) (client.Loaded, error) { return client.Loaded{NoStore: true}, nil }, client.At(client.Strong()))
	}
	f.t.Fatalf("no bracket is open and overdue: %+v", f.cache.Brackets())
	return client.OpenBracket{}
}
