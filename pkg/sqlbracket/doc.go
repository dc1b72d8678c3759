// Package sqlbracket makes bracketed writes of database/sql transactions, and
// resolves those whose writer has died.
//
// A bracket (client.Bracketed) makes readers and the database agree at every
// instant, as long as it does not end while its writer can still commit. Who
// ends one in a writer's stead therefore has to know that the commit is
// impossible; that the writer seems dead is not enough, for it may be a process
// that was stopped, or a COMMIT that is still on its way. Here the database
// decides: a table of markers, one row for each bracket, under its id.
//
//   - The writer's transaction inserts the marker "committed" with its changes.
//   - Who resolves the bracket inserts the marker "aborted".
//
// The primary key lets one of them through. If the writer's stands, it has
// committed; if the other, it never will. Either way the bracket may end.
//
//	markers, err := sqlbracket.Open(ctx, db, sqlbracket.PostgreSQL(), sqlbracket.Options{})
//	...
//	_, err = markers.Tx(ctx, cache, client.Invalidation{Keys: []string{"stock:17"}},
//		func(ctx context.Context, tx *sql.Tx) error {
//			_, err := tx.ExecContext(ctx, "UPDATE stock SET n = n - 1 WHERE id = 17")
//			return err
//		})
//
// What it promises, with loaders that read what is committed in the same
// database: reads of covered keys and the database agree at every instant
// (guarantee G4b), whichever process dies when.
//
// What it does not: that a marker outlives what the database itself loses. A
// database that forgets committed transactions (an asynchronous replica that
// was promoted, a backup that was restored) forgets markers as well, and a
// writer that was stopped before its transaction began may then go through. Nor
// is G4b promised for a bracket that was open while the cache's log lost
// records; see docs/GUARANTEES.md, G8.
//
// It imports no driver, and works with any that database/sql takes for the two
// dialects.
package sqlbracket
