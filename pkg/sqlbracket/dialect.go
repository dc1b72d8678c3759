package sqlbracket

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Dialect is what two databases say differently. Build one with [SQLite] or
// [PostgreSQL].
type Dialect struct {
	name string
	// now is the database's clock in Unix milliseconds; one clock for writers
	// and resolvers on any machine.
	now string
	// param returns the n-th parameter, counted from 1.
	param func(n int) string
	// resolving are statements at the beginning of a resolver's transaction.
	resolving func(wait time.Duration) []string
	isolation sql.IsolationLevel
	// busy reports whether an error says that another transaction holds what
	// this one waited for.
	busy func(error) bool
}

// SQLite returns the dialect of SQLite 3.35 and later. While a writer's
// transaction runs it holds the database, and a resolver waits as long as the
// connection's busy_timeout says.
func SQLite() Dialect {
	return Dialect{
		name:      "sqlite",
		now:       "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
		param:     func(n int) string { return fmt.Sprintf("?%d", n) },
		resolving: func(time.Duration) []string { return nil },
		isolation: sql.LevelDefault,
		busy: func(err error) bool {
			// SQLITE_BUSY and SQLITE_LOCKED, with whatever detail above them.
			var coded interface{ Code() int }
			return errors.As(err, &coded) && (coded.Code()&0xff == 5 || coded.Code()&0xff == 6)
		},
	}
}

// PostgreSQL returns the dialect of PostgreSQL 9.5 and later.
func PostgreSQL() Dialect {
	return Dialect{
		name: "postgresql",
		// now() would be when the transaction began.
		now:   "(extract(epoch from clock_timestamp()) * 1000)::bigint",
		param: func(n int) string { return fmt.Sprintf("$%d", n) },
		resolving: func(wait time.Duration) []string {
			return []string{
				// A writer that has inserted its marker and not ended yet holds
				// the row's place.
				fmt.Sprintf("SET LOCAL lock_timeout = %d", max(wait.Milliseconds(), 1)),
				// The bracket ends because of the marker: a crash of the
				// database must not take it back.
				"SET LOCAL synchronous_commit = on",
			}
		},
		// In a stricter level the marker of a concurrent writer is an error
		// rather than a row.
		isolation: sql.LevelReadCommitted,
		busy: func(err error) bool {
			var coded interface{ SQLState() string }
			return errors.As(err, &coded) && coded.SQLState() == "55P03" // lock_not_available
		},
	}
}

// table is the name of the markers' table.
const table = "tercet_brackets"

// nameRow is the id of the row that names the table itself; no bracket's id
// looks like it.
const nameRow = "name"

// Schema returns the statement that makes the markers' table, for migrations.
// It does nothing where the table is.
func (d Dialect) Schema() string {
	return `CREATE TABLE IF NOT EXISTS ` + table + ` (
	id TEXT PRIMARY KEY,
	outcome TEXT NOT NULL,
	at BIGINT NOT NULL
)`
}

// String returns the dialect's name.
func (d Dialect) String() string { return d.name }

// sql writes a statement: {now} is the database's clock, {1} a parameter.
func (d Dialect) sql(text string) string {
	text = strings.ReplaceAll(text, "{now}", d.now)
	for n := 1; n <= 3; n++ {
		text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", n), d.param(n))
	}
	return text
}
