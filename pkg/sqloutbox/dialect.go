package sqloutbox

import (
	"database/sql"
	"fmt"
	"strings"
)

// Dialect is what two databases say differently. Build one with [SQLite] or
// [PostgreSQL].
type Dialect struct {
	name       string
	id, blob   string // the types of columns
	param      func(n int) string
	claim      string // behind a SELECT of rows that nobody else shall have
	locks      bool   // whether rows are claimed by a transaction
	visibility sql.IsolationLevel
}

// SQLite returns the dialect of SQLite 3.35 and later. Its relay holds no
// transaction while it delivers, for that would lock all writers out.
func SQLite() Dialect {
	return Dialect{
		name: "sqlite", id: "INTEGER PRIMARY KEY AUTOINCREMENT", blob: "BLOB",
		param: func(n int) string { return fmt.Sprintf("?%d", n) },
	}
}

// PostgreSQL returns the dialect of PostgreSQL 10 and later.
func PostgreSQL() Dialect {
	return Dialect{
		name: "postgresql", id: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", blob: "BYTEA",
		param: func(n int) string { return fmt.Sprintf("$%d", n) },
		claim: " FOR UPDATE SKIP LOCKED", locks: true,
		// A stricter level would fail where another relay was quicker.
		visibility: sql.LevelReadCommitted,
	}
}

// table is the outbox's name.
const table = "tercet_outbox"

// Schema returns the statement that makes the table, for migrations. It does
// nothing where the table is.
func (d Dialect) Schema() string {
	return `CREATE TABLE IF NOT EXISTS ` + table + ` (
	id ` + d.id + `,
	kind TEXT NOT NULL,
	body ` + d.blob + ` NOT NULL,
	at BIGINT NOT NULL,
	refused TEXT
)`
}

// String returns the dialect's name.
func (d Dialect) String() string { return d.name }

// sql writes a statement: {1} is a parameter.
func (d Dialect) sql(text string) string {
	for n := 1; n <= 3; n++ {
		text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", n), d.param(n))
	}
	return text
}
