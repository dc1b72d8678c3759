package workload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
)

// origin is a database of registers, and of the markers that decide brackets.
type origin struct {
	*sql.DB
	markers *sqlbracket.Markers
	now     func() time.Duration

	// commits makes the order of rows' numbers that of their commits.
	commits sync.Mutex

	mu    sync.Mutex
	loads []Load
}

func openOrigin(ctx context.Context, dir string, now func() time.Duration) (*origin, error) {
	file := filepath.Join(dir, "origin.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(2000)&_pragma=synchronous(OFF)")
	if err != nil {
		return nil, err
	}
	for _, s := range []string{sqlbracket.SQLite().Schema(), `CREATE TABLE origin (name TEXT PRIMARY KEY, value BIGINT NOT NULL)`} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("make the origin: %w", err), db.Close())
		}
	}
	m, err := sqlbracket.Open(ctx, db, sqlbracket.SQLite(), sqlbracket.Options{Timeout: 3 * time.Second, Wait: 200 * time.Millisecond})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &origin{DB: db, markers: m, now: now}, nil
}

// query reads a register, which holds 0 before its first write.
func (o *origin) query(ctx context.Context, key string) (n int64, err error) {
	err = o.QueryRowContext(ctx, `SELECT value FROM origin WHERE name = ?`, key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

const upsert = `INSERT INTO origin (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// commit makes a row's next value, which number draws, true. The numbers of a
// row ascend as its commits do.
func (o *origin) commit(ctx context.Context, key string, number func() int64) (int64, error) {
	o.commits.Lock()
	defer o.commits.Unlock()
	n := number()
	_, err := o.ExecContext(ctx, upsert, key, n)
	return n, err
}

// bracket commits a row within a bracket of c.
func (o *origin) bracket(ctx context.Context, c *client.Client, key string, n int64) (client.Token, error) {
	return o.markers.Tx(ctx, c, client.Invalidation{Keys: []string{key}}, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, upsert, key, n)
		return err
	})
}

// loader answers for member: it takes its snapshot at once, and waits for lag
// before it hands it over, as a slow service does. That is when fences overtake
// it.
func (o *origin) loader(member string, lag time.Duration) client.Loader {
	return func(ctx context.Context, key string) (client.Loaded, error) {
		l := Load{Key: key, Member: member, Begun: o.now()}
		n, err := o.query(ctx, key)
		if err != nil {
			return client.Loaded{}, err
		}
		select {
		case <-time.After(lag):
		case <-ctx.Done():
			return client.Loaded{}, ctx.Err()
		}
		l.Value, l.End = n, o.now()
		o.mu.Lock()
		o.loads = append(o.loads, l)
		o.mu.Unlock()
		return client.Loaded{Value: encode(key, n), Tags: []string{tagOf(key)}}, nil
	}
}

// batch is loader for many keys.
func (o *origin) batch(member string, lag time.Duration) client.BatchLoader {
	one := o.loader(member, lag)
	return func(ctx context.Context, keys []string) (map[string]client.Loaded, error) {
		out := make(map[string]client.Loaded, len(keys))
		var mu sync.Mutex
		var all sync.WaitGroup
		var errs []error
		for _, k := range keys {
			all.Go(func() {
				l, err := one(ctx, k)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
					return
				}
				out[k] = l
			})
		}
		all.Wait()
		return out, errors.Join(errs...)
	}
}
