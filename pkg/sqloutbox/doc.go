// Package sqloutbox makes events and invalidations part of a service's own
// database transaction: they are rows of a table, and a relay delivers them
// after the commit. Between commit and delivery a crash loses nothing, and what
// was rolled back is never told.
//
//	box := sqloutbox.New(db, sqloutbox.PostgreSQL(), sqloutbox.Options{})
//	go box.Relay(ctx, cache)
//	...
//	tx, err := db.BeginTx(ctx, nil)
//	_, err = tx.ExecContext(ctx, "UPDATE price SET cents = 1250 WHERE id = 17")
//	err = box.Invalidate(ctx, tx, client.Invalidation{Keys: []string{"price:17"}})
//	err = tx.Commit()
//	box.Nudge() // now, and not at the next look
//
// Guarantees:
//
//   - What was enqueued by a transaction that committed is delivered at least
//     once, as long as somebody relays. An event's row goes when the stream of
//     events has stored it; an invalidation's when its record is applied on the
//     relay's node and the witness covers it, so that a log that loses its tail
//     is told again.
//   - Any number of relays may run. On PostgreSQL they share the rows (SKIP
//     LOCKED); on SQLite each row may be delivered by several, which is harmless.
//   - What can never be delivered stays in the table with its reason, and holds
//     up nothing.
//
// Not promised: order, which does not matter to fences; that readers see the
// change the instant it is committed: between commit and delivery copies are
// old. Package sqlbracket closes that gap, at the price of waiting for all
// nodes before each commit.
//
// It imports no driver.
package sqloutbox
