package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/raptorflow/tercet/pkg/client"
)

type Product struct {
	Name  string
	Cents int
}

// A service that embeds the cache: a typed view, a loader with tags, and an
// invalidation after the commit.
func Example() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{
		Domain:   "shop",
		NATSURL:  "nats://127.0.0.1:4222",
		RedisURL: "redis://127.0.0.1:6379",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)

	products := client.For[Product](c)
	p, err := products.GetOrLoad(ctx, "product:17:detail", func(ctx context.Context, key string) (Product, client.Answer, error) {
		// Ask the database here.
		return Product{Name: "boots", Cents: 9900}, client.Answer{Tags: []string{"category:shoes"}}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Name, p.Cents)

	// After a commit that changed all shoes: one record, however many copies.
	if _, err := c.Invalidate(ctx, client.Invalidation{Tags: []string{"category:shoes"}}, client.Everywhere()); err != nil {
		log.Fatal(err)
	}
}

// A service that says what happened, and leaves it to the invalidator's rules
// what that means for the cache.
func ExampleClient_Publish() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	err = c.Publish(ctx, client.DomainEvent{
		Type: "shop.price.changed",
		Data: map[string]any{"id": 17, "category": "shoes"},
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A session that goes on in another process: what one has written, the other
// sees.
func ExampleSession() {
	ctx := context.Background()
	here, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer here.Close(ctx)
	token, err := here.Set(ctx, "cart:42", []byte("boots"), client.Tags("customer:7"))
	if err != nil {
		log.Fatal(err)
	}
	header := token.String() // travels in a header, a cookie, a message

	there, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer there.Close(ctx)
	seen, err := client.ParseToken(header)
	if err != nil {
		log.Fatal(err)
	}
	cart, err := there.Get(ctx, "cart:42", client.At(client.Session(seen)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(cart.Bytes))
}

// A listing of many products: one look at each tier for all of them, and one
// query for those that are missing.
func ExampleClient_GetOrLoadMany() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	products := client.For[Product](c)
	keys := []string{"product:17", "product:18", "product:19"}
	found, err := products.GetOrLoadMany(ctx, keys, func(ctx context.Context, missing []string) (map[string]client.Row[Product], error) {
		// SELECT ... WHERE id IN (...) here.
		rows := map[string]client.Row[Product]{
			"product:17": {Value: Product{Name: "boots"}, Answer: client.Answer{Tags: []string{"category:shoes"}}},
			// Known not to exist, until somebody inserts a product.
			"product:19": {Answer: client.Answer{NotFound: true, Tags: []string{"products"}}},
		}
		return rows, nil
	})
	var failed *client.BatchError
	if errors.As(err, &failed) {
		log.Printf("%d of %d products can't be shown: %v", len(failed.Errors), len(keys), err)
	}
	for key, p := range found {
		fmt.Println(key, p.Name)
	}
}

// A loader that reads a replica waits until the replica has seen the change
// whose invalidation it follows.
func ExampleRequiredSource() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	// The writer tells where its change stands: SELECT pg_current_wal_lsn().
	if _, err := c.Invalidate(ctx, client.Invalidation{Keys: []string{"stock:17"}, Source: "16/B374D848"}); err != nil {
		log.Fatal(err)
	}
	_, err = c.GetOrLoad(ctx, "stock:17", func(ctx context.Context, key string) (client.Loaded, error) {
		lsn, known := client.RequiredSource(ctx)
		switch {
		case !known:
			fmt.Println("ask the primary") // this node can't tell
		case lsn != "":
			// Wait here until SELECT pg_last_wal_replay_lsn() >= lsn, or ask
			// the primary instead.
			fmt.Println("the replica must have come to", lsn)
		}
		return client.Loaded{Value: []byte("3")}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A page that is shown somewhat old rather than not at all.
func ExampleFallback() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Config{Domain: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Invalidate(ctx, client.Invalidation{Tags: []string{"category:shoes"}, Soft: true}); err != nil {
		log.Fatal(err)
	}
	render := func(ctx context.Context, key string) (client.Loaded, error) {
		return client.Loaded{Value: []byte("<html>"), Tags: []string{"category:shoes"}}, nil
	}
	page, err := c.GetOrLoad(ctx, "page:shoes", render, client.Fallback(client.WhileReloading))
	if err != nil {
		log.Fatal(err)
	}
	if page.Stale {
		fmt.Println("shown while a new one is rendered")
	}
}
