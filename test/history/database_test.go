package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
	"github.com/raptorflow/tercet/test/process"
)

// database is how any process of a run reaches the origin; without a driver,
// there is none.
type database struct{ Driver, DSN string }

func sqlite(t *testing.T) database {
	file := filepath.Join(t.TempDir(), "truth.db")
	return database{"sqlite", "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=synchronous(NORMAL)"}
}

func postgresql(t *testing.T) database {
	return database{"pgx", process.Postgres(t).URL()}
}

func (d database) dialect() sqlbracket.Dialect {
	if d.Driver == "pgx" {
		return sqlbracket.PostgreSQL()
	}
	return sqlbracket.SQLite()
}

// bracketOptions let a dead writer's bracket be overdue a few times in a run.
var bracketOptions = sqlbracket.Options{Timeout: time.Second, Wait: 200 * time.Millisecond}

// origin is a database that is open: a register for each key, and beside them
// the markers that decide brackets.
type origin struct {
	*sql.DB
	markers *sqlbracket.Markers
}

// create makes the tables.
func (d database) create(ctx context.Context) error {
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range []string{d.dialect().Schema(), `CREATE TABLE truth (name TEXT PRIMARY KEY, value BIGINT NOT NULL)`} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (d database) open(ctx context.Context) (*origin, error) {
	if d.Driver == "" {
		return nil, nil
	}
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		return nil, err
	}
	m, err := sqlbracket.Open(ctx, db, d.dialect(), bracketOptions)
	return &origin{db, m}, err
}

// query reads the register, which holds 0 before its first write. Names are the
// tests' own and need no quoting.
func (o *origin) query(ctx context.Context, name string) (n int64, err error) {
	err = o.QueryRowContext(ctx, fmt.Sprintf(`SELECT value FROM truth WHERE name = '%s'`, name)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

// load is query as a loader.
func (o *origin) load(ctx context.Context, key string) (client.Loaded, error) {
	n, err := o.query(ctx, key)
	return client.Loaded{Value: strconv.AppendInt(nil, n, 10)}, err
}

// The steps at which a writer may be told to die, by kill -9.
const (
	dieBeforeTransaction = "between the intent and the transaction"
	dieBeforeCommit      = "before the commit"
	dieAfterCommit       = "between the commit and the end"
)

// write sets the register in a bracketed transaction, and dies at a step.
func (o *origin) write(ctx context.Context, c *client.Client, name string, value int64, die string) (client.Token, error) {
	return o.markers.Tx(ctx, mortal{c, die}, client.Invalidation{Keys: []string{name}}, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO truth (name, value) VALUES ('%s', %d)
			ON CONFLICT (name) DO UPDATE SET value = %[2]d`, name, value))
		if err == nil && die == dieBeforeCommit {
			killOneself()
		}
		return err
	})
}

// mortal dies around what runs in its brackets.
type mortal struct {
	sqlbracket.Cache
	at string
}

func (m mortal) BracketedBy(ctx context.Context, covers client.Invalidation, o client.BracketOptions, fn func(context.Context, client.BracketID) error) (client.Token, error) {
	return m.Cache.BracketedBy(ctx, covers, o, func(ctx context.Context, id client.BracketID) error {
		if m.at == dieBeforeTransaction {
			killOneself()
		}
		err := fn(ctx, id)
		if err == nil && m.at == dieAfterCommit {
			killOneself()
		}
		return err
	})
}

func killOneself() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// resolving ends what dead writers have left open, by what the database says,
// until ctx is done and nothing is open any more. It returns how often each
// outcome was found.
func (f *fleet) resolving(ctx context.Context) map[sqlbracket.Outcome]int {
	found := map[sqlbracket.Outcome]int{}
	for by := time.Now().Add(3 * length); ; {
		for _, r := range f.db.markers.ResolveOverdue(context.WithoutCancel(ctx), f.observer) {
			if r.Err == nil {
				found[r.Outcome]++
			}
		}
		if ctx.Err() != nil && len(f.observer.Brackets()) == 0 {
			return found
		}
		if time.Now().After(by) {
			f.t.Errorf("brackets stay open: %+v", f.observer.Brackets())
			return found
		}
		<-time.After(20 * time.Millisecond)
	}
}

// writerDies lets the third member begin a write and be killed in it, and
// starts it again. Without a step it is killed at no moment in particular.
func writerDies(at time.Duration, step string) fault {
	what := "c is killed while it writes"
	if step != "" {
		what = "c dies " + step
	}
	return fault{at, what, func(f *fleet) {
		c := f.caller(90 + int(at/time.Millisecond))
		write := func() {
			c.did(f.members[2], Op{Kind: Write, Value: f.value.Add(1)}, request{Op: "bracket", Key: keys[0], Die: step})
		}
		if step != "" {
			// On a busy machine a write may end before the step at which it is to die.
			for by := time.Now().Add(length); f.members[2].lives() && time.Now().Before(by); {
				write()
			}
		} else {
			go write()
			f.members[2].awaitPending(1)
			<-time.After(time.Duration(c.dice.IntN(10)) * time.Millisecond)
		}
		f.members[2].kill()
		f.members[2].start()
	}}
}

// G4b: reads through any member's cache and reads of the database are one
// register, while brackets open and close, writers are killed at each step of
// theirs, and a resolver ends what they leave open.
func TestReadsUnderBrackets(t *testing.T) {
	for _, run := range []struct {
		partitions int
		of         func(*testing.T) database
	}{{1, sqlite}, {3, postgresql}, {8, sqlite}} {
		base := run.of(t)
		t.Run(fmt.Sprintf("%s, %d partitions", strings.Replace(base.Driver, "pgx", "postgresql", 1), run.partitions), func(t *testing.T) {
			readsUnderBrackets(newFleet(t, run.partitions, base))
		})
	}
}

func readsUnderBrackets(f *fleet) {
	f.levels = []string{"eventual", "bounded"}
	ctx, done := context.WithCancel(f.t.Context())
	defer done()
	resolved := make(chan map[sqlbracket.Outcome]int, 1)
	go func() { resolved <- f.resolving(ctx) }()
	f.run(6, 4*time.Millisecond, func(c *caller) {
		key := c.key(keys[:2])
		switch x := c.dice.IntN(40); {
		case x < 4 && c.id%3 == 2: // those who have nothing to do with b
			c.did(c.member(), Op{Kind: Write, Value: f.value.Add(1)}, request{Op: "bracket", Key: key})
		case x < 30:
			level := []string{"eventual", "bounded", "strong"}[c.dice.IntN(3)]
			c.did(c.member(), Op{Kind: Read, Level: level}, request{Op: "load", Key: key})
		default:
			o := Op{Client: c.id, Kind: Query, Key: key, Call: f.Now()}
			if v, err := f.db.query(ctx, key); err == nil {
				o.Value, o.Outcome = v, Done
			}
			o.Return = f.Now()
			f.Add(o)
		}
	},
		fault{1 * time.Second, "b is stopped", func(f *fleet) { f.members[1].pause() }},
		fault{2 * time.Second, "b wakes", wakeReading},
		writerDies(2500*time.Millisecond, dieBeforeCommit),
		writerDies(4*time.Second, dieAfterCommit),
		writerDies(5*time.Second, dieBeforeTransaction),
		fault{6 * time.Second, "redis is killed", func(f *fleet) { f.redis.Kill() }},
		fault{6500 * time.Millisecond, "redis starts again, empty", func(f *fleet) { f.redis.Restart() }},
		writerDies(7*time.Second, ""),
	)
	done()
	found := <-resolved
	f.t.Logf("resolved %v", found)
	if found[sqlbracket.Committed] == 0 || found[sqlbracket.Aborted] < 2 {
		f.t.Errorf("resolved %v; want a commit at least, and two that were aborted", found)
	}
	ops := f.Ops()
	n := f.tally(ops)
	f.demand(n, 4, "write done") // each waits for members, one of which is stopped for a while
	f.demand(n, 10, "eventual read done", "bounded read done", "strong read done", "query done")
	if err := Bracketed(ops); err != nil {
		f.t.Error(err)
	}
}
