package sqlbracket_test

import (
	"context"
	"database/sql"
	"errors"
	"log"

	"github.com/raptorflow/tercet/pkg/client"
	"github.com/raptorflow/tercet/pkg/sqlbracket"
)

// A write that no reader sees early or late, and the resolution of those whose
// writer has died.
func ExampleMarkers_Tx() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://127.0.0.1/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	cache, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx)
	// The table belongs to the schema: sqlbracket.PostgreSQL().Schema().
	markers, err := sqlbracket.Open(ctx, db, sqlbracket.PostgreSQL(), sqlbracket.Options{})
	if err != nil {
		log.Fatal(err)
	}

	_, err = markers.Tx(ctx, cache, client.Invalidation{Keys: []string{"stock:17"}}, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE stock SET n = n - 1 WHERE id = 17")
		return err
	})
	switch {
	case errors.Is(err, sqlbracket.ErrAborted):
		log.Print("took too long, and was resolved; nothing was committed")
	case errors.Is(err, client.ErrUnsettled):
		log.Print("the database is gone; the bracket stays open until it is resolved")
	case err != nil:
		log.Fatal(err)
	}

	// Now and then, in any of the services:
	for _, r := range markers.ResolveOverdue(ctx, cache) {
		log.Printf("bracket %s: %s %v", r.ID, r.Outcome, r.Err)
	}
}
