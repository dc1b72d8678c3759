package client_test

import (
	"context"
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
